"""Scoring released files against an answer key: how much of what should have been done was done.

What belongs here: judging each check. What does not: the key's layout (`release_answers`). Judged as the MIDI-B
challenge's script does, but for one thing: a date that was deleted does not count as shifted.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PARSING_FAULTS, PIXEL_DATA, quietly
from pipelines.dicom.release_answers import ACTIONS, Answer, Check, element_at

# What has to be there still: a file that was not released fails them, and passes the others
_ASK_FOR_SOMETHING = frozenset(
    ["tag_retained", "text_notnull", "text_retained", "pixels_retained", "uid_consistent", "patid_consistent"]
)
_HIDDEN = "pixels_hidden"
_TOKEN = re.compile(r"\w+(?:[-.'/]\w+)*")
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+")
_DIGESTS = {32: hashlib.md5, 40: hashlib.sha1, 64: hashlib.sha256}
_STOPWORDS = frozenset(
    """i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
    it its itself they them their theirs themselves what which who whom this that these those am is are was were be
    been being have has had having do does did doing a an the and but if or because as until while of at by for with
    about against between into through during before after above below to from up down in out on off over under again
    further then once here there when where why how all any both each few more most other some such no nor not only
    own same so than too very s t can will just don should now d ll m o re ve y""".split()  # noqa: SIM905 - words
)


@dataclass(frozen=True)
class Tally:
    """Checks and how many of them passed."""

    checks: int
    passed: int

    @property
    def share(self) -> float:
        """Share that passed, 1.0 of none."""
        return self.passed / self.checks if self.checks else 1.0


@dataclass(frozen=True)
class Score:
    """What scoring found.

    Attributes
    ----------
    actions, categories
        Tallies by action and by the key's category; of `pixels_hidden`, which takes eyes, only those of files
        that were not released.
    not_scored
        `pixels_hidden` checks of released files, and checks of unknown actions.
    missing_files
        Instances of the key that were not released.
    failures
        How often which action failed where: (action, place) without values.
    """

    actions: dict[str, Tally]
    categories: dict[str, Tally]
    not_scored: int
    missing_files: int
    failures: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def total(self) -> Tally:
        """All scored checks without `pixels_hidden`."""
        scored = [tally for action, tally in self.actions.items() if action != _HIDDEN]
        return Tally(sum(one.checks for one in scored), sum(one.passed for one in scored))


def score(answers: Sequence[Answer], folder: Path, keyring: Keyring) -> Score:
    """Judge the files that were released to a folder.

    Parameters
    ----------
    answers : sequence of Answer
        As `release_answers.read_answers` gives them.
    folder : Path
        Where `release` wrote, with this keyring.
    keyring : Keyring
        Tells which new name belongs to which instance.
    """
    by_action: Counter[tuple[str, bool]] = Counter()
    by_category: Counter[tuple[str, bool]] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    not_scored = missing = 0
    for answer in answers:
        dataset = _released(folder / f"{keyring.key_of('radiograph', answer.instance)}.dcm")
        missing += dataset is None
        for check in answer.checks:
            if check.action not in ACTIONS or (check.action == _HIDDEN and dataset is not None):
                not_scored += 1
                continue
            passed = (
                check.action not in _ASK_FOR_SOMETHING
                if dataset is None
                else _passes(check, dataset, keyring)
            )
            by_action[check.action, passed] += 1
            if check.action != _HIDDEN:
                by_category[check.category, passed] += 1
            if not passed:
                failures[check.action, check.place] += 1
    return Score(
        actions={
            name: _tally(by_action, name)
            for name in ACTIONS
            if by_action[name, True] + by_action[name, False]
        },
        categories={name: _tally(by_category, name) for name in sorted({name for name, _ in by_category})},
        not_scored=not_scored,
        missing_files=missing,
        failures=dict(failures.most_common()),
    )


def _tally(counts: Counter[tuple[str, bool]], name: str) -> Tally:
    return Tally(counts[name, True] + counts[name, False], counts[name, True])


def _released(path: Path) -> Dataset | None:
    if not path.exists():
        return None
    with quietly():
        return pydicom.dcmread(path)


def _passes(check: Check, dataset: Dataset, keyring: Keyring) -> bool:
    if check.action == "pixels_retained":
        return _are_pixels_retained(dataset, check.text)
    with quietly():
        try:
            element = element_at(dataset, check.place)
        except PARSING_FAULTS:
            element = None
    found = None if element is None else "" if element.value is None else str(element.value).strip()
    if found is None:
        return check.action in ("text_removed", "uid_changed", "uid_consistent", "patid_consistent")
    return _JUDGES[check.action](check, found, keyring)


def _is_shifted(check: Check, found: str, keyring: Keyring) -> bool:
    del keyring
    return bool(found) and check.value not in found


def _is_changed(check: Check, found: str, keyring: Keyring) -> bool:
    del keyring
    return not check.value or check.value not in found


def _holds(check: Check, found: str, keyring: Keyring) -> bool:
    del keyring
    return _overlap(found, check.text or check.value) == 1.0


def _holds_none(check: Check, found: str, keyring: Keyring) -> bool:
    del keyring
    return not found or _overlap(found, check.text or check.value) == 0.0


_JUDGES: dict[str, Callable[[Check, str, Keyring], bool]] = {
    "tag_retained": lambda check, found, keyring: True,  # noqa: ARG005 - it is there
    "text_notnull": lambda check, found, keyring: found != "",  # noqa: ARG005 - any value will do
    "text_retained": _holds,
    "text_removed": _holds_none,
    "date_shifted": _is_shifted,
    "uid_changed": _is_changed,
    "uid_consistent": lambda check, found, keyring: found == keyring.key_of("uid", check.value),
    "patid_consistent": lambda check, found, keyring: found == keyring.key_of("patient", check.value),
}


def _overlap(found: str, expected: str) -> float:
    """Return the share of the expected words that a value holds: 1.0 when it holds the text as a whole."""
    found, expected = found.lower(), expected.lower()
    if _NUMBER.fullmatch(found) and _NUMBER.fullmatch(expected):
        return float(float(found) == float(expected))
    if not expected or expected in found:
        return 1.0
    words = [word for word in _TOKEN.findall(expected) if word not in _STOPWORDS]
    return sum(word in found for word in words) / len(words) if words else 0.0


def _are_pixels_retained(dataset: Dataset, digest: str) -> bool:
    """Compare with the digest of the pixel data as they are encoded; of the decoded ones where that differs."""
    make = _DIGESTS.get(len(digest))
    if make is None or PIXEL_DATA not in dataset:
        return False
    if make(dataset.PixelData, usedforsecurity=False).hexdigest() == digest.lower():
        return True
    try:
        pixels: Any = dataset.pixel_array
    except (*PARSING_FAULTS, RuntimeError):
        return False
    return bool(make(pixels.tobytes(), usedforsecurity=False).hexdigest() == digest.lower())
