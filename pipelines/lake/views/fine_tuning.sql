-- Fine-tuning on the hospital's radiographs: before, after, what of the network learns, from scratch, and from fewer
-- labels (the learning curve), on the same test set; then the same model on the pretraining cohort's test set, which
-- shows what was forgotten. Each with the paired difference of the fine-tuned model.
-- column test_set: Cohort tested on: the hospital's, or the one that the model was pretrained on.
-- column protocol: Split whose test part was used.
-- column model_id: The model.
-- column tuning: What learnt: whole, decoder, discriminative (the encoder slower); null without a parent.
-- column train_share: Share of the training radiographs that it learnt from.
-- column parent_model_id: The model that it started from.
-- column n: Test radiographs.
-- column mdsc_percent: Mean Dice, both masks empty counting 1, in percent.
-- column mdsc_low_percent: Lower end of its 95 % interval.
-- column mdsc_high_percent: Upper end of its 95 % interval.
-- column dice_positives_percent: Mean Dice over radiographs with pneumothorax, in percent.
-- column dice_positives_low_percent: Lower end of its 95 % interval.
-- column dice_positives_high_percent: Upper end of its 95 % interval.
-- column sensitivity_percent: Sensitivity of detection, in percent.
-- column sensitivity_low_percent: Lower end of its 95 % interval.
-- column sensitivity_high_percent: Upper end of its 95 % interval.
-- column specificity_percent: Specificity of detection, in percent.
-- column specificity_low_percent: Lower end of its 95 % interval.
-- column specificity_high_percent: Upper end of its 95 % interval.
-- column tuned_less_this_percent: Dice over positives of the fine-tuned model less this one's, in percentage points.
-- column tuned_less_this_low_percent: Lower end of its paired 95 % interval.
-- column tuned_less_this_high_percent: Upper end of its paired 95 % interval.
-- column sentence: What that difference shows.
WITH tuned AS (
    SELECT model_id, parent_model_id
    FROM models
    WHERE parent_model_id IS NOT NULL AND protocol = 'holdout' AND train_share = 1 AND tuning = 'whole'
),

trained AS (
    SELECT
        model_id,
        any_value(cohort) AS cohort,
        any_value(parent_model_id) AS parent_model_id,
        any_value(tuning) AS tuning,
        max(train_share) AS train_share
    FROM models
    GROUP BY model_id
),

ours AS (
    FROM results
    WHERE operating_point = 'paper' AND protocol <> 'out_of_fold'
)

SELECT
    ours.test_set,
    ours.protocol,
    ours.model_id,
    trained.tuning,
    trained.train_share,
    trained.parent_model_id,
    ours.n,
    ours.mdsc_percent,
    ours.mdsc_low_percent,
    ours.mdsc_high_percent,
    ours.dice_positives_percent,
    ours.dice_positives_low_percent,
    ours.dice_positives_high_percent,
    ours.sensitivity_percent,
    ours.sensitivity_low_percent,
    ours.sensitivity_high_percent,
    ours.specificity_percent,
    ours.specificity_low_percent,
    ours.specificity_high_percent,
    100 * paired.difference AS tuned_less_this_percent,
    100 * paired.ci_low AS tuned_less_this_low_percent,
    100 * paired.ci_high AS tuned_less_this_high_percent,
    paired.sentence
FROM tuned
INNER JOIN ours
    ON
        ours.model_id IN (tuned.model_id, tuned.parent_model_id)
        OR regexp_matches(ours.model_id, '^' || tuned.model_id || '_(decoder|discriminative|scratch|share[0-9]+)$')
INNER JOIN trained ON trained.model_id = ours.model_id
LEFT JOIN comparisons AS paired
    ON
        paired.model_id = tuned.model_id
        AND paired.other_id = ours.model_id
        AND paired.test_set = ours.test_set
        AND paired.protocol = ours.protocol
        AND paired.metric = 'dice_positives'
WHERE EXISTS (
    FROM ours AS own
    WHERE own.model_id = tuned.model_id AND own.test_set = ours.test_set AND own.protocol = ours.protocol
)
ORDER BY ours.test_set DESC, ours.protocol, trained.train_share, ours.model_id
