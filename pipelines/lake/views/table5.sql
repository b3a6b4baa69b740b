-- Table 5: the fine-tuned model on the hospital's radiographs, ours with its 95 % interval beside the paper's, in percent,
-- under each protocol by its name; the radiologists' published level; then the model before fine-tuning and the
-- references, tested on the same radiographs.
-- column position: Place in the paper's table; null for models and references that it does not print.
-- column model_id: The model, or a reference: predict_nothing, predict_everything, oracle.
-- column protocol: holdout: the 20 % that training never saw. out_of_fold: pooled over five folds.
-- column operating_point: paper: the paper's threshold and gate. selected: chosen on validation.
-- column label: The model as the paper prints it.
-- column state: evaluated; not run; published (the paper's numbers only); reference.
-- column loss: Loss that ours was trained with.
-- column seconds_s: Mean seconds that ours took for a film, where it was tested; the paper's 0.3184.
-- column n: Test radiographs.
-- column mdsc_percent: Mean Dice, both masks empty counting 1, in percent.
-- column mdsc_low_percent: Lower end of its 95 % interval.
-- column mdsc_high_percent: Upper end of its 95 % interval.
-- column paper_mdsc_percent: The paper's value.
-- column miou_percent: Mean intersection over union, both masks empty counting 1, in percent.
-- column miou_low_percent: Lower end of its 95 % interval.
-- column miou_high_percent: Upper end of its 95 % interval.
-- column paper_miou_percent: The paper's value.
-- column sensitivity_percent: Sensitivity of detection, in percent.
-- column sensitivity_low_percent: Lower end of its 95 % interval.
-- column sensitivity_high_percent: Upper end of its 95 % interval.
-- column paper_sensitivity_percent: The paper's value.
-- column specificity_percent: Specificity of detection, in percent.
-- column specificity_low_percent: Lower end of its 95 % interval.
-- column specificity_high_percent: Upper end of its 95 % interval.
-- column paper_specificity_percent: The paper's value.
-- column f1_percent: F1 of detection, in percent.
-- column f1_low_percent: Lower end of its 95 % interval.
-- column f1_high_percent: Upper end of its 95 % interval.
-- column paper_f1_percent: The paper's value.
-- column f2_percent: F2 of detection, in percent.
-- column f2_low_percent: Lower end of its 95 % interval.
-- column f2_high_percent: Upper end of its 95 % interval.
-- column paper_f2_percent: The paper's value.
-- column precision_percent: Precision of detection, in percent.
-- column precision_low_percent: Lower end of its 95 % interval.
-- column precision_high_percent: Upper end of its 95 % interval.
-- column paper_precision_percent: The paper's value.
-- column accuracy_percent: Accuracy of detection, in percent.
-- column accuracy_low_percent: Lower end of its 95 % interval.
-- column accuracy_high_percent: Upper end of its 95 % interval.
-- column paper_accuracy_percent: The paper's value.
-- column source: Where the paper's numbers stand.
WITH printed AS (
    SELECT
        item AS model_id,
        any_value(label) AS label,
        any_value(source) AS source,
        min(position) AS position,
        bool_or(is_trained_here) AS is_trained_here,
        max(value) FILTER (metric = 'mdsc') AS mdsc,
        max(value) FILTER (metric = 'miou') AS miou,
        max(value) FILTER (metric = 'sensitivity') AS sensitivity,
        max(value) FILTER (metric = 'specificity') AS specificity,
        max(value) FILTER (metric = 'f1') AS f1,
        max(value) FILTER (metric = 'f2') AS f2,
        max(value) FILTER (metric = 'precision') AS precision,
        max(value) FILTER (metric = 'accuracy') AS accuracy
    FROM paper_values
    WHERE figure = 'table5'
    GROUP BY item
),

ours AS (
    FROM results
    WHERE
        test_set = 'tmc'
        AND protocol IN ('holdout', 'out_of_fold')
        AND operating_point IN ('paper', 'selected')
        AND NOT regexp_matches(model_id, '^pdeseray_tmc_')
),

trained AS (
    SELECT model_id, any_value(loss) AS loss
    FROM models
    GROUP BY model_id
),

timed AS (
    SELECT regexp_replace(model_id, '_fold[0-9]$', '') AS model_id, protocol, avg(seconds_s) AS seconds_s
    FROM predictions
    WHERE cohort = 'tmc'
    GROUP BY ALL
),

listed AS (
    SELECT model_id, protocol, operating_point FROM ours
    UNION
    SELECT printed.model_id, splits.protocol, 'paper' AS operating_point
    FROM printed
    CROSS JOIN (VALUES ('holdout'), ('out_of_fold')) AS splits (protocol)
    WHERE printed.is_trained_here
    UNION
    SELECT model_id, NULL AS protocol, NULL AS operating_point
    FROM printed
    WHERE NOT is_trained_here
)

SELECT
    printed.position,
    listed.model_id,
    listed.protocol,
    listed.operating_point,
    printed.label,
    CASE
        WHEN listed.model_id IN ('predict_nothing', 'predict_everything', 'oracle') THEN 'reference'
        WHEN ours.model_id IS NOT NULL THEN 'evaluated'
        WHEN printed.is_trained_here THEN 'not run'
        ELSE 'published'
    END AS state,
    trained.loss,
    timed.seconds_s,
    ours.n,
    ours.mdsc_percent,
    ours.mdsc_low_percent,
    ours.mdsc_high_percent,
    printed.mdsc AS paper_mdsc_percent,
    ours.miou_percent,
    ours.miou_low_percent,
    ours.miou_high_percent,
    printed.miou AS paper_miou_percent,
    ours.sensitivity_percent,
    ours.sensitivity_low_percent,
    ours.sensitivity_high_percent,
    printed.sensitivity AS paper_sensitivity_percent,
    ours.specificity_percent,
    ours.specificity_low_percent,
    ours.specificity_high_percent,
    printed.specificity AS paper_specificity_percent,
    ours.f1_percent,
    ours.f1_low_percent,
    ours.f1_high_percent,
    printed.f1 AS paper_f1_percent,
    ours.f2_percent,
    ours.f2_low_percent,
    ours.f2_high_percent,
    printed.f2 AS paper_f2_percent,
    ours.precision_percent,
    ours.precision_low_percent,
    ours.precision_high_percent,
    printed.precision AS paper_precision_percent,
    ours.accuracy_percent,
    ours.accuracy_low_percent,
    ours.accuracy_high_percent,
    printed.accuracy AS paper_accuracy_percent,
    printed.source
FROM listed
LEFT JOIN ours
    ON
        ours.model_id = listed.model_id
        AND ours.protocol = listed.protocol
        AND ours.operating_point = listed.operating_point
LEFT JOIN printed ON printed.model_id = listed.model_id
LEFT JOIN trained ON trained.model_id = listed.model_id
LEFT JOIN timed ON timed.model_id = listed.model_id AND timed.protocol = listed.protocol
ORDER BY printed.position NULLS LAST, listed.protocol, listed.operating_point NULLS LAST, listed.model_id
