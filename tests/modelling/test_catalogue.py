import pytest

from pipelines.cohorts import Cohort
from pipelines.modelling.catalogue import ablations, fine_tuned, folds, headline, models_for, pretrained

SIIM = Cohort(name="siim", role="pretrain", radiographs=("/a",), official_test=("test",))
TMC = Cohort(name="tmc", role="finetune", radiographs=("/b",))


def test_table_4_has_seven_rows_in_the_papers_order() -> None:
    assert [(one.model_id, one.network, one.loss) for one in pretrained(SIIM)] == [
        ("unet_siim", "unet", "tversky"),
        ("unet_resnet101_siim", "unet_resnet101", "tversky"),
        ("unet_se_resnet101_siim", "unet_se_resnet101", "tversky"),
        ("unet_se_resnext101_siim", "unet_se_resnext101", "tversky"),
        ("unet_se_resnext101_mixed_siim", "unet_se_resnext101", "mixed"),
        ("pdeseray_tversky_siim", "pdeseray", "tversky"),
        ("pdeseray_siim", "pdeseray", "mixed"),
    ]


def test_the_hospitals_model_starts_from_the_headline_model() -> None:
    [model] = models_for(TMC, [SIIM, TMC])
    assert (model.model_id, model.parent, model.protocol) == ("pdeseray_tmc", "pdeseray_siim", "holdout")


def test_a_pretrain_cohort_without_a_published_test_set_is_split_by_patients() -> None:
    assert headline(SIIM.model_copy(update={"official_test": ()})).protocol == "grouped"


def test_a_pretrain_cohorts_folds_rotate_the_validation() -> None:
    made = folds(headline(SIIM))
    assert [(one.validation_fold, one.test_fold, one.protocol) for one in made] == [
        (fold, None, "official") for fold in range(5)
    ]


def test_a_hospitals_folds_rotate_the_test_and_the_next_fold_validates() -> None:
    made = folds(fine_tuned(TMC, headline(SIIM)))
    assert [(one.test_fold, one.validation_fold) for one in made] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]
    assert {one.protocol for one in made} == {"out_of_fold"}


def test_each_ablation_differs_from_the_paper_in_one_claim() -> None:
    changed = [dict(one.ablation) for one in ablations(SIIM)]
    assert changed == [
        {"stem": "conv"},
        {"mixing": "dense"},
        {"expansion": 1.0},
        {"expansion": 0.25},
        {"stem_skip": False},
    ]


@pytest.mark.parametrize("role", ["pretrain", "finetune"])
def test_names_of_models_are_unique(role: str) -> None:
    cohort = {"pretrain": SIIM, "finetune": TMC}[role]
    models = [*models_for(cohort, [SIIM, TMC]), *folds(models_for(cohort, [SIIM, TMC])[-1])]
    names = [one.model_id for one in models]
    assert len(names) == len(set(names))
