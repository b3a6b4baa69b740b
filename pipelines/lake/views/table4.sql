-- Table 4: every model of the paper on SIIM's test set, ours with its 95 % interval beside the paper's, in percent,
-- under the official and the patient-grouped split; then the references that any model must be read against; then
-- prior work, cited and never run here. A model that was not made says so in `state`.
-- column position: Place in the paper's table; null for references, which it does not print.
-- column model_id: The model, or a reference: predict_nothing, predict_everything, oracle.
-- column protocol: official: the published split, which is known to leak patients. grouped: patients kept apart.
-- column operating_point: paper: the paper's threshold and gate. selected: chosen on validation.
-- column label: The model as the paper prints it; prior work with its number in the paper's references.
-- column state: evaluated; not run; published (prior work, its printed numbers only); reference.
-- column loss: Loss that ours was trained with.
-- column parameters_n: Trainable parameters of ours.
-- column paper_parameters_n: Trainable parameters that the paper prints.
-- column fewer_parameters_percent: How many fewer parameters ours has than our U-Net with ResNet-101, the paper's 38 %.
-- column paper_fewer_parameters_percent: The same of the paper's numbers.
-- column gmacs: Multiply-adds of ours for one film at its own size, in billions.
-- column seconds_s: Mean seconds that ours took for a film, where it was tested.
-- column n: Test radiographs.
-- column mdsc_percent: Mean Dice, both masks empty counting 1, in percent.
-- column mdsc_low_percent: Lower end of its 95 % interval.
-- column mdsc_high_percent: Upper end of its 95 % interval.
-- column paper_mdsc_percent: The paper's value.
-- column miou_percent: Mean intersection over union, both masks empty counting 1, in percent.
-- column miou_low_percent: Lower end of its 95 % interval.
-- column miou_high_percent: Upper end of its 95 % interval.
-- column paper_miou_percent: The paper's value.
-- column f1_percent: F1 of detection, in percent.
-- column f1_low_percent: Lower end of its 95 % interval.
-- column f1_high_percent: Upper end of its 95 % interval.
-- column paper_f1_percent: The paper's value.
-- column f2_percent: F2 of detection, in percent.
-- column f2_low_percent: Lower end of its 95 % interval.
-- column f2_high_percent: Upper end of its 95 % interval.
-- column paper_f2_percent: The paper's value.
-- column sensitivity_percent: Sensitivity of detection, in percent.
-- column sensitivity_low_percent: Lower end of its 95 % interval.
-- column sensitivity_high_percent: Upper end of its 95 % interval.
-- column paper_sensitivity_percent: The paper's value.
-- column specificity_percent: Specificity of detection, in percent.
-- column specificity_low_percent: Lower end of its 95 % interval.
-- column specificity_high_percent: Upper end of its 95 % interval.
-- column paper_specificity_percent: The paper's value.
-- column source: Where the paper's numbers stand.
WITH printed AS (
    SELECT
        item AS model_id,
        any_value(label) AS label,
        any_value(source) AS source,
        min(position) AS position,
        bool_or(is_trained_here) AS is_trained_here,
        max(value) FILTER (metric = 'parameters_n') AS parameters_n,
        max(value) FILTER (metric = 'mdsc') AS mdsc,
        max(value) FILTER (metric = 'miou') AS miou,
        max(value) FILTER (metric = 'f1') AS f1,
        max(value) FILTER (metric = 'f2') AS f2,
        max(value) FILTER (metric = 'sensitivity') AS sensitivity,
        max(value) FILTER (metric = 'specificity') AS specificity
    FROM paper_values
    WHERE figure = 'table4'
    GROUP BY item
),

ours AS (
    SELECT *, regexp_replace(model_id, '_grouped$', '') AS item
    FROM results
    WHERE test_set = 'siim' AND protocol IN ('official', 'grouped') AND operating_point IN ('paper', 'selected')
),

trained AS (
    SELECT model_id, any_value(loss) AS loss, max(parameters_n) AS parameters_n, max(gmacs) AS gmacs
    FROM models
    GROUP BY model_id
),

timed AS (
    SELECT model_id, avg(seconds_s) AS seconds_s
    FROM predictions
    WHERE cohort = 'siim'
    GROUP BY model_id
),

listed AS (
    SELECT ours.model_id, ours.item, ours.protocol, ours.operating_point
    FROM ours
    LEFT JOIN printed ON printed.model_id = ours.item
    WHERE printed.model_id IS NOT NULL OR ours.model_id IN ('predict_nothing', 'predict_everything', 'oracle')
    UNION
    SELECT
        CASE WHEN splits.protocol = 'grouped' THEN printed.model_id || '_grouped' ELSE printed.model_id END AS model_id,
        printed.model_id AS item,
        splits.protocol,
        'paper' AS operating_point
    FROM printed
    CROSS JOIN (VALUES ('official'), ('grouped')) AS splits (protocol)
    WHERE
        printed.is_trained_here
        AND NOT EXISTS (FROM ours WHERE ours.item = printed.model_id AND ours.protocol = splits.protocol)
    UNION
    SELECT model_id, model_id AS item, NULL AS protocol, NULL AS operating_point
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
    trained.parameters_n,
    CAST(printed.parameters_n AS BIGINT) AS paper_parameters_n,
    100 * (1 - trained.parameters_n / (SELECT max(parameters_n) FROM trained WHERE model_id = 'unet_resnet101_siim'))
        AS fewer_parameters_percent,
    100 * (1 - printed.parameters_n / (SELECT max(parameters_n) FROM printed WHERE model_id = 'unet_resnet101_siim'))
        AS paper_fewer_parameters_percent,
    trained.gmacs,
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
    ours.f1_percent,
    ours.f1_low_percent,
    ours.f1_high_percent,
    printed.f1 AS paper_f1_percent,
    ours.f2_percent,
    ours.f2_low_percent,
    ours.f2_high_percent,
    printed.f2 AS paper_f2_percent,
    ours.sensitivity_percent,
    ours.sensitivity_low_percent,
    ours.sensitivity_high_percent,
    printed.sensitivity AS paper_sensitivity_percent,
    ours.specificity_percent,
    ours.specificity_low_percent,
    ours.specificity_high_percent,
    printed.specificity AS paper_specificity_percent,
    printed.source
FROM listed
LEFT JOIN ours
    ON
        ours.model_id = listed.model_id
        AND ours.protocol = listed.protocol
        AND ours.operating_point = listed.operating_point
LEFT JOIN printed ON printed.model_id = listed.item
LEFT JOIN trained ON trained.model_id = listed.model_id
LEFT JOIN timed ON timed.model_id = listed.model_id
ORDER BY
    -- the paper's table as it is printed, then what it does not have
    CASE
        WHEN listed.protocol IS NULL THEN 2
        WHEN listed.protocol = 'official' AND listed.operating_point = 'paper'
            THEN CASE WHEN printed.position IS NULL THEN 3 ELSE 1 END
        ELSE 4
    END,
    listed.protocol DESC,
    printed.position IS NULL,
    listed.operating_point,
    printed.position,
    listed.model_id
