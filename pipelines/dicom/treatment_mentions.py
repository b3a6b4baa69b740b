"""Mentions of an object's own identifiers in texts that otherwise stay: a name in a label, a UID in a device's model.

What belongs here: finding them, byte by byte in the file's own character set. What does not: which texts stay.
"""

import re

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.values_vocabulary import VOCABULARY

REMOVED = b"REMOVED"
_NAMES = frozenset(
    [
        0x00080090,  # Referring Physician's Name
        0x00081048,  # Physician(s) of Record
        0x00081050,  # Performing Physician's Name
        0x00081060,  # Name of Physician(s) Reading Study
        0x00081070,  # Operators' Name
        0x00100010,  # Patient's Name
        0x00101001,  # Other Patient Names
        0x00101005,  # Patient's Birth Name
        0x00101060,  # Patient's Mother's Birth Name
        0x00321032,  # Requesting Physician
    ]
)
_PATIENT = frozenset(
    [
        0x00080050,  # Accession Number
        0x00100020,  # Patient ID
        0x00100030,  # Patient's Birth Date
        0x00101000,  # Other Patient IDs
        0x00101040,  # Patient's Address
        0x00102154,  # Patient's Telephone Numbers
        0x00200010,  # Study ID
    ]
)
_INSTITUTION = frozenset([0x00080080, 0x00080081, 0x00081040])  # name, address, department
_DEVICE = frozenset([0x00181000])  # serial number; a station is often called as its model is
_UIDS = frozenset(
    [0x00080018, 0x0020000D, 0x0020000E, 0x00200052]
)  # instance, study, series, frame of reference
_SHORTEST_NAME, _SHORTEST_NUMBER = 3, 4
_LONGEST = {"SH": 16, "CS": 16}  # PS3.5 table 6.2-1
_WORD_OF_A_NAME = re.compile(rb"[^\s^=\\,.;()'\"-]+")
# Any UID but the standard's: with eight components it is no version number
_UID = re.compile(rb"(?!1\.2\.840\.10008\.)[0-2](?:\.\d+){7,}")
# Words of the standard that people may be called, too: without them an object is another one
_TERMS = frozenset(
    """original primary derived secondary none unknown other patient yes both unpaired discrete direct linear
    monochrome1 monochrome2 processing presentation digitized wsd body test""".split()  # noqa: SIM905 - words
)


class Mentions:
    """What names the patient, the staff and the place in an object's own header, looked for in its texts.

    Parameters
    ----------
    dataset : Dataset
        Top level, as it was read.
    options : Options
        What is retained is not looked for.
    """

    def __init__(self, dataset: Dataset, options: Options) -> None:
        wholes = {*_PATIENT}
        wholes |= set() if options.retain_institution_identity else _INSTITUTION
        wholes |= set() if options.retain_device_identity else _DEVICE
        wholes |= set() if options.retain_uids else _UIDS
        found: set[bytes] = set()
        for tag in (_NAMES | wholes).intersection(dataset.keys()):
            element = dataset.get_item(tag)
            value = (element.value if isinstance(element, RawDataElement) else None) or b""
            if tag in _NAMES:
                found.update(one for one in _WORD_OF_A_NAME.findall(value) if len(one) >= _SHORTEST_NAME)
            else:
                parts = (part.strip(b" \0") for part in value.split(b"\\"))
                found.update(one for one in parts if len(one) >= _SHORTEST_NUMBER)
        self._found = [one.lower() for one in found if not _says_something_else(one)]
        # the longest first: a UID may begin as another one does
        self._found.sort(key=lambda one: (-len(one), one))
        self._are_uids_found = not options.retain_uids

    def without(self, value: bytes, vr: str) -> bytes:
        """Return a text in which each mention is replaced, as long as its representation allows."""
        lowered = value.lower()
        # a pattern for each object would take longer than all else that is done to it
        alternatives = [re.escape(one) for one in self._found if one in lowered]
        if self._are_uids_found and _UID.search(value):
            alternatives.append(_UID.pattern)
        if not alternatives:
            return value
        pattern = re.compile(
            rb"(?<![a-z0-9])(?:" + b"|".join(alternatives) + rb")(?![a-z0-9])", re.IGNORECASE
        )
        longest = _LONGEST.get(vr, len(value) + len(REMOVED))
        parts = (pattern.sub(REMOVED, part) for part in value.split(b"\\"))
        return b"\\".join(part if len(part) <= longest else REMOVED for part in parts)


def _says_something_else(word: bytes) -> bool:
    text = word.decode("iso8859").lower()
    return text in VOCABULARY or text in _TERMS
