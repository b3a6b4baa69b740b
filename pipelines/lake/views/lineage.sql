-- What each asset was made from, through every step: the last record of each asset that did not fail, and the
-- data versions that it and its inputs read. A metric leads back to its sources, a source on to its metrics.
-- column asset: Key of the asset.
-- column data_version: Data version of the asset as last made.
-- column run_key: Run key of that run.
-- column mlflow_run_id: MLflow run of that run.
-- column ancestor: Key of an asset that it was made from, directly or through others.
-- column ancestor_data_version: Data version of the ancestor that went into it.
-- column ancestor_run_key: Run key of the run that made the ancestor.
-- column ancestor_mlflow_run_id: MLflow run that made the ancestor.
-- column depth: Steps from the ancestor to the asset, by the shortest way; 1 is a direct input.
WITH RECURSIVE made AS (
    SELECT asset, data_version, run_key, mlflow_run_id, inputs, started_at
    FROM stages
    WHERE outcome <> 'failed'
),

latest AS (
    SELECT * FROM made
    QUALIFY row_number() OVER (PARTITION BY asset ORDER BY started_at DESC, run_key) = 1
),

versions AS (
    SELECT * FROM made
    QUALIFY row_number() OVER (PARTITION BY asset, data_version ORDER BY started_at DESC, run_key) = 1
),

direct AS (
    SELECT asset, data_version, unnest(inputs) AS input FROM versions
),

walk AS (
    SELECT
        latest.asset,
        latest.data_version,
        direct.input.asset AS ancestor,
        direct.input.data_version AS ancestor_data_version,
        1 AS depth
    FROM latest
    JOIN direct USING (asset, data_version)
    UNION
    SELECT
        walk.asset,
        walk.data_version,
        direct.input.asset AS ancestor,
        direct.input.data_version AS ancestor_data_version,
        walk.depth + 1 AS depth
    FROM walk
    JOIN direct ON direct.asset = walk.ancestor AND direct.data_version = walk.ancestor_data_version
)

SELECT
    walk.asset,
    walk.data_version,
    any_value(latest.run_key) AS run_key,
    any_value(latest.mlflow_run_id) AS mlflow_run_id,
    walk.ancestor,
    walk.ancestor_data_version,
    any_value(versions.run_key) AS ancestor_run_key,
    any_value(versions.mlflow_run_id) AS ancestor_mlflow_run_id,
    min(walk.depth) AS depth
FROM walk
JOIN latest ON latest.asset = walk.asset
LEFT JOIN versions ON versions.asset = walk.ancestor AND versions.data_version = walk.ancestor_data_version
GROUP BY walk.asset, walk.data_version, walk.ancestor, walk.ancestor_data_version
ORDER BY walk.asset, min(walk.depth), walk.ancestor
