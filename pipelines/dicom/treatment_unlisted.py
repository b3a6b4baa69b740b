"""What happens to attributes that no row of the profile names: they stay where they can say nothing of a person.

What belongs here: coded, numeric and short values, codes and their meanings, look-up tables. What does not: what the
profile names (`treatment_values`).
"""

import re
from dataclasses import dataclass
from functools import cache

from pydicom.charset import python_encoding
from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_is_retired,
    dictionary_keyword,
    dictionary_VM,
    dictionary_VR,
    repeater_has_tag,
)
from pydicom.dataset import Dataset

from pipelines.dicom import values
from pipelines.dicom.confidentiality import Action
from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import text_of
from pipelines.dicom.treatment_mentions import Mentions
from pipelines.dicom.treatment_values import (
    CLEANABLE_VRS,
    EMPTIED,
    FREE_TEXT_VRS,
    NUMBERS,
    REMOVED,
    TERMS,
    Attribute,
    Treated,
    dummy_for,
    keyed,
    moved,
)

CODE_MEANING = 0x00080104
_CHARACTER_SET = 0x00080005
_CODE = frozenset([0x00080100, 0x00080102, 0x00080103, CODE_MEANING])
# PS3.16 section 8: schemes whose meanings nobody in a hospital writes
_PUBLISHED_SCHEMES = frozenset(
    """DCM SCT SRT SNM3 LN UCUM RADLEX FMA I9 I9C I10 I10P ICDO3 NCIt UMLS MDNS C4 CD2 BI ACR UBERON NEU PATHLEX
    CTV3 HPC ISO3166_1 ISO639_1 RFC3066 ATC NDC RXNORM GTIN ITIS_TSN DCMUID""".split()  # noqa: SIM905 - words
)
# UIDs of code tables, not of anything in the hospital, where those who publish codes made them: DICOM, HL7
_CODING_UIDS = frozenset([0x0008010C, 0x00080117, 0x00080118])
_CODING_ROOTS = ("1.2.840.10008.", "2.16.840.1.113883.")
# Look-up tables, palettes, samples of waveforms: without them the object is another one. Where a descriptor says how
# many entries there are, it is named.
_TABLES_OF_NUMBERS = {
    0x00281201: "RedPaletteColorLookupTableDescriptor",
    0x00281202: "GreenPaletteColorLookupTableDescriptor",
    0x00281203: "BluePaletteColorLookupTableDescriptor",
    0x00281204: "AlphaPaletteColorLookupTableDescriptor",
    0x00281221: None,
    0x00281222: None,
    0x00281223: None,
    0x00281408: None,
    0x00283006: "LUTDescriptor",
    0x54001010: None,
}
_ENTRY_BYTES, _MOST_ENTRIES = 2, 65536
# They say who somebody is, or where, in one word
_NAMING = frozenset(
    """PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar BreedRegistrationNumber
    ComponentWelderIDs ContactDisplayName DeviceID HangingProtocolCreator HangingProtocolUserGroupName NTPSourceAddress
    OwnerID PrinterName AuthorizationEquipmentCertificationNumber StorageMediaFileSetID BoardingPassID ItineraryID
    CarrierID RouteID RouteSegmentID AssignedLocation""".split()  # noqa: SIM905 - a page of words
)
# Somebody types them in
_TYPED_IN = re.compile(r".*(Comments?|Description|Notes|InstructionText|Labels?)$")
_SHORT_VRS = frozenset(["LO", "SH"])
_LONGEST_SHORT_TEXT = 64  # LO, PS3.5 table 6.2-1: what is longer is a letter
_VALID = {
    "AS": re.compile(r"(\d{1,3}[DWMY]?)?"),  # SIIM's files write no unit
    "CS": re.compile(r"[A-Za-z0-9 _./(),&+-]{0,16}"),
    "DS": re.compile(r"[ ]*([+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)?[ ]*"),
    "IS": re.compile(r"[ ]*([+-]?\d{1,12})?[ ]*"),
}
_LONGEST_NUMBER = 24  # 16 by PS3.5 table 6.2-1; some programs write all digits of a float
_BYTES = {"US": 2, "SS": 2, "AT": 4, "FL": 4, "SL": 4, "UL": 4, "FD": 8, "SV": 8, "UV": 8}


@dataclass(frozen=True)
class Keeping:
    """What may stay in one object, of what the profile does not name.

    Attributes
    ----------
    keyring, shift_days, options
        As of the object's treatment.
    mentions
        Of what names the patient, the staff and the place, to be found in texts that stay.
    """

    keyring: Keyring
    shift_days: int
    options: Options
    mentions: Mentions

    def unlisted(self, attribute: Attribute, dataset: Dataset) -> Treated:
        """Keep what the profile does not name, or make it safe. `dataset`: holds the attribute."""
        vr, treated = attribute.vr, REMOVED
        if _is_of_a_repeating_group(attribute.tag):
            pass  # of a retired group that repeats (ACR-NEMA): no current rule has looked at it
        elif vr in ("DA", "DT", "TM"):
            treated = self._date(attribute)
        elif vr == "UI":
            treated = self._uid(attribute)
        elif attribute.tag == _CHARACTER_SET:
            if all(text in python_encoding for text in attribute.texts):
                treated = Treated(attribute.value)
        elif attribute.tag in _TABLES_OF_NUMBERS:
            treated = _table(attribute, dataset)
        elif vr in NUMBERS:
            treated = Treated(attribute.value) if _is_as_many_as_asked(attribute) else REMOVED
        else:
            treated = self._text(attribute)
        return treated

    def cleaned(self, attribute: Attribute, dataset: Dataset) -> Treated:
        """Reduce what the profile does not name, in content that stays because it is cleaned.

        Texts keep words of the vocabulary. Codes stay where their scheme is one that is published.
        """
        if attribute.vr not in CLEANABLE_VRS:
            return self.unlisted(attribute, dataset)
        if attribute.tag in _CODE and text_of(dataset, "CodingSchemeDesignator") in _PUBLISHED_SCHEMES:
            return self._unless_mentioned(attribute)
        if attribute.vr == "CS" and all(text in TERMS for text in attribute.texts):
            return Treated(attribute.value)
        return _words(attribute) or _replaced(attribute, self.keyring)

    def _date(self, attribute: Attribute) -> Treated:
        if self.options.dates == "full":
            return Treated(attribute.value)
        return moved(attribute, self.shift_days, None) if self.options.dates == "modified" else EMPTIED

    def _uid(self, attribute: Attribute) -> Treated:
        is_of_codes = attribute.tag in _CODING_UIDS and all(
            text.startswith(_CODING_ROOTS) for text in attribute.texts
        )
        stays = is_of_codes or self.options.retain_uids
        return Treated(attribute.value) if stays else keyed(attribute, self.keyring)

    def _text(self, attribute: Attribute) -> Treated:
        if attribute.vr in _SHORT_VRS:
            return self._short(attribute)
        if attribute.vr in _VALID:
            return self._coded(attribute)
        is_free = attribute.vr in FREE_TEXT_VRS and self.options.clean_descriptors
        return (_words(attribute) if is_free else None) or REMOVED

    def _short(self, attribute: Attribute) -> Treated:
        """Keep a short text, unless it is one that somebody types in, or says who somebody is."""
        known, keyword = _asked(attribute.tag)
        # What a retired attribute says in words, no current rule has looked at
        if dictionary_is_retired(attribute.tag):
            return REMOVED
        if keyword in _NAMING:
            return _replaced(attribute, self.keyring)
        is_short = len(attribute.value) <= _LONGEST_SHORT_TEXT * len(attribute.texts)
        is_as_asked = is_short and not _SHORT_VRS.isdisjoint(known)
        if is_as_asked and not (self.options.clean_descriptors and _TYPED_IN.fullmatch(keyword)):
            return self._unless_mentioned(attribute)
        return _words(attribute) or (_replaced(attribute, self.keyring) if is_as_asked else REMOVED)

    def _coded(self, attribute: Attribute) -> Treated:
        """Keep a term, an age or a written number that is one."""
        known, _ = _asked(attribute.tag)
        # A number written as whole or as decimal is one in either representation
        vr = "DS" if attribute.vr == "IS" and "DS" in known else attribute.vr
        if all(_VALID[vr].fullmatch(text) and len(text) <= _LONGEST_NUMBER for text in attribute.texts):
            return self._unless_mentioned(attribute) if vr == "CS" else Treated(attribute.value)
        return (_words(attribute) if vr == "CS" else None) or REMOVED

    def _unless_mentioned(self, attribute: Attribute) -> Treated:
        value = self.mentions.without(attribute.value, attribute.vr)
        return Treated(value, None if value == attribute.value else Action.CLEANED)


def _table(attribute: Attribute, dataset: Dataset) -> Treated:
    """Return a table without what follows its last entry."""
    descriptor = _TABLES_OF_NUMBERS[attribute.tag]
    entries = text_of(dataset, descriptor).split("\\")[0] if descriptor else ""
    if not entries.isdecimal():
        return Treated(attribute.value)
    longest = (int(entries) or _MOST_ENTRIES) * _ENTRY_BYTES
    if len(attribute.value) <= longest:
        return Treated(attribute.value)
    return Treated(attribute.value[:longest], Action.CLEANED)


def _words(attribute: Attribute) -> Treated | None:
    words = values.cleaned_description(" ".join(attribute.texts))
    return Treated(words.encode(), Action.CLEANED) if words else None


def _replaced(attribute: Attribute, keyring: Keyring) -> Treated:
    dummy = dummy_for(attribute, keyring)
    return Treated(dummy, Action.REPLACED if dummy else None)


def _is_as_many_as_asked(attribute: Attribute) -> bool:
    """Return whether binary numbers are no more than their attribute may have: what is more is no number."""
    return len(attribute.value) <= _most_values(attribute.tag) * _BYTES[attribute.vr]


@cache
def _most_values(tag: int) -> float:
    """Return how many values an attribute may have; of a retired one, no table is looked at any more."""
    most = dictionary_VM(tag).split("-")[-1]
    if most.isdecimal():
        return int(most)
    return 1 if dictionary_is_retired(tag) else float("inf")


@cache
def _is_of_a_repeating_group(tag: int) -> bool:
    return repeater_has_tag(tag) and not dictionary_has_tag(tag)


@cache
def _asked(tag: int) -> tuple[tuple[str, ...], str]:
    """Return value representations and keyword of an attribute as the dictionary has them."""
    return tuple(dictionary_VR(tag).split(" or ")), dictionary_keyword(tag)
