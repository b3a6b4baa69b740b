"""Whether an image can be used: blank, saturated, cropped, turned, inverted, not a frontal chest.

Here: rules over measured features, each with its threshold. Not here: what follows from a finding
(`curate`), faults of the label (`labels`).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation.chest_likeness import Likeness, chest_likeness
from pipelines.curation.columns import by_radiograph
from pipelines.curation.framing import measure_framing
from pipelines.curation.pixels import batches
from pipelines.lake.shards import ShardSet
from pipelines.records import Reason, Row

# Blocking: nothing can be learnt from the image, and a model's answer to it means nothing. The others are
# for a person to look at: a portable film of a very ill patient may look wrong and be right.
SEVERITIES = {
    "blank": "blocking",
    "not_frontal": "blocking",
    "saturated": "warning",
    "cropped": "warning",
    "upside_down": "warning",
    "wrongly_inverted": "warning",
}
# The reason under which a blocking finding sets a radiograph aside.
REASONS = {"blank": Reason.NOT_A_RADIOGRAPH, "not_frontal": Reason.NOT_FRONTAL}

# Grey levels between the 5th and 95th percentile. A chest spans 120 and more; below 10 nothing can be seen.
BLANK_RANGE = 10.0
# Parts of the frame at full white or full black. Collimation and air beside the patient make up to a third
# black; white is bone and abdomen, at most a third.
SATURATED_WHITE = 0.40
SATURATED_BLACK = 0.55
_WHITE, _BLACK = 250, 5
# Correlation with a drawn chest. Clear films reach 0.65 to 0.80, one with a white lung 0.38; MR, text and
# test patterns stay below 0.30 or share no left-right structure. Low on purpose: a film lost here is lost
# for good.
FRONTAL_WHOLE = 0.30
FRONTAL_ACROSS = 0.28
# What is taken for a negative, an upside-down or a sideways chest must look like one, and clearly more so
# than the image as it is.
TURNED_WHOLE = 0.35
TURNED_ACROSS = 0.30
TURNED_MARGIN = 0.05
# Framing (see `framing`): clean films keep within 0.07, 0.12 and 0.94; a quarter cut from a side moves the
# midline by 0.16, a fifth from the top gives 0.4, 0.45 from the bottom leaves 0.35.
CROPPED_OFFSET = 0.10
CROPPED_TOP = 0.16
CROPPED_BOTTOM = 0.80


@dataclass(frozen=True)
class Fault:
    """
    One thing that is wrong with an image.

    Attributes
    ----------
    rule : str
        A key of `SEVERITIES`.
    detail : str
        What was measured, beside the threshold.
    """

    rule: str
    detail: str


def find_faults(instances: pa.Table, images: pa.Table, *, shards: ShardSet) -> list[Row]:
    """
    Look at every rendered radiograph of a cohort.

    Parameters
    ----------
    instances, images : pyarrow.Table
        The tables of one cohort; images without an instance are left out.
    shards : ShardSet
        Where the rendered images lie: uint8 (S, S), 128 ≤ S ≤ 512, 0 black, 255 white.

    Returns
    -------
    list of Row
        Rows of `quality_findings`, in the order of `images`.
    """
    cohorts = by_radiograph(instances, "cohort")
    return [
        {
            "radiograph_id": key,
            "cohort": cohorts[key],
            "rule": fault.rule,
            "severity": SEVERITIES[fault.rule],
            "detail": fault.detail,
        }
        for keys, pixels in batches(images, shards)
        for key, faults in zip(keys, faults_of(pixels), strict=True)
        if key in cohorts
        for fault in faults
    ]


def is_frontal_chest(image: NDArray[np.uint8]) -> tuple[bool, str]:
    """
    Say whether an image is a frontal chest radiograph; one that is upside-down or negative still is.

    Parameters
    ----------
    image : uint8 array of shape (S, S)
        A rendered radiograph, 128 ≤ S ≤ 512, 0 black, 255 white.

    Returns
    -------
    tuple of bool and str
        The answer and what was measured, for a person to read.
    """
    faults = {fault.rule: fault.detail for fault in faults_of(image[None])[0]}
    for rule in ("blank", "not_frontal"):
        if rule in faults:
            return False, f"{rule}: {faults[rule]}"
    for rule in ("upside_down", "wrongly_inverted"):
        if rule in faults:
            return True, f"frontal chest, {rule}: {faults[rule]}"
    return True, "frontal chest"


def faults_of(images: NDArray[np.uint8]) -> list[list[Fault]]:
    """
    Measure images (N, S, S) and name what is wrong with each.

    A blank image has no further faults; one that is no frontal chest is neither cropped nor turned.
    """
    upright = chest_likeness(images)
    turned = {
        "upside_down": [chest_likeness(images[:, ::-1])],
        "wrongly_inverted": [chest_likeness(255 - images)],
        "not_frontal": [chest_likeness(np.rot90(images, turns, axes=(1, 2))) for turns in (1, 3)],
    }
    return [
        _blank(image) or [*_saturated(image), *_chest_faults(at, image, upright, turned)]
        for at, image in enumerate(images)
    ]


def _blank(image: NDArray[np.uint8]) -> list[Fault]:
    low, high = np.percentile(image[::2, ::2], [5, 95])  # every fourth pixel says as much, four times as fast
    if high - low >= BLANK_RANGE:
        return []
    return [Fault("blank", f"grey levels span {high - low:.0f} of 255, under {BLANK_RANGE:.0f}")]


def _saturated(image: NDArray[np.uint8]) -> list[Fault]:
    white, black = float(np.mean(image >= _WHITE)), float(np.mean(image <= _BLACK))
    if white <= SATURATED_WHITE and black <= SATURATED_BLACK:
        return []
    return [
        Fault(
            "saturated",
            f"{white:.0%} white and {black:.0%} black, over {SATURATED_WHITE:.0%} or {SATURATED_BLACK:.0%}",
        )
    ]


def _chest_faults(
    at: int, image: NDArray[np.uint8], upright: Likeness, turned: dict[str, list[Likeness]]
) -> list[Fault]:
    own = float(upright.whole[at])
    best, across, rule = max(
        (float(likeness.whole[at]), float(likeness.across[at]), rule)
        for rule, likenesses in turned.items()
        for likeness in likenesses
    )
    if best >= max(TURNED_WHOLE, own + TURNED_MARGIN) and across >= TURNED_ACROSS:
        how = {"upside_down": "turned over", "wrongly_inverted": "as a negative"}.get(
            rule, "turned by 90 degrees"
        )
        return [Fault(rule, f"likeness to a frontal chest {own:.2f} as it is, {best:.2f} {how}")]
    if own < FRONTAL_WHOLE or upright.across[at] < FRONTAL_ACROSS:
        return [
            Fault(
                "not_frontal",
                f"likeness to a frontal chest {own:.2f} (from {FRONTAL_WHOLE:.2f}), "
                f"across {upright.across[at]:.2f} (from {FRONTAL_ACROSS:.2f})",
            )
        ]
    return _cropped(image)


def _cropped(image: NDArray[np.uint8]) -> list[Fault]:
    framing = measure_framing(image)
    measured = []
    if abs(framing.midline_offset) > CROPPED_OFFSET:
        measured.append(f"midline {framing.midline_offset:+.2f} of the width off the middle")
    if framing.top_contrast > CROPPED_TOP:
        measured.append(f"lungs meet the upper edge ({framing.top_contrast:.2f}, over {CROPPED_TOP:.2f})")
    if framing.bottom_brightness < CROPPED_BOTTOM:
        measured.append(f"no abdomen below ({framing.bottom_brightness:.2f}, under {CROPPED_BOTTOM:.2f})")
    return [Fault("cropped", "; ".join(measured))] if measured else []
