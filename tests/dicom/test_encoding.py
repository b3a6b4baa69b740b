from io import BytesIO

import numpy as np
import pydicom
import pytest

from pipelines.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLEMENTATION_CLASS_UID,
    IMPLICIT_LITTLE,
    Encoding,
    part10,
)

SYNTAXES = {
    IMPLICIT_LITTLE: Encoding(implicit_vr=True, little_endian=True),
    EXPLICIT_LITTLE: Encoding(implicit_vr=False, little_endian=True),
    EXPLICIT_BIG: Encoding(implicit_vr=False, little_endian=False),
}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pydicom_reads_what_is_written(syntax: str) -> None:
    encoding = SYNTAXES[syntax]
    rows = np.array([4], ">u2" if syntax == EXPLICIT_BIG else "<u2").tobytes()
    item = encoding.element(0x00080100, "SH", b"T-D3000")
    elements = [
        encoding.element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7"),
        encoding.element(0x00080018, "UI", b"1.2.3"),
        encoding.sequence(0x00082218, [item, b""]),
        encoding.element(0x00100020, "LO", b"odd"),
        encoding.element(0x00280010, "US", rows),
        encoding.element(0x7FE00010, "OW", bytes(8)),
    ]
    content = part10(elements, sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax=syntax)
    read = pydicom.dcmread(BytesIO(content))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert pydicom.uid.UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert read.file_meta.FileMetaInformationGroupLength == content.index(elements[0]) - 144
    assert read.SOPInstanceUID == "1.2.3"
    assert [list(item) for item in read.AnatomicRegionSequence] == [
        [read.AnatomicRegionSequence[0]["CodeValue"]],
        [],
    ]
    assert read.PatientID == "odd"
    assert read.Rows == 4
    assert read.PixelData == bytes(8)


def test_encapsulated_data_end_with_a_delimiter() -> None:
    encoding = SYNTAXES[EXPLICIT_LITTLE]
    fragments = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\2\0\0\0ab"
    written = encoding.encapsulated(0x7FE00010, "OB", fragments)
    assert written == (b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + fragments + b"\xfe\xff\xdd\xe0\0\0\0\0")


def test_values_too_long_for_a_short_length_are_written_as_unknown() -> None:
    written = SYNTAXES[EXPLICIT_LITTLE].element(0x00081030, "LO", b"x" * 70_000)
    assert written[4:6] == b"UN"
    assert int.from_bytes(written[8:12], "little") == 70_000
