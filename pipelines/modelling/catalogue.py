"""Which models there are: the rows of Table 4 for a pretrain cohort, the fine-tuned one for a hospital's.

What belongs here is what a model is *for*; its architecture and recipe are `pdeseray_model.config`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pipelines.cohorts import Cohort

Settings: TypeAlias = tuple[tuple[str, str | float | bool], ...]
Tuning = Literal["whole", "decoder", "discriminative"]

FOLDS_N = 5
"""The paper's cross-validation (section 4.2)."""


@dataclass(frozen=True)
class ModelSpec:
    """One model that can be trained.

    Attributes
    ----------
    model_id
        Its name: asset ``models/<model_id>``, registered model in MLflow, ``models.model_id``.
    network, loss
        Architecture and loss as `pdeseray_model` names them.
    cohort
        The cohort on whose training part it is trained.
    protocol
        The split that says which part that is.
    validation_fold
        The fold of the training part on which the best checkpoint is chosen.
    test_fold
        Under ``out_of_fold``: the fold that is held out for testing; otherwise None.
    parent
        The model whose weights it starts from, or None.
    ablation, recipe
        Settings of the architecture and of the training that differ from the paper's, by name.
    tuning
        What of a fine-tuned network learns: all of it, the decoder alone, or the encoder ten times slower.
    train_share
        Share of the training radiographs that it learns from: the first ones of a fixed order, so that a smaller
        share lies within a larger one.
    """

    model_id: str
    network: str
    loss: str
    cohort: str
    protocol: str
    validation_fold: int = 0
    test_fold: int | None = None
    parent: str | None = None
    ablation: Settings = ()
    recipe: Settings = ()
    tuning: Tuning = "whole"
    train_share: float = 1.0

    @property
    def asset(self) -> str:
        """Its asset's name."""
        return f"models/{self.model_id}"


_TABLE4 = (
    ("unet", "unet", "tversky"),
    ("unet_resnet101", "unet_resnet101", "tversky"),
    ("unet_se_resnet101", "unet_se_resnet101", "tversky"),
    ("unet_se_resnext101", "unet_se_resnext101", "tversky"),
    ("unet_se_resnext101_mixed", "unet_se_resnext101", "mixed"),
    ("pdeseray_tversky", "pdeseray", "tversky"),
    ("pdeseray", "pdeseray", "mixed"),
)
"""(name, network, loss) of Table 4's seven rows, in its order."""

ENCODER_RATES: dict[Tuning, float] = {"whole": 1.0, "decoder": 0.0, "discriminative": 0.1}
"""The encoder's share of the learning rate."""

SHARES = (0.1, 0.25, 0.5)
"""Of the training radiographs, on the way to all of them: what more labels would bring."""

AMBIGUITIES: tuple[tuple[str, Settings, Settings], ...] = (
    ("upsample_bilinear", (("upsample", "bilinear"),), ()),
    ("upsample_deconvolution", (("upsample", "deconvolution"),), ()),
    ("reduction_image", (), (("reduction", "image"),)),
    ("unsmoothed", (), (("smoothing", 0.0),)),
    ("validation_augmented", (), (("augment_validation", True),)),
)
"""(name, network, recipe): other readings of what the paper leaves open. The stem skip is among the ablations, the
gate needs no training: `gate_readings` shows its readings."""

ABLATIONS: tuple[tuple[str, Settings], ...] = (
    ("stem_conv", (("stem", "conv"),)),
    ("mixing_dense", (("mixing", "dense"),)),
    ("expansion_1", (("expansion", 1.0),)),
    ("expansion_025", (("expansion", 0.25),)),
    ("no_stem_skip", (("stem_skip", False),)),
)
"""Section 5.4's four claims, each taken away (the inverted bottleneck to a straight one and to a standard one)."""


def protocol_of(cohort: Cohort) -> str:
    """Return the protocol under which a cohort's headline model is trained."""
    if cohort.role == "finetune":
        return "holdout"
    return "official" if cohort.official_test or cohort.is_phantom else "grouped"


def pretrained(cohort: Cohort) -> tuple[ModelSpec, ...]:
    """Return the models of Table 4 for a pretrain cohort, in its order."""
    return tuple(
        ModelSpec(
            model_id=f"{name}_{cohort.name}",
            network=network,
            loss=loss,
            cohort=cohort.name,
            protocol=protocol_of(cohort),
        )
        for name, network, loss in _TABLE4
    )


def headline(cohort: Cohort) -> ModelSpec:
    """Return P-DeSeRay with the mixed loss on a pretrain cohort: the model that is fine-tuned."""
    return pretrained(cohort)[-1]


def fine_tuned(cohort: Cohort, parent: ModelSpec) -> ModelSpec:
    """Return the hospital's model, which starts from `parent`."""
    return ModelSpec(
        model_id=f"pdeseray_{cohort.name}",
        network=parent.network,
        loss=parent.loss,
        cohort=cohort.name,
        protocol=protocol_of(cohort),
        parent=parent.model_id,
    )


def ablations(cohort: Cohort) -> tuple[ModelSpec, ...]:
    """Return the variants of section 5.4 of a cohort's headline model."""
    whole = headline(cohort)
    return tuple(
        replace(whole, model_id=f"{whole.model_id}_{name}", ablation=settings) for name, settings in ABLATIONS
    )


def ambiguities(cohort: Cohort) -> tuple[ModelSpec, ...]:
    """Return other readings of the paper of a cohort's headline model."""
    whole = headline(cohort)
    return tuple(
        replace(whole, model_id=f"{whole.model_id}_{name}", ablation=network, recipe=recipe)
        for name, network, recipe in AMBIGUITIES
    )


def grouped(cohort: Cohort) -> tuple[ModelSpec, ...]:
    """Return Table 4's models under the patient-grouped protocol, where the headline's is the official one."""
    if protocol_of(cohort) != "official":
        return ()
    return tuple(
        replace(spec, model_id=f"{spec.model_id}_grouped", protocol="grouped") for spec in pretrained(cohort)
    )


def variants(model: ModelSpec) -> tuple[ModelSpec, ...]:
    """Return other ways to a hospital's model: what learns, from scratch, and from fewer labels."""
    name = model.model_id
    return (
        replace(model, model_id=f"{name}_decoder", tuning="decoder"),
        replace(model, model_id=f"{name}_discriminative", tuning="discriminative"),
        replace(model, model_id=f"{name}_scratch", parent=None),
        *(
            replace(model, model_id=f"{name}_share{round(100 * share)}", train_share=share)
            for share in SHARES
        ),
    )


def families(cohort: Cohort, cohorts: Iterable[Cohort]) -> dict[str, tuple[ModelSpec, ...]]:
    """Return the models of a cohort that are trained together, by the name of their asset."""
    specs = models_for(cohort, cohorts)
    if not specs:
        return {}
    found = {f"models/{cohort.name}_folds": folds(specs[-1])}
    if cohort.role == "pretrain":
        found[f"models/{cohort.name}_grouped"] = grouped(cohort)
        found[f"models/{cohort.name}_ablations"] = ablations(cohort)
        found[f"models/{cohort.name}_ambiguities"] = ambiguities(cohort)
    else:
        found[f"models/{cohort.name}_variants"] = variants(specs[-1])
    return {asset: members for asset, members in found.items() if members}


def folds(model: ModelSpec) -> tuple[ModelSpec, ...]:
    """Return the five models of a cohort's cross-validation.

    A pretrain cohort rotates the validation fold within its training part (section 4.2); a hospital's rotates
    the test fold over the whole cohort, and the next fold validates.
    """
    if model.protocol == "holdout":
        return tuple(
            replace(
                model,
                model_id=f"{model.model_id}_fold{fold}",
                protocol="out_of_fold",
                test_fold=fold,
                validation_fold=(fold + 1) % FOLDS_N,
            )
            for fold in range(FOLDS_N)
        )
    return tuple(
        replace(model, model_id=f"{model.model_id}_fold{fold}", validation_fold=fold)
        for fold in range(FOLDS_N)
    )


def models_for(cohort: Cohort, cohorts: Iterable[Cohort]) -> tuple[ModelSpec, ...]:
    """Return the single models whose results belong on a cohort's table, the headline last."""
    if cohort.role == "pretrain":
        return pretrained(cohort)
    parents = [headline(one) for one in cohorts if one.role == "pretrain"]
    return tuple(fine_tuned(cohort, parent) for parent in parents[:1])
