"""The options of the confidentiality profile, by name: what a group may keep, and what it says it did.

What belongs here: the choice. What does not: what an option does to an attribute (`confidentiality`).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Dates = Literal["modified", "full", "removed"]


class Options(BaseModel):
    """Options of DICOM PS3.15 section E.3, each off unless its default says otherwise.

    Attributes
    ----------
    dates
        `modified`: moved by whole weeks, the same for all of a patient (Retain Longitudinal Temporal Information
        With Modified Dates); `full`: as they are (… With Full Dates); `removed`: as the basic profile says.
    clean_descriptors
        Descriptions keep words of the radiographic vocabulary.
    clean_structured_content
        Content and acquisition context stay, their texts reduced to that vocabulary.
    clean_graphics
        Graphic annotations stay, their texts replaced. Overlay and curve planes go all the same: what a bitmap
        says cannot be read here.
    retain_patient_characteristics
        Sex, size, weight and the like stay; the age as a decade.
    retain_device_identity, retain_institution_identity, retain_uids
        These stay as they are.
    retain_safe_private
        Private attributes that PS3.15 table E.3.10-1 lists stay, as far as `confidentiality_safe_private.csv`
        holds them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dates: Dates = "modified"
    clean_descriptors: bool = True
    clean_structured_content: bool = False
    clean_graphics: bool = False
    retain_patient_characteristics: bool = False
    retain_device_identity: bool = False
    retain_institution_identity: bool = False
    retain_uids: bool = False
    retain_safe_private: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """Columns of the profile's file that count."""
        chosen = {name for name, value in self if value is True}
        if self.dates != "removed":
            chosen.add(f"{self.dates}_dates")
        return frozenset(chosen)

    @property
    def method_codes(self) -> tuple[tuple[str, str], ...]:
        """Codes of DICOM PS3.16 CID 7050 that say what was done: value and meaning."""
        asked = {"basic", *self.columns}
        return tuple((code, meaning) for name, code, meaning in _METHOD_CODES if name in asked)

    @property
    def temporal_information(self) -> str:
        """Value of Longitudinal Temporal Information Modified (PS3.3 section C.12.1)."""
        return {"modified": "MODIFIED", "full": "UNMODIFIED", "removed": "REMOVED"}[self.dates]


_METHOD_CODES = (
    ("basic", "113100", "Basic Application Confidentiality Profile"),
    ("clean_graphics", "113103", "Clean Graphics Option"),
    ("clean_structured_content", "113104", "Clean Structured Content Option"),
    ("clean_descriptors", "113105", "Clean Descriptors Option"),
    ("full_dates", "113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    ("modified_dates", "113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("retain_patient_characteristics", "113108", "Retain Patient Characteristics Option"),
    ("retain_device_identity", "113109", "Retain Device Identity Option"),
    ("retain_uids", "113110", "Retain UIDs Option"),
    ("retain_safe_private", "113111", "Retain Safe Private Option"),
    ("retain_institution_identity", "113112", "Retain Institution Identity Option"),
)

DEFAULT = Options()
