"""Text burned into a film, as old exporters and digitised films have it, with what stands where recorded.

What belongs here: what is written, in which type, where and how faintly. It needs numpy and opencv only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.geometry import Layer
from pipelines.phantoms.identities import INSTITUTION, Identity

Style = Literal["plain", "boxed"]
Rotation = Literal[0, 90, 270]

HEIGHTS_PX = (9.0, 44.0)
"""Smallest and largest height of a capital on a film of 1,024 px; both grow with the film."""
CONTRASTS = (0.2, 1.0)
"""Between a stroke and its mean surroundings, in shares of the range from black to white."""
_REFERENCE_PX = 1024
_ROTATED, _BOXED, _IN_CORNER, _SEVERAL = 0.2, 0.2, 0.6, 0.4
"""Shares of texts that run upwards or downwards, stand on a label, stand near a corner, have more lines."""
_UPRIGHT: tuple[Rotation, ...] = (0, 90, 270)
_TRIES, _LABEL_TRIES = 60, 6
_QUIET = 0.35
"""A person reads strokes that stand out of their surroundings by about three times these surroundings' spread."""
_LOUDEST, _DARK, _EVEN, _HALF = 0.9, 0.3, 0.5, 0.5
_CAPITALS, _TITLED, _TIMED = 0.7, 0.4, 0.3
"""Shares of names in capitals, of numbers that say what they are, of dates with a time."""
_FIRST_AFTER_ASCII = 128
_FLAT = 127
FONTS = (
    "sans 300",
    "sans 400",
    "sans 800",
    "italic 400",
    "italic 700",
    "uni 400",
    "condensed 400",
    "wide 600",
    "pixel 500",
    "rimmed 600",
)
"""Face and weight. OpenCV's three outline faces; `condensed`, `wide`, `pixel` (as old consoles draw, in steps of a
twelfth of a capital) and `rimmed` (light strokes with a dark rim, or the reverse) are made of its `sans`."""
_STRETCH = {"condensed": 0.72, "wide": 1.3}
_PIXEL_STEPS = 12.0
HARMLESS = ("AP", "PA", "ERECT", "SUPINE", "PORTABLE", "UPRIGHT", "CHEST PA", "AP ERECT", "R", "L",
            "08:45", "125 kV", "2.5 mAs")  # fmt: skip


@dataclass(frozen=True)
class BurnedText:
    """One line of text on a film.

    Attributes
    ----------
    text
        As written.
    box
        x, y, width and height in native px: the smallest that holds all its ink.
    identifying
        Whether it says who, when or where.
    height_px
        Of a capital, native.
    contrast
        Of its strokes against their mean surroundings, 0 to 1 of the range from black to white.
    rotation
        0; 90: reads upwards; 270: reads downwards.
    font
        One of `FONTS`.
    style
        ``plain``, or ``boxed``: on an even label.
    is_dark
        Whether strokes are darker than what they stand on.
    """

    text: str
    box: tuple[int, int, int, int]
    identifying: bool
    height_px: float
    contrast: float
    rotation: Rotation
    font: str
    style: Style
    is_dark: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as the truth file holds it."""
        return {**asdict(self), "box": list(self.box)}


@dataclass(frozen=True)
class _Block:
    """Lines below each other: coverage 0 to 255, each line's box in it, and the width of their rim."""

    coverage: NDArray[np.uint8]
    boxes: tuple[tuple[int, int, int, int], ...]
    rim_px: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.coverage.shape[0], self.coverage.shape[1]


def burn_in(
    image: Layer,
    rng: np.random.Generator,
    *,
    identity: Identity | Mapping[str, str],
    identifying: bool = True,
    height_px: float | None = None,
    contrast: float | None = None,
    rotation: Rotation | None = None,
    font: str | None = None,
) -> tuple[Layer, list[BurnedText]]:
    """Write text onto a film.

    Parameters
    ----------
    image : ndarray of shape (rows, columns), float32
        0 black to 1 white as displayed; it is left as it is.
    rng : Generator
        Draws what is not given; equal states give equal films.
    identity : Identity or mapping
        Whose name, numbers and dates are written. A mapping gives texts by kind, as `identifying_texts` returns.
    identifying : bool
        False writes words that belong on a film (`HARMLESS`).
    height_px, contrast, rotation, font
        Of the text. Where a line would not be legible on any of the places drawn, its contrast is raised.

    Returns
    -------
    image : ndarray
        A copy with the text.
    texts : list of BurnedText
        One or more lines, those of a block below each other.
    """
    kinds = identity if isinstance(identity, Mapping) else identifying_texts(identity, rng)
    words = list(kinds.values()) if identifying else list(HARMLESS)
    scale = max(image.shape) / _REFERENCE_PX
    if height_px is None:
        height_px = float(np.exp(rng.uniform(*np.log(HEIGHTS_PX)))) * scale
    if contrast is None:
        contrast = float(rng.uniform(*CONTRASTS))
    if rotation is None:
        rotation = _UPRIGHT[int(rng.integers(1, 3)) if rng.random() < _ROTATED else 0]
    font = font or FONTS[int(rng.integers(len(FONTS)))]
    lines_n = int(rng.integers(2, 4)) if identifying and rng.random() < _SEVERAL else 1
    lines = [words[int(at)] for at in rng.choice(len(words), min(lines_n, len(words)), replace=False)]
    style: Style = "boxed" if rng.random() < _BOXED else "plain"
    block = _set(lines, font, height_px, rotation)
    while not _fits(block, image):
        if len(lines) > 1:
            lines = lines[:-1]
        else:
            height_px *= 0.8
        block = _set(lines, font, height_px, rotation)
    written, place, reached, is_dark = _write(image, rng, block, contrast, style)
    texts = [
        BurnedText(
            text=line,
            box=(place[0] + x, place[1] + y, width, height),
            identifying=identifying,
            height_px=round(height_px, 1),
            contrast=round(reached, 3),
            rotation=rotation,
            font=font,
            style=style,
            is_dark=is_dark,
        )
        for line, (x, y, width, height) in zip(lines, block.boxes, strict=True)
    ]
    return written, texts


def identifying_texts(identity: Identity, rng: np.random.Generator) -> dict[str, str]:
    """Return what a console or a digitiser writes about a patient: kind → text, in one of its usual forms."""
    family, _, given = identity.name.split("=", maxsplit=1)[0].partition("^")
    family, given = _plain(family), _plain(given)
    doctor = _plain(identity.referring.split("^", maxsplit=1)[0])
    number = identity.patient_id
    names = (f"{family}, {given}", f"{family} {given}", f"{given} {family}", f"{family}^{given}")
    name = names[int(rng.integers(len(names)))]
    seen = date(2019, identity.birth_date.month, min(identity.birth_date.day, 28))
    return {
        "name": name.upper() if rng.random() < _CAPITALS else name,
        "patient_id": ("ID: " if rng.random() < _TITLED else "") + number,
        "birth_date": ("DOB " if rng.random() < _EVEN else "") + _date(identity.birth_date, rng),
        "study_date": _date(seen, rng) + (" 14:32" if rng.random() < _TIMED else ""),
        "institution": (INSTITUTION.split(" (", maxsplit=1)[0], "ST FICTIONAL GENERAL HOSPITAL")[
            int(rng.integers(2))
        ],
        "physician": f"DR {doctor.upper()}",
        "telephone": identity.telephone,
        "national_id": identity.national_id,
    }


def _date(day: date, rng: np.random.Generator) -> str:
    forms = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%d %b %Y", "%Y%m%d")
    return day.strftime(forms[int(rng.integers(len(forms)))])


def _plain(text: str) -> str:
    """Return a name in the letters that every console has."""
    import unicodedata

    return "".join(one for one in unicodedata.normalize("NFD", text) if ord(one) < _FIRST_AFTER_ASCII)


def _fits(block: _Block, image: Layer) -> bool:
    return all(part < 0.9 * whole for part, whole in zip(block.shape, image.shape, strict=True))


def _set(lines: Sequence[str], font: str, height_px: float, rotation: Rotation) -> _Block:
    """Set lines below each other."""
    drawn = [_line(line, font, height_px) for line in lines]
    gap = max(2, round(height_px * 0.6))
    width = max(one.shape[1] for one in drawn)
    height = sum(one.shape[0] for one in drawn) + gap * (len(drawn) - 1)
    block = np.zeros((height, width), np.uint8)
    boxes = []
    y = 0
    for one in drawn:
        block[y : y + one.shape[0], : one.shape[1]] = one
        boxes.append((0, y, one.shape[1], one.shape[0]))
        y += one.shape[0] + gap
    if rotation == 90:  # noqa: PLR2004 - degrees
        block = np.ascontiguousarray(np.rot90(block))
        boxes = [(y, width - x - w, h, w) for x, y, w, h in boxes]
    elif rotation == 270:  # noqa: PLR2004 - degrees
        block = np.ascontiguousarray(np.rot90(block, 3))
        boxes = [(height - y - h, x, h, w) for x, y, w, h in boxes]
    rim_px = max(1, round(height_px / 14)) if font.startswith("rimmed") else 0
    return _Block(block, tuple(boxes), rim_px)


def _line(text: str, font: str, height_px: float) -> NDArray[np.uint8]:
    """Return coverage (0-255) of one line, cut to its ink."""
    face, _, weight = font.partition(" ")
    steps = _PIXEL_STEPS if face == "pixel" and height_px > _PIXEL_STEPS else height_px
    ink = _cut(_draw(text, face, int(weight), steps / _capital_height(font)))
    if face == "pixel":
        ink = np.where(ink > _FLAT, 255, 0).astype(np.uint8)
    grown = height_px / steps
    size = (
        max(1, round(ink.shape[1] * grown * _STRETCH.get(face, 1.0))),
        max(1, round(ink.shape[0] * grown)),
    )
    if size == ink.shape[::-1]:
        return ink
    way = cv2.INTER_NEAREST if face == "pixel" else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(ink, size, interpolation=way), np.uint8)


def _draw(text: str, face: str, weight: int, size: float) -> NDArray[np.uint8]:
    """Return coverage of a text, with room around it."""
    canvas = np.zeros((round(size * 2.5) + 20, round((len(text) + 3) * size) + 20), np.uint8)
    at = (round(size * 0.6) + 5, round(size * 1.6) + 5)
    _, drawn = cv2.putText(canvas, text, at, (255,), _face(face), max(1, round(size)), weight)
    return np.asarray(drawn, np.uint8)


def _cut(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


@cache
def _face(name: str) -> Any:  # noqa: ANN401 - opencv has no type for it
    return cv2.FontFace(name if name in ("italic", "uni") else "sans")


@cache
def _capital_height(font: str) -> float:
    """Return the height of a capital in px per unit of size."""
    face, _, weight = font.partition(" ")
    ink = _draw("H", face, int(weight), 100.0)
    return float(np.count_nonzero(ink.max(axis=1) > _FLAT)) / 100


def _write(
    image: Layer, rng: np.random.Generator, block: _Block, contrast: float, style: Style
) -> tuple[Layer, tuple[int, int], float, bool]:
    """Blend a block in where it is legible; return film, place, the contrast reached and its polarity."""
    if style == "boxed":
        return _label(image, rng, block, contrast)
    while contrast < _LOUDEST:
        for _ in range(_TRIES):
            place = _place(image, rng, block)
            under = image[_around(place, block)]
            mean, spread = float(under.mean()), float(under.std())
            if spread <= _QUIET * contrast and (mean >= contrast or mean + contrast <= 1):
                out = image.copy()
                is_dark = _is_dark(rng, mean, contrast)
                _ink(out, block, place, mean - contrast if is_dark else mean + contrast)
                return out, place, contrast, is_dark
        contrast *= 1.15
    return _label(image, rng, block, contrast)  # nowhere is the film quiet enough


def _label(
    image: Layer, rng: np.random.Generator, block: _Block, contrast: float
) -> tuple[Layer, tuple[int, int], float, bool]:
    """Write a block on an even label, white or black, where it hides least: not over a marker."""
    places = [_place(image, rng, block) for _ in range(_LABEL_TRIES)]
    place = min(places, key=lambda one: float(image[_around(one, block)].std()))
    shade = float(rng.uniform(0, 0.08))
    level = shade if rng.random() < _EVEN else 1 - shade
    contrast = min(contrast, _LOUDEST)
    out = image.copy()
    out[_around(place, block)] = level
    is_dark = _is_dark(rng, level, contrast)
    _ink(out, block, place, level - contrast if is_dark else level + contrast)
    return out, place, contrast, is_dark


def _is_dark(rng: np.random.Generator, level: float, contrast: float) -> bool:
    """Return whether strokes are dark: seldom, unless there is no room for lighter ones."""
    return level >= contrast and (level + contrast > 1 or bool(rng.random() < _DARK))


def _ink(film: Layer, block: _Block, place: tuple[int, int], value: float) -> None:
    """Blend strokes in, in place, with their rim of the other polarity where they have one."""
    x, y = place
    margin = block.rim_px
    if margin:
        grown = cv2.dilate(
            np.pad(block.coverage, margin), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
        )
        top, left = min(margin, y), min(margin, x)
        rim = film[y - top : y + block.shape[0] + margin, x - left : x + block.shape[1] + margin]
        share = grown[margin - top :, margin - left :][: rim.shape[0], : rim.shape[1]]
        rim += (np.float32(0.0 if value > _HALF else 1.0) - rim) * (
            share.astype(np.float32) / np.float32(255)
        )
    piece = film[y : y + block.shape[0], x : x + block.shape[1]]
    piece += (np.float32(value) - piece) * (block.coverage.astype(np.float32) / np.float32(255))


def _around(place: tuple[int, int], block: _Block) -> tuple[slice, slice]:
    """Return a block's place with a margin."""
    (x, y), (height, width) = place, block.shape
    margin = max(3, round(min(block.shape) * 0.15))
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)


def _place(image: Layer, rng: np.random.Generator, block: _Block) -> tuple[int, int]:
    """Return x and y of the upper left corner: near a corner of the film, or anywhere on it."""
    free_x, free_y = image.shape[1] - block.shape[1], image.shape[0] - block.shape[0]
    if rng.random() >= _IN_CORNER:
        return int(rng.integers(free_x + 1)), int(rng.integers(free_y + 1))
    x, y = (min(free, int(rng.uniform(0.004, 0.05) * max(image.shape))) for free in (free_x, free_y))
    return (
        x if rng.random() < _EVEN else free_x - x,
        y if rng.random() < _EVEN else free_y - y,
    )
