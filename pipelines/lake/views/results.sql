-- Every result on a whole test set, a row for each model under each split and operating point, whatever the cohort is
-- called: the metrics of the tables with their 95 % intervals, in percent.
-- column test_set: Cohort tested on.
-- column protocol: Split whose test part was used.
-- column model_id: The model, or a reference (predict_nothing, predict_everything, oracle).
-- column operating_point: How masks and calls were made of probabilities: paper, selected on validation, or a reading of the gate.
-- column n: Test radiographs.
-- column mdsc_percent: Mean Dice, both masks empty counting 1, in percent.
-- column mdsc_low_percent: Lower end of its 95 % interval.
-- column mdsc_high_percent: Upper end of its 95 % interval.
-- column miou_percent: Mean intersection over union, both masks empty counting 1, in percent.
-- column miou_low_percent: Lower end of its 95 % interval.
-- column miou_high_percent: Upper end of its 95 % interval.
-- column dice_positives_percent: Mean Dice over radiographs with pneumothorax, in percent.
-- column dice_positives_low_percent: Lower end of its 95 % interval.
-- column dice_positives_high_percent: Upper end of its 95 % interval.
-- column sensitivity_percent: Sensitivity of detection, in percent.
-- column sensitivity_low_percent: Lower end of its 95 % interval.
-- column sensitivity_high_percent: Upper end of its 95 % interval.
-- column specificity_percent: Specificity of detection, in percent.
-- column specificity_low_percent: Lower end of its 95 % interval.
-- column specificity_high_percent: Upper end of its 95 % interval.
-- column precision_percent: Precision of detection, in percent.
-- column precision_low_percent: Lower end of its 95 % interval.
-- column precision_high_percent: Upper end of its 95 % interval.
-- column accuracy_percent: Accuracy of detection, in percent.
-- column accuracy_low_percent: Lower end of its 95 % interval.
-- column accuracy_high_percent: Upper end of its 95 % interval.
-- column f1_percent: F1 of detection, in percent.
-- column f1_low_percent: Lower end of its 95 % interval.
-- column f1_high_percent: Upper end of its 95 % interval.
-- column f2_percent: F2 of detection, in percent.
-- column f2_low_percent: Lower end of its 95 % interval.
-- column f2_high_percent: Upper end of its 95 % interval.
SELECT
    test_set,
    protocol,
    model_id,
    operating_point,
    max(n) AS n,
    100 * max(value) FILTER (metric = 'mdsc') AS mdsc_percent,
    100 * max(ci_low) FILTER (metric = 'mdsc') AS mdsc_low_percent,
    100 * max(ci_high) FILTER (metric = 'mdsc') AS mdsc_high_percent,
    100 * max(value) FILTER (metric = 'miou') AS miou_percent,
    100 * max(ci_low) FILTER (metric = 'miou') AS miou_low_percent,
    100 * max(ci_high) FILTER (metric = 'miou') AS miou_high_percent,
    100 * max(value) FILTER (metric = 'dice_positives') AS dice_positives_percent,
    100 * max(ci_low) FILTER (metric = 'dice_positives') AS dice_positives_low_percent,
    100 * max(ci_high) FILTER (metric = 'dice_positives') AS dice_positives_high_percent,
    100 * max(value) FILTER (metric = 'sensitivity') AS sensitivity_percent,
    100 * max(ci_low) FILTER (metric = 'sensitivity') AS sensitivity_low_percent,
    100 * max(ci_high) FILTER (metric = 'sensitivity') AS sensitivity_high_percent,
    100 * max(value) FILTER (metric = 'specificity') AS specificity_percent,
    100 * max(ci_low) FILTER (metric = 'specificity') AS specificity_low_percent,
    100 * max(ci_high) FILTER (metric = 'specificity') AS specificity_high_percent,
    100 * max(value) FILTER (metric = 'precision') AS precision_percent,
    100 * max(ci_low) FILTER (metric = 'precision') AS precision_low_percent,
    100 * max(ci_high) FILTER (metric = 'precision') AS precision_high_percent,
    100 * max(value) FILTER (metric = 'accuracy') AS accuracy_percent,
    100 * max(ci_low) FILTER (metric = 'accuracy') AS accuracy_low_percent,
    100 * max(ci_high) FILTER (metric = 'accuracy') AS accuracy_high_percent,
    100 * max(value) FILTER (metric = 'f1') AS f1_percent,
    100 * max(ci_low) FILTER (metric = 'f1') AS f1_low_percent,
    100 * max(ci_high) FILTER (metric = 'f1') AS f1_high_percent,
    100 * max(value) FILTER (metric = 'f2') AS f2_percent,
    100 * max(ci_low) FILTER (metric = 'f2') AS f2_low_percent,
    100 * max(ci_high) FILTER (metric = 'f2') AS f2_high_percent
FROM evaluations
WHERE subgroup = 'all'
GROUP BY test_set, protocol, model_id, operating_point
ORDER BY test_set, protocol, operating_point, model_id
