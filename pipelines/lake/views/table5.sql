-- Table 5: the fine-tuned model on the hospital's radiographs, ours beside the paper's, in percent, under each
-- protocol by its name; then other models and references tested on the same radiographs.
-- column position: Place in the paper's table; null for models and references that it does not print.
-- column model_id: The model, or a reference: predict_nothing, predict_everything, oracle.
-- column protocol: holdout: the 20 % that training never saw. out_of_fold: pooled over five folds.
-- column label: The model as the paper prints it.
-- column state: evaluated; not run; published (the paper's numbers only); reference.
-- column loss: Loss that ours was trained with.
-- column n: Test radiographs.
-- column mdsc_percent: Mean Dice, both masks empty counting 1, in percent.
-- column paper_mdsc_percent: The paper's value.
-- column miou_percent: Mean intersection over union, both masks empty counting 1, in percent.
-- column paper_miou_percent: The paper's value.
-- column sensitivity_percent: Sensitivity of detection, in percent.
-- column paper_sensitivity_percent: The paper's value.
-- column specificity_percent: Specificity of detection, in percent.
-- column paper_specificity_percent: The paper's value.
-- column f1_percent: F1 of detection, in percent.
-- column paper_f1_percent: The paper's value.
-- column f2_percent: F2 of detection, in percent.
-- column paper_f2_percent: The paper's value.
-- column precision_percent: Precision of detection, in percent.
-- column paper_precision_percent: The paper's value.
-- column accuracy_percent: Accuracy of detection, in percent.
-- column paper_accuracy_percent: The paper's value.
WITH printed AS (
    SELECT
        item AS model_id,
        any_value(label) AS label,
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
    SELECT
        model_id,
        protocol,
        max(n) AS n,
        max(value) FILTER (metric = 'mdsc') AS mdsc,
        max(value) FILTER (metric = 'miou') AS miou,
        max(value) FILTER (metric = 'sensitivity') AS sensitivity,
        max(value) FILTER (metric = 'specificity') AS specificity,
        max(value) FILTER (metric = 'f1') AS f1,
        max(value) FILTER (metric = 'f2') AS f2,
        max(value) FILTER (metric = 'precision') AS precision,
        max(value) FILTER (metric = 'accuracy') AS accuracy
    FROM evaluations
    WHERE test_set = 'tmc' AND protocol IN ('holdout', 'out_of_fold') AND operating_point = 'paper' AND subgroup = 'all'
    GROUP BY model_id, protocol
),

trained AS (
    SELECT model_id, any_value(loss) AS loss, max(parameters_n) AS parameters_n
    FROM models
    GROUP BY model_id
),

listed AS (
    SELECT model_id, protocol FROM ours
    UNION
    SELECT model_id, CASE WHEN is_trained_here THEN 'holdout' END AS protocol FROM printed
)

SELECT
    printed.position,
    listed.model_id,
    listed.protocol,
    printed.label,
    CASE
        WHEN listed.model_id IN ('predict_nothing', 'predict_everything', 'oracle') THEN 'reference'
        WHEN ours.model_id IS NOT NULL THEN 'evaluated'
        WHEN printed.is_trained_here THEN 'not run'
        ELSE 'published'
    END AS state,
    trained.loss,
    ours.n,
    100 * ours.mdsc AS mdsc_percent,
    printed.mdsc AS paper_mdsc_percent,
    100 * ours.miou AS miou_percent,
    printed.miou AS paper_miou_percent,
    100 * ours.sensitivity AS sensitivity_percent,
    printed.sensitivity AS paper_sensitivity_percent,
    100 * ours.specificity AS specificity_percent,
    printed.specificity AS paper_specificity_percent,
    100 * ours.f1 AS f1_percent,
    printed.f1 AS paper_f1_percent,
    100 * ours.f2 AS f2_percent,
    printed.f2 AS paper_f2_percent,
    100 * ours.precision AS precision_percent,
    printed.precision AS paper_precision_percent,
    100 * ours.accuracy AS accuracy_percent,
    printed.accuracy AS paper_accuracy_percent
FROM listed
LEFT JOIN ours ON ours.model_id = listed.model_id AND ours.protocol = listed.protocol
LEFT JOIN printed ON printed.model_id = listed.model_id
LEFT JOIN trained ON trained.model_id = listed.model_id
ORDER BY printed.position NULLS LAST, listed.model_id, listed.protocol
