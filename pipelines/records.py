"""The small value types and the reason vocabulary that rooms share.

What belongs here is used by two rooms at least and knows nothing of files, Dagster or networks.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
"""A row of a table: its keys are the columns of the table's contract."""


class Reason(StrEnum):
    """Why a file or a radiograph is set aside. No other word is ever written for it."""

    UNREADABLE = "unreadable"
    NOT_AN_IMAGE = "not_an_image"
    NOT_A_RADIOGRAPH = "not_a_radiograph"
    NOT_FRONTAL = "not_frontal"
    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    DUPLICATE_FILE = "duplicate_file"
    UID_CONFLICT = "uid_conflict"
    NO_LABEL = "no_label"
    UNKNOWN_ID = "unknown_id"
    LABEL_QUALITY = "label_quality"
    PIXEL_TEXT_REVIEW = "pixel_text_review"
    WITHDRAWN = "withdrawn"


class State(StrEnum):
    """The fate of a file that was seen. Held counts as set aside: it waits for a person."""

    PUBLISHED = "published"
    SET_ASIDE = "set_aside"
    HELD = "held"


HELD_REASONS = frozenset({Reason.PIXEL_TEXT_REVIEW})
"""Reasons that wait for a person's decision instead of ending a file's way."""


@dataclass(frozen=True)
class Rejection:
    """What stands in the place of a result when one item could not be used.

    ``detail`` is published: it names what was expected and found, never a name, an identifier or a path.
    """

    reason: Reason
    detail: str


class RejectedError(Exception):
    """Raised by a function over one item: the item is set aside and the others go on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["RejectedError"], tuple[Reason, str]]:
        """Let worker processes hand it back whole."""
        return RejectedError, (self.reason, self.detail)

    @property
    def rejection(self) -> Rejection:
        """The value that stands for this error in a stream of results."""
        return Rejection(self.reason, self.detail)


class UnusableInputError(Exception):
    """What was asked cannot be done with this input: says what was expected, what was found, what to do."""

    def __init__(self, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"expected {expected}; found {found}. What to do: {remedy}")
        self.expected = expected
        self.found = found
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Let worker processes hand it back whole."""
        return _unusable_input, (self.expected, self.found, self.remedy)


def _unusable_input(expected: str, found: str, remedy: str) -> UnusableInputError:
    return UnusableInputError(expected=expected, found=found, remedy=remedy)
