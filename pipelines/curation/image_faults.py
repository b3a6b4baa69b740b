"""What is wrong with an image as it shows: blank, saturated, cropped, turned, inverted, not a frontal chest.

Here: rules over measured features, each with its threshold. Not here: what the header says of it, and how bad
a finding is (`image_quality`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.curation.chest_likeness import Likeness, chest_likeness, lateral_likeness
from pipelines.curation.framing import Framing, bottom_over_top, measure_framing

# Grey levels between the 5th and 95th percentile, noise averaged away. A chest spans 100 and more. Below 10
# nothing can be seen; below 60 what shows has to look like a chest, or it is the unevenness of an empty plate,
# stretched to be seen.
BLANK_RANGE = 10.0
FAINT_RANGE = 60.0
FAINT_WHOLE = 0.45
# Parts of the frame at full white or full black. Collimation and air beside the patient make up to a third
# black; white is bone and abdomen, at most a third.
SATURATED_WHITE = 0.40
SATURATED_BLACK = 0.55
_WHITE, _BLACK = 250, 5
# Correlation with a drawn chest. Clear films reach 0.47 to 0.85, one with a white lung 0.38; MR, text and
# test patterns stay below 0.30 or share no left-right structure. Low on purpose: a film lost here is lost
# for good. Black beyond a fifth of the frame counts against it: a chest fills its frame, a hand does not.
FRONTAL_WHOLE = 0.30
FRONTAL_ACROSS = 0.28
BLACK_ALLOWED, BLACK_WEIGHT = 0.20, 0.30
# A lateral looks like a chest drawn from the side (0.77 to 0.80; frontal films 0.44 to 0.73), and clearly more
# so than like one from the front (by 0.32 to 0.38; frontal films by 0.17 at most).
LATERAL_WHOLE = 0.60
LATERAL_MARGIN = 0.24
# ... and fills the frame: a hand on black looks like one too.
LATERAL_BLACK = 0.50
# What is taken for a negative, an upside-down or a sideways chest must look like one, and clearly more so
# than the image as it is.
TURNED_WHOLE = 0.35
TURNED_ACROSS = 0.30
TURNED_MARGIN = 0.065
# Abdomen is bright and lies below: how bright takes from, or adds to, what looks turned over. Then 1,625 upright
# phantoms keep 0.06 or more away from looking upside-down, four real films 0.35.
UPRIGHT_WEIGHT = 0.60
# Framing (see `framing`): clean films keep within 0.07, 0.17 and 0.94; a quarter cut from a side moves the
# midline by 0.16, a fifth from the top gives 0.4, 0.45 from the bottom leaves 0.35.
CROPPED_OFFSET = 0.10
CROPPED_TOP = 0.20
CROPPED_BOTTOM = 0.80
# The heart is on the patient's left, the picture's right: above 0 on 995 of 1,000 phantoms, on the rest a tension
# pneumothorax has pushed it over; by 0.10 or more on four real films.
MIRRORED_HEART = -0.07


@dataclass(frozen=True)
class Fault:
    """
    One thing that is wrong with an image.

    Attributes
    ----------
    rule : str
        A key of `image_quality.SEVERITIES`.
    detail : str
        What was measured, beside the threshold.
    """

    rule: str
    detail: str


def faults_of(images: NDArray[np.uint8]) -> list[list[Fault]]:
    """
    Measure images (N, S, S) and name what is wrong with each.

    A blank image has no further faults; one that is no frontal chest is neither cropped nor turned.
    """
    upright = chest_likeness(images)
    lateral = lateral_likeness(images)
    turned = {
        "upside_down": [chest_likeness(images[:, ::-1])],
        "wrongly_inverted": [chest_likeness(255 - images)],
        "not_frontal": [chest_likeness(np.rot90(images, turns, axes=(1, 2))) for turns in (1, 3)],
    }
    return [
        _blank(image, float(upright.whole[at]))
        or [*_saturated(image), *_chest_faults(at, image, upright, turned, float(lateral[at]))]
        for at, image in enumerate(images)
    ]


def _blank(image: NDArray[np.uint8], likeness: float) -> list[Fault]:
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, [5, 95])
    if high - low >= FAINT_RANGE or (high - low >= BLANK_RANGE and likeness >= FAINT_WHOLE):
        return []
    return [
        Fault(
            "blank",
            f"grey levels span {high - low:.0f} of 255 (from {FAINT_RANGE:.0f}, or {BLANK_RANGE:.0f} where a chest "
            f"shows), likeness to a frontal chest {likeness:.2f} (from {FAINT_WHOLE:.2f})",
        )
    ]


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
    at: int,
    image: NDArray[np.uint8],
    upright: Likeness,
    turned: dict[str, list[Likeness]],
    lateral: float,
) -> list[Fault]:
    black = float(np.mean(image <= _BLACK))
    own = float(upright.whole[at]) - BLACK_WEIGHT * max(0.0, black - BLACK_ALLOWED)
    below = UPRIGHT_WEIGHT * bottom_over_top(image)
    likelier = [
        (float(likeness.whole[at]), rule)
        for rule, likenesses in turned.items()
        for likeness in likenesses
        if likeness.whole[at] >= TURNED_WHOLE
        and likeness.across[at] >= TURNED_ACROSS
        and likeness.whole[at] - below * (rule == "upside_down") >= own + TURNED_MARGIN
    ]
    if likelier:
        likeness_turned, rule = max(likelier)
        how = _turned(rule, likeness_turned, below)
        return [Fault(rule, f"likeness to a frontal chest {own:.2f} as it is, {how}")]
    looks_lateral = lateral >= max(LATERAL_WHOLE, float(upright.whole[at]) + LATERAL_MARGIN)
    if looks_lateral and black <= LATERAL_BLACK:
        return [
            Fault(
                "lateral",
                f"likeness to a lateral chest {lateral:.2f} (from {LATERAL_WHOLE:.2f}), to a frontal one "
                f"{upright.whole[at]:.2f} (apart by {LATERAL_MARGIN:.2f} or more)",
            )
        ]
    if own < FRONTAL_WHOLE or upright.across[at] < FRONTAL_ACROSS:
        return [
            Fault(
                "not_frontal",
                f"likeness to a frontal chest {own:.2f} (from {FRONTAL_WHOLE:.2f}), "
                f"across {upright.across[at]:.2f} (from {FRONTAL_ACROSS:.2f})",
            )
        ]
    framing = measure_framing(image)
    return [*_cropped(framing), *_mirrored(framing)]


def _turned(rule: str, likeness: float, below: float) -> str:
    if rule == "upside_down":
        return f"{likeness:.2f} turned over; {below:+.2f} for the lower edge, which abdomen makes bright"
    return f"{likeness:.2f} {'as a negative' if rule == 'wrongly_inverted' else 'turned by 90 degrees'}"


def _mirrored(framing: Framing) -> list[Fault]:
    if framing.heart_side > MIRRORED_HEART:
        return []
    return [
        Fault(
            "mirrored",
            f"the heart covers more on the picture's left, by {-framing.heart_side:.2f} "
            f"(from {-MIRRORED_HEART:.2f}): mirrored, pushed over, or a rare situs",
        )
    ]


def _cropped(framing: Framing) -> list[Fault]:
    measured = []
    if abs(framing.midline_offset) > CROPPED_OFFSET:
        measured.append(f"midline {framing.midline_offset:+.2f} of the width off the middle")
    if framing.top_contrast > CROPPED_TOP:
        measured.append(f"lungs meet the upper edge ({framing.top_contrast:.2f}, over {CROPPED_TOP:.2f})")
    if framing.bottom_brightness < CROPPED_BOTTOM:
        measured.append(f"no abdomen below ({framing.bottom_brightness:.2f}, under {CROPPED_BOTTOM:.2f})")
    return [Fault("cropped", "; ".join(measured))] if measured else []
