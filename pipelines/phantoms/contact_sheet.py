"""Many small films on one picture, without and with their masks: to look at what the phantoms look like.

``python -m pipelines.phantoms.contact_sheet siim --seed 1 --n 24 --out FOLDER`` writes ``phantoms_siim.jpg`` and
``phantoms_siim_masks.jpg``. Every second film is a positive one, so that there is something to look for.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.cases import KINDS, Case, Kind, draw_cases
from pipelines.phantoms.pixels import Film, draw_film

_DRAWN = 400
"""Cases among which the films of a sheet are chosen."""
_ACROSS = 6
_GAP_PX = 4
_ORANGE = (0, 159, 230)
"""Blue, green, red of Okabe and Ito's orange, which colour-blind people tell from grey."""


def contact_sheet(
    kind: Kind, *, seed: int, n: int = 24, side_px: int = 256
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return two pictures of the same `n` films: grey, and with the outlines of their masks.

    Returns
    -------
    (H, W) uint8, and (H, W, 3) uint8 in opencv's order of colours.
    """
    films = [_drawn(case, 2 * side_px) for case in _chosen(draw_cases(kind, _DRAWN, seed=seed), n)]
    plain = [_thumbnail(film, side_px) for film in films]
    grey = _tiled(plain)
    return grey, _tiled([_outlined(one, film.mask) for one, film in zip(plain, films, strict=True)])


def _chosen(cases: Sequence[Case], n: int) -> list[Case]:
    positives = [case for case in cases if case.is_positive][: n // 2]
    negatives = [case for case in cases if not case.is_positive][: n - n // 2]
    mixed = [case for pair in zip(positives, negatives, strict=False) for case in pair]
    return mixed + negatives[len(positives) :]


def _drawn(case: Case, longest_px: int) -> Film:
    """Draw a film; a large one is a waste on a thumbnail."""
    scale = min(1.0, longest_px / max(case.rows, case.columns))
    size = (round(case.rows * scale), round(case.columns * scale))
    return draw_film(case.generator(), case.anatomy(), case.view, case.findings, size)


def _thumbnail(film: Film, side_px: int) -> NDArray[np.uint8]:
    small = cv2.resize(film.image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.round(small * 255).astype(np.uint8)


def _outlined(grey: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    small = cv2.resize(mask.astype(np.uint8), grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(colour, outlines, -1, _ORANGE, 1)
    return np.asarray(colour, dtype=np.uint8)


def _tiled(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    around = ((0, _GAP_PX), (0, _GAP_PX), *((0, 0),) * (pictures[0].ndim - 2))
    padded = [np.pad(one, around) for one in pictures]
    padded += [np.zeros_like(padded[0])] * (-len(padded) % _ACROSS)
    rows = [np.hstack(padded[at : at + _ACROSS]) for at in range(0, len(padded), _ACROSS)]
    return np.vstack(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both pictures of a kind."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=24)
    parser.add_argument("--side", type=int, default=256, help="px of a film on the sheet")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    grey, outlined = contact_sheet(chosen.kind, seed=chosen.seed, n=chosen.n, side_px=chosen.side)
    for name, picture in ((chosen.kind, grey), (f"{chosen.kind}_masks", outlined)):
        path = chosen.out / f"phantoms_{name}.jpg"
        if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 85]):
            raise OSError(f"{path} could not be written")


if __name__ == "__main__":
    main()
