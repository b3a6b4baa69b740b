"""The page's part behind the numbers: what differs from the paper, and what the numbers cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.modelling.comparison import LEAST_POSITIVES_N
from pipelines.reports.markup import Html, bullets, paragraph, section, table, tag
from pipelines.reports.material import PROTOCOLS, Material

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_A_DEVICE = "For research only. Not a medical device: nobody's care may depend on anything on this page."

# settings that change speed or what is written down, and never a result
_WITHOUT_EFFECT = frozenset(
    {
        "threads",
        "workers",
        "channels_last",
        "log_every_steps",
        "state_every_steps",
        "overlays_n",
        "overlay_every_epochs",
    }
)
_NAMED = 4  # models by name; more are counted
_SILENT = (
    (
        "Checkpoint",
        "The paper chose among models on the test set; here the validation fold (fold 0) alone chooses.",
    ),
    ("Validation images", "Never augmented; the paper's Table 2 says that they were."),
    (
        "Detection gate",
        "3,500 pixels at 512 \u00d7 512, the whole mask, as in section 4.5; see each table's oracle row.",
    ),
    (
        "Resolution",
        "Presence comes from the 1,024 \u00d7 1,024 mask; overlap and the gate are measured at 512 \u00d7 512.",
    ),
    (
        "Masks of several readers or rows",
        "Their union for SIIM's rows; the majority of readers for a hospital.",
    ),
    (
        "Intervals",
        "95 %, by a bootstrap that draws patients; Wilson's where a share is 0 or 1. The paper has none.",
    ),
    ("Scores without a positive call", "Precision, F1 and F2 are then 0 and named undefined."),
)


def deviations_section(material: Material) -> Html:
    """List every setting of every model that differs from the paper's profile, then what the paper leaves open."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for model in material.models:
        for row in _deviations(material, model):
            found.setdefault(row, []).append(model)
    rows = [
        (setting, theirs, ours, Html(f'<small class="said">{_who(models, list(material.models))}</small>'))
        for (setting, theirs, ours), models in found.items()
    ]
    return section(
        "deviations",
        "What differs from the paper",
        table(
            ("setting", "the paper", "here", "models"),
            rows,
            caption=f"Profile {material.settings.profile}, n = {len(material.models)} models. Settings that "
            "cannot change a result are left out.",
        ),
        tag("h3", "Where the paper is silent or odd"),
        tag("ul", *(tag("li", tag("b", f"{name}: "), text) for name, text in _SILENT)),
    )


def deviations(description: Mapping[str, Any], paper: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Compare the network and recipe of a training with the paper's: (setting, the paper's, ours) where they differ."""
    found = []
    for part in ("network", "recipe"):
        ours, theirs = description[part], paper[part]
        name = description["network"]["name"]
        found += [
            (key.replace("_", " "), _said(theirs.get(key)), _said(value))
            for key, value in ours.items()
            if key not in _WITHOUT_EFFECT
            and value != theirs.get(key)
            and (part == "recipe" or _concerns(key, name))
        ]
    return found


def _concerns(setting: str, network: str) -> bool:
    """Say whether a network of this name reads a setting: the two families share one list of settings."""
    if setting.startswith("unet"):
        return network == "unet"
    return setting == "name" or network == "pdeseray"


def _deviations(material: Material, model: str) -> list[tuple[str, str, str]]:
    from pdeseray_model.config import PROFILES

    description = material.description(model)
    if description is None:
        return []
    row = material.models[model]
    network, recipe = PROFILES["paper"](row["name"], fine_tuning=row["parent_model_id"] is not None)
    paper = {"network": network.to_dict(), "recipe": {**recipe.to_dict(), "loss": row["loss"]}}
    found = deviations(description, paper)
    init = description.get("init")
    if init == "random":
        found.append(("initialisation", "ImageNet", "random"))
    return found


def _who(models: list[str], every: list[str]) -> str:
    """Name the models that a row is about, by the fewest words."""
    others = [one for one in every if one not in models]
    if not others and len(every) > 1:
        return f"all {len(every)}"
    if len(models) <= _NAMED:
        return ", ".join(models)
    return (
        f"all but {', '.join(others)}"
        if len(others) <= _NAMED
        else f"{len(models)} of {len(every)}, among them {models[0]}"
    )


def _said(value: Any) -> str:  # noqa: ANN401 - a JSON value
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value).replace("_", " ")


def limits(material: Material) -> list[str]:
    """Say what these numbers cannot show, as far as the tables know it."""
    found = []
    made = [cohort.name for cohort in material.cohorts if cohort.is_phantom]
    if made:
        found.append(
            f"{' and '.join(made)} {'are' if len(made) > 1 else 'is'} made by a program: the numbers show that the "
            "chain works, and say nothing about patients."
        )
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            n = material.positives_n(cohort.name, protocol)
            if n < LEAST_POSITIVES_N:
                what = f"{n} radiographs with pneumothorax"
                found.append(f"{cohort.name}, {PROTOCOLS[protocol]}: {what}, too few to decide by.")
    if material.settings.profile != "paper":
        found.append(
            "The networks are scaled down and trained for minutes; the paper's values stand beside them for "
            "orientation, not for comparison."
        )
    found += [
        "Only frontal chest radiographs were looked at; nothing is known of lateral views, children or other devices.",
        "The reference is what readers marked on the same radiographs, not computed tomography.",
        "Subgroups are small; their intervals are not corrected for how many there are.",
    ]
    return found


def limits_section(material: Material) -> Html:
    """Close with what these numbers cannot show."""
    return section("limits", "Limits", bullets(limits(material)), paragraph(tag("b", NOT_A_DEVICE)))
