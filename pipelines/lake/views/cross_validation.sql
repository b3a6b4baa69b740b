-- The five models of a pretrain cohort's cross-validation, each on the same test set: mean and standard deviation over
-- the folds. A hospital's folds are pooled instead: `table5` under `out_of_fold`.
-- column test_set: Cohort tested on.
-- column protocol: Split whose test part was used.
-- column model_id: The model whose folds these are.
-- column metric: Name of the metric.
-- column folds_n: Folds that were trained and tested.
-- column mean_percent: Mean over the folds, in percent.
-- column sd_percent: Standard deviation over the folds (n - 1), in percentage points.
-- column lowest_percent: Lowest fold.
-- column highest_percent: Highest fold.
SELECT
    test_set,
    protocol,
    regexp_replace(model_id, '_fold[0-9]$', '') AS model_id,
    metric,
    count(*) AS folds_n,
    100 * avg(value) AS mean_percent,
    100 * stddev_samp(value) AS sd_percent,
    100 * min(value) AS lowest_percent,
    100 * max(value) AS highest_percent
FROM evaluations
WHERE
    regexp_matches(model_id, '_fold[0-9]$')
    AND subgroup = 'all'
    AND operating_point = 'paper'
    AND metric IN ('mdsc', 'miou', 'dice_positives', 'sensitivity', 'specificity', 'f1')
GROUP BY ALL
ORDER BY test_set, protocol, model_id, metric
