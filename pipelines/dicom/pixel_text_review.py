"""What people decided about films that were held, and what they have to look at, beside the key.

What belongs here: held films and decisions by the digest of their pixels. What does not: making them
(`pixel_text_film`), and showing them (`pipelines.cli.review`).
"""

import base64
import json
import os
import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.dicom.pixel_text_candidates import Box
from pipelines.records import UnusableInputError

Choice = Literal["release", "blank"]
CHOICES: tuple[Choice, ...] = ("release", "blank")
_SHORTEST_NAME = 6


@dataclass(frozen=True)
class Held:
    """A film that waits for a person.

    Attributes
    ----------
    digest
        Of its decoded pixels, as they came.
    cohort, why
        Where it was met, and what was unsure.
    rows_px, columns_px
        Its size.
    boxes
        What would be blanked: x, y, width, height in its pixels.
    picture
        PNG: the places that were unsure, side by side, and a small view of the film with their frames. It may
        identify.
    names
        Its keyed names: of itself, its patient, study and accession.
    """

    digest: str
    cohort: str
    why: str
    rows_px: int
    columns_px: int
    boxes: tuple[Box, ...]
    picture: bytes = b""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What a person decided: release as it is, or blank these boxes."""

    choice: Choice
    boxes: tuple[Box, ...]
    decided_on: str

    @property
    def name(self) -> str:
        """Of the decision: another one makes another film."""
        return self.choice if self.choice == "release" else f"blank {json.dumps(self.boxes)}"


class Review:
    """Held films and decisions, a file each, that only the owner can read.

    Parameters
    ----------
    folder : Path
        Under the secrets folder: crops of films may identify.
    """

    def __init__(self, folder: Path) -> None:
        self._held, self._decided, self._page = folder / "held", folder / "decided", folder / "review.html"

    def __repr__(self) -> str:
        return "Review(…)"

    def hold(self, held: Held) -> None:
        """Keep a film for a person to look at; the same film is kept once."""
        value = {**asdict(held), "picture": base64.b64encode(held.picture).decode("ascii")}
        _write(self._held / f"{held.digest}.json", json.dumps(value))

    def forget(self, digest: str) -> None:
        """Take a film from the list: it is not unsure any more."""
        (self._held / f"{digest}.json").unlink(missing_ok=True)

    def withdraw(self, withdrawn: Collection[str]) -> None:
        """Drop the crops of films that a withdrawal names, and the page that may show them."""
        for held in self.held() if withdrawn else ():
            if not set(held.names).isdisjoint(withdrawn):
                self.forget(held.digest)
                self._page.unlink(missing_ok=True)

    def held(self) -> list[Held]:
        """Return the films that wait for a decision, in the order of their digests."""
        waiting = (_read(path) for path in sorted(self._held.glob("*.json")))
        return [
            Held(
                **{
                    **value,
                    "boxes": _boxes(value["boxes"]),
                    "picture": base64.b64decode(value["picture"]),
                    "names": tuple(value.get("names", ())),
                }
            )
            for value in waiting
        ]

    def decision(self, digest: str) -> Decision | None:
        """Return what was decided about a film, None where nobody was asked yet."""
        path = self._decided / f"{digest}.json"
        if not path.exists():
            return None
        value = _read(path)
        return Decision(value["choice"], _boxes(value["boxes"]), value["decided_on"])

    def decisions(self) -> dict[str, str]:
        """Return the names of all decisions by digest."""
        digests = (path.stem for path in sorted(self._decided.glob("*.json")))
        found = ((digest, self.decision(digest)) for digest in digests)
        return {digest: decision.name for digest, decision in found if decision is not None}

    def decide(self, held: Held, choice: Choice, *, decided_on: str, boxes: Sequence[Box] = ()) -> None:
        """Note a decision for good, and drop the crop.

        Raises
        ------
        UnusableInputError
            When there is nothing to blank.
        """
        going = tuple(boxes) or held.boxes
        if choice == "blank" and not going:
            raise UnusableInputError(
                expected="a place to blank",
                found="none was found on this film",
                remedy="name it with --box X,Y,WIDTH,HEIGHT in the film's pixels",
            )
        decision = Decision(choice, going if choice == "blank" else (), decided_on)
        _write(self._decided / f"{held.digest}.json", json.dumps(asdict(decision)))
        self.forget(held.digest)
        self._page.unlink(missing_ok=True)  # it shows the crop

    def write_page(self, html: str) -> Path:
        """Write the page that shows the crops, and return where it is."""
        _write(self._page, html)
        return self._page

    def named(self, name: str) -> Held:
        """Return the held film whose digest starts so.

        Raises
        ------
        UnusableInputError
            When none or several do.
        """
        found = [one for one in self.held() if one.digest.startswith(name)]
        if len(found) != 1 or len(name) < _SHORTEST_NAME:
            raise UnusableInputError(
                expected="the first letters of one held film's name, as `pdeseray review` lists them",
                found=f"{len(found)} films that start with {name[:_SHORTEST_NAME]}",
                remedy=f"give at least {_SHORTEST_NAME} letters, and more where several start alike",
            )
        return found[0]


def _boxes(value: Sequence[Sequence[int]]) -> tuple[Box, ...]:
    return tuple((x, y, width, height) for x, y, width, height in value)


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return value


def _write(path: Path, text: str) -> None:
    """Write a file that is whole from the first moment it can be seen, and its owner's alone."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)
