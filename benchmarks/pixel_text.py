"""How much of the text on films is found, what is lost with it, and what a film without any costs.

    python benchmarks/pixel_text.py [--n 520] [--seed 4711] [--workers 2] [--breakdown] [--json]

Draws N phantom films, 380 of siim's kind (1,024², through JPEG) for 140 of tmc's, judges each as it is, burns text
into it and judges it again: about two seconds of a core for each film. A film counts as blanked when all of its lines
lost 99 % of their ink at least, as held when a person is asked, else as released. Markers within a letter's height of
the text do not count: nobody could blank the one and keep the other. Seconds are the processor's. Thresholds were set
on films and texts of other seeds. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product

import cv2
import numpy as np
import numpy.typing as npt
from figures import Figure, at_least, at_most, parser, put_out, refuse, versions

from pipelines.cli.progress import bar
from pipelines.dicom.pixel_text import Verdict, judge
from pipelines.engine import LocalEngine
from pipelines.phantoms import pixels
from pipelines.phantoms.burned_in import BurnedText, burn_in
from pipelines.phantoms.cases import Case, draw_cases
from pipelines.phantoms.geometry import Layer
from pipelines.phantoms.identities import Identity, draw_identity
from pipelines.phantoms.streams import after_jpeg
from pipelines.records import Rejection

TMC_SHARE = 140 / 520
SIZES, CONTRASTS = (0, 12, 18, 28, 99), (0, 0.35, 0.6, 1.01)
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Result:
    """What became of one film, without text and with it."""

    clean: str
    clean_cpu_s: float
    outcome: str
    cpu_s: float
    marker_kept: bool | None
    name: str
    text: BurnedText
    height_px: float


def main() -> int:
    """Measure and print."""
    asking = parser(__doc__)
    asking.add_argument("--n", type=int, default=520)
    asking.add_argument("--seed", type=int, default=4711)
    asking.add_argument("--workers", type=int, default=2)
    asking.add_argument("--breakdown", action="store_true", help="by size, contrast and kind of type, too")
    asked = asking.parse_args()
    tmc_n = round(asked.n * TMC_SHARE)
    cases = [
        *draw_cases("siim", asked.n - tmc_n, seed=asked.seed),
        *draw_cases("tmc", tmc_n, seed=asked.seed + 1),
    ]
    with bar() as progress:
        outcomes = list(LocalEngine(asked.workers, progress=progress).map(measured, cases, label="films"))
    results = [one for one in outcomes if not isinstance(one, Rejection)]
    if len(results) < len(cases):
        refuse(f"{len(cases) - len(results)} of {len(cases)} films could not be judged")
    found = summed(results)
    if asked.breakdown:
        found += broken_down(results)
        for one in results:
            if one.outcome != "blanked" or one.clean != "clean" or one.marker_kept is False:
                text = f"with text {one.outcome}, without {one.clean}, marker kept: {one.marker_kept}"
                print(f"{one.name}: {text}", file=sys.stderr)
    return put_out(found, as_json=asked.json)


def measured(case: Case) -> Result:
    """Draw one film, and judge it without and with text."""
    markers: list[Box] = []
    film = drawn(case, markers)
    rng = np.random.default_rng([case.seed, case.index, 77])
    identity = draw_identity(rng, patient=case.patient, is_female=case.is_female, age=case.age)
    written, texts = burn_in(film, rng, identity=identity)
    clean, clean_cpu_s = judged(shown(case, film), ())
    verdict, cpu_s = judged(shown(case, written), named(case, identity))
    is_near = any(touches(marker, text) for marker in markers for text in texts)
    return Result(
        clean=clean.fate,
        clean_cpu_s=clean_cpu_s,
        outcome=outcome_of(verdict, texts, np.abs(written - film) > 0.03),
        cpu_s=cpu_s,
        marker_kept=None if is_near or not markers else is_kept(verdict, markers[0]),
        name=f"{case.kind} {case.seed} {case.index}",
        text=texts[0],
        height_px=texts[0].height_px * 1024 / max(film.shape),
    )


def drawn(case: Case, markers: list[Box]) -> Layer:
    """Return the film, noting where its side marker stands."""
    mark = pixels.mark_side

    def noting(image: Layer, rng: np.random.Generator) -> None:
        before = image.copy()
        mark(image, rng)
        x, y, width, height = cv2.boundingRect((np.abs(image - before) > 0.05).astype(np.uint8))
        markers.append((x, y, width, height))

    pixels.mark_side = noting
    try:
        return pixels.draw_film(
            case.generator(), case.anatomy(), case.view, case.findings, (case.rows, case.columns)
        ).image
    finally:
        pixels.mark_side = mark


def shown(case: Case, film: Layer) -> npt.NDArray[np.uint8]:
    """Return a film in 8 bit."""
    image = np.round(film * 255).astype(np.uint8)
    return after_jpeg(image, 92) if case.kind == "siim" else image


def named(case: Case, identity: Identity) -> tuple[str, ...]:
    """Return what the header says: a hospital's everything, siim's nothing."""
    if case.kind == "siim":
        return ()
    born = identity.birth_date
    return (
        identity.name.split("=", maxsplit=1)[0].replace("^", " "),
        identity.patient_id,
        *(f"{born:{form}}" for form in ("%Y%m%d", "%d%m%Y", "%m%d%Y")),
        identity.referring.replace("^", " "),
    )


def judged(image: npt.NDArray[np.uint8], identifiers: tuple[str, ...]) -> tuple[Verdict, float]:
    """Judge, with the seconds of the processor."""
    started = time.process_time()
    verdict = judge([image], identifiers)
    return verdict, time.process_time() - started


def outcome_of(verdict: Verdict, texts: list[BurnedText], ink: npt.NDArray[np.bool_]) -> str:
    """Return blanked, held or released."""
    if verdict.fate != "blank":
        return "held" if verdict.fate == "hold" else "released"
    left = ink.copy()
    for x, y, width, height in verdict.boxes:
        left[y : y + height, x : x + width] = False
    shares = []
    for text in texts:
        x, y, width, height = text.box
        place = slice(y, y + height), slice(x, x + width)
        shares.append(left[place].sum() / max(1, ink[place].sum()))
    return "blanked" if max(shares) <= 0.01 else "released"


def is_kept(verdict: Verdict, marker: Box) -> bool:
    """Return whether nothing of a marker is blanked."""
    return verdict.fate != "blank" or not any(overlap(marker, box) for box in verdict.boxes)


def touches(marker: Box, text: BurnedText) -> bool:
    """Return whether a marker stands within a letter's height of a text."""
    gap = round(max(text.height_px, marker[3]))
    x, y, width, height = text.box
    return overlap(marker, (x - gap, y - gap, width + 2 * gap, height + 2 * gap))


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes share pixels."""
    return all(
        one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


def summed(results: list[Result]) -> list[Figure]:
    """Return what was reached, beside the goals."""
    n, known = len(results), versions("rapidocr-onnxruntime")
    markers = [one.marker_kept for one in results if one.marker_kept is not None]
    share, cost = (partial(Figure, unit=unit, versions=known) for unit in ("%", "s a film"))
    return [
        share(
            f"of films with text: blanked, n = {n}",
            100 * mean(one.outcome == "blanked" for one in results),
            goal=at_least(94),
        ),
        share(
            "of films with text: neither blanked nor held",
            100 * mean(one.outcome == "released" for one in results),
            goal=at_most(0),
        ),
        share(
            "of films without text: touched",
            100 * mean(one.clean != "clean" for one in results),
            goal=at_most(1),
        ),
        share(f"of side markers: kept, n = {len(markers)}", 100 * mean(markers), goal=at_least(99)),
        cost(
            "judge a film without text, processor",
            mean(one.clean_cpu_s for one in results),
            goal=at_most(0.1),
        ),
        cost("judge a film with text, processor", mean(one.cpu_s for one in results)),
    ]


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value."""
    return float(np.mean([*values]))


def broken_down(results: list[Result]) -> list[Figure]:
    """Return the share of films blanked, by size and contrast and by kind of type."""
    found = []
    for (low, high), (faint, strong) in product(pairwise(SIZES), pairwise(CONTRASTS)):
        here = [one for one in results if low <= one.height_px < high and faint <= one.text.contrast < strong]
        found += outcomes_of(f"{low} to {high} px, contrast {faint:.2f} to {strong:.2f}", here)
    kinds: dict[str, Callable[[BurnedText], object]] = {
        "font": lambda text: text.font,
        "rotation": lambda text: text.rotation,
        "style": lambda text: text.style,
        "strokes": lambda text: "dark" if text.is_dark else "light",
    }
    for kind, value_of in kinds.items():
        for value in sorted({str(value_of(one.text)) for one in results}):
            found += outcomes_of(
                f"{kind} {value}", [one for one in results if str(value_of(one.text)) == value]
            )
    return found


def outcomes_of(label: str, here: list[Result]) -> list[Figure]:
    """Return how many of these films were blanked, held and released."""
    counted = {name: sum(one.outcome == name for one in here) for name in ("blanked", "held", "released")}
    return [
        Figure(f"{label}: {name} of {len(here)}", float(n), "films") for name, n in counted.items() if here
    ]


if __name__ == "__main__":
    sys.exit(main())
