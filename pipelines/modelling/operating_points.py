"""How probabilities become a mask, and a mask a call: the paper's way, and any other that is chosen on validation.

Here: what an operating point is. Not here: choosing one (`selection`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pdeseray_model.metrics import Gate, area_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pdeseray_model.metrics import Masks

PAPER = "paper"
SELECTED = "selected"
MASK_THRESHOLD = 0.5
"""Table 3: threshold for the binary mask."""


GATE_PX, GATE_SIDES_PX = 3500, (512, 1024)
"""The paper gives the gate's area in pixels and not of which mask: of 512 x 512 it is 1.335 % of the image, above most
pneumothoraces, of 1,024 x 1,024 it is 0.334 %."""


def gate_readings() -> dict[str, Gate]:
    """Name every reading of the paper's gate: its area, and of what; they are shown side by side, none is chosen."""
    scopes: tuple[Literal["whole", "largest_component"], ...] = ("whole", "largest_component")
    return {
        f"gate_{side}_{scope}": Gate(GATE_PX / side**2, scope) for side in GATE_SIDES_PX for scope in scopes
    }


@dataclass(frozen=True)
class OperatingPoint:
    """From probabilities to a mask and a call.

    Attributes
    ----------
    name
        Value of ``evaluations.operating_point``.
    threshold
        A pixel is on where its probability is at least this.
    seed_threshold, seed_area_fraction
        The mask is emptied where fewer than this share of the image's pixels reach the seed threshold: with one
        threshold for both the doublet rule of segmentation challenges, with a higher one the triplet rule. A share
        of 0 empties nothing (the paper).
    gate
        When the mask that remains counts as "pneumothorax present".
    """

    name: str = PAPER
    threshold: float = MASK_THRESHOLD
    seed_threshold: float = MASK_THRESHOLD
    seed_area_fraction: float = 0.0
    gate: Gate = field(default_factory=Gate)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= self.seed_threshold <= 1 or not 0 <= self.seed_area_fraction < 1:
            raise ValueError(
                "expected 0 < threshold <= seed_threshold <= 1 and a seed area in [0, 1) of the image, "
                f"found {self.threshold}, {self.seed_threshold}, {self.seed_area_fraction}"
            )

    def masks(self, probabilities: NDArray[np.floating[Any]]) -> Masks:
        """Cut (N, S, S) probabilities in [0, 1]: (N, S, S) bool."""
        masks: Masks = probabilities >= self.threshold
        if self.seed_area_fraction:
            least = math.ceil(self.seed_area_fraction * masks.shape[1] * masks.shape[2])
            masks[area_px(probabilities >= self.seed_threshold) < least] = False
        return masks

    @property
    def rule(self) -> str:
        """How pixels are chosen, in words."""
        cut = f"threshold {self.threshold:g}"
        if not self.seed_area_fraction:
            return cut
        least = f"{100 * self.seed_area_fraction:.3f} % of the image"
        if self.seed_threshold == self.threshold:
            return f"{cut}, emptied below {least} (doublet)"
        return f"{cut}, emptied where less than {least} reaches {self.seed_threshold:g} (triplet)"

    def __str__(self) -> str:
        return f"{self.rule}; {self.gate}"
