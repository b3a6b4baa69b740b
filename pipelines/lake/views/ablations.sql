-- The paper's ablations on SIIM's test set: the loss (Table 4), section 5.4's four claims each taken away, and other
-- readings of what the paper leaves open; each beside the model that it is an ablation of. Not made: `not run`.
-- column kind: loss, architecture (section 5.4) or ambiguity.
-- column what: What differs from the whole.
-- column model_id: The variant.
-- column whole_id: The model of which it is a variant.
-- column state: evaluated or not run.
-- column protocol: Split under which it was tested.
-- column parameters_n: Trainable parameters of ours.
-- column gmacs: Multiply-adds of one film at its own size, in billions.
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
-- column whole_less_variant_percent: Dice over positives of the whole less the variant's, in percentage points.
-- column whole_less_variant_low_percent: Lower end of its paired 95 % interval.
-- column whole_less_variant_high_percent: Upper end of its paired 95 % interval.
-- column sentence: What that difference shows.
WITH known (place, kind, what, model_id, whole_id) AS (
    VALUES
    (1, 'loss', 'Tversky alone', 'pdeseray_tversky_siim', 'pdeseray_siim'),
    (2, 'loss', 'Tversky alone', 'unet_se_resnext101_siim', 'unet_se_resnext101_mixed_siim'),
    (3, 'architecture', 'convolutional stem', 'pdeseray_siim_stem_conv', 'pdeseray_siim'),
    (4, 'architecture', 'dense spatial mixing', 'pdeseray_siim_mixing_dense', 'pdeseray_siim'),
    (5, 'architecture', 'no expansion', 'pdeseray_siim_expansion_1', 'pdeseray_siim'),
    (6, 'architecture', 'standard bottleneck', 'pdeseray_siim_expansion_025', 'pdeseray_siim'),
    (7, 'architecture', 'no stem skip', 'pdeseray_siim_no_stem_skip', 'pdeseray_siim'),
    (8, 'ambiguity', 'bilinear upsampling', 'pdeseray_siim_upsample_bilinear', 'pdeseray_siim'),
    (9, 'ambiguity', 'transposed convolutions', 'pdeseray_siim_upsample_deconvolution', 'pdeseray_siim'),
    (10, 'ambiguity', 'Tversky per image', 'pdeseray_siim_reduction_image', 'pdeseray_siim'),
    (11, 'ambiguity', 'Tversky without smoothing', 'pdeseray_siim_unsmoothed', 'pdeseray_siim'),
    (12, 'ambiguity', 'validation set augmented', 'pdeseray_siim_validation_augmented', 'pdeseray_siim')
),

ours AS (
    FROM results
    WHERE test_set = 'siim' AND operating_point = 'paper'
),

trained AS (
    SELECT model_id, max(parameters_n) AS parameters_n, max(gmacs) AS gmacs
    FROM models
    GROUP BY model_id
)

SELECT
    known.kind,
    known.what,
    known.model_id,
    known.whole_id,
    CASE WHEN ours.model_id IS NULL THEN 'not run' ELSE 'evaluated' END AS state,
    ours.protocol,
    trained.parameters_n,
    trained.gmacs,
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
    100 * paired.difference AS whole_less_variant_percent,
    100 * paired.ci_low AS whole_less_variant_low_percent,
    100 * paired.ci_high AS whole_less_variant_high_percent,
    paired.sentence
FROM known
LEFT JOIN ours ON ours.model_id = known.model_id
LEFT JOIN trained ON trained.model_id = known.model_id
LEFT JOIN comparisons AS paired
    ON
        paired.model_id = known.whole_id
        AND paired.other_id = known.model_id
        AND paired.protocol = ours.protocol
        AND paired.test_set = 'siim'
        AND paired.metric = 'dice_positives'
ORDER BY known.place
