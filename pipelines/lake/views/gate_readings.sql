-- The paper gives its gate as 3,500 pixels and leaves open of which mask, and whether of its largest part. Calls of each
-- cohort's headline model under each reading, beside what perfect masks (the oracle) would reach under the same one.
-- column test_set: Cohort tested on.
-- column protocol: Split whose test part was used.
-- column model_id: The model.
-- column gate_at_px: Side of the square of which the 3,500 pixels are.
-- column scope: whole: the whole mask counts. largest_component: its largest connected part.
-- column area_percent: The gate's area, in percent of the image.
-- column n: Test radiographs.
-- column sensitivity_percent: Sensitivity of detection, in percent.
-- column sensitivity_low_percent: Lower end of its 95 % interval.
-- column sensitivity_high_percent: Upper end of its 95 % interval.
-- column specificity_percent: Specificity of detection, in percent.
-- column specificity_low_percent: Lower end of its 95 % interval.
-- column specificity_high_percent: Upper end of its 95 % interval.
-- column f1_percent: F1 of detection, in percent.
-- column oracle_sensitivity_percent: Sensitivity that perfect masks would reach, in percent.
WITH calls AS (
    FROM results
    WHERE operating_point LIKE 'gate%'
)

SELECT
    model.test_set,
    model.protocol,
    model.model_id,
    CAST(regexp_extract(model.operating_point, '^gate_([0-9]+)_', 1) AS BIGINT) AS gate_at_px,
    regexp_replace(model.operating_point, '^gate_[0-9]+_', '') AS scope,
    100 * 3500.0 / (gate_at_px * gate_at_px) AS area_percent,
    model.n,
    model.sensitivity_percent,
    model.sensitivity_low_percent,
    model.sensitivity_high_percent,
    model.specificity_percent,
    model.specificity_low_percent,
    model.specificity_high_percent,
    model.f1_percent,
    oracle.sensitivity_percent AS oracle_sensitivity_percent
FROM calls AS model
INNER JOIN calls AS oracle
    ON
        oracle.model_id = 'oracle'
        AND oracle.test_set = model.test_set
        AND oracle.protocol = model.protocol
        AND oracle.operating_point = model.operating_point
WHERE model.model_id <> 'oracle'
ORDER BY model.test_set, model.protocol, model.model_id, gate_at_px, scope
