import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from pipelines.dicom import reading
from pipelines.dicom.decoding import decode
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.encoding import DEFLATED_LITTLE, EXPLICIT_LITTLE, Encoding, part10
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PIXEL_DATA, number_of, read, text_of
from pipelines.dicom.reading_admission import require_radiograph
from pipelines.dicom.rendering import render
from pipelines.records import Reason, RejectedError

from .conftest import MakeDataset, encoded

# pydicom's warnings quote values: none may ever come out
pytestmark = pytest.mark.filterwarnings("error")

EXPLICIT = Encoding(implicit_vr=False, little_endian=True)


def reason_of(source: bytes) -> Reason:
    with pytest.raises(RejectedError) as caught:
        require_radiograph(read(source))
    return caught.value.reason


def deflated(elements: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(elements) + packer.flush()
    return part10([packed], sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax=DEFLATED_LITTLE)


def test_a_radiograph_is_read_with_its_elements_undecoded(make_dataset: MakeDataset) -> None:
    read_again = read(encoded(make_dataset()))
    require_radiograph(read_again)
    assert text_of(read_again, "PatientID") == "MRN-0042"
    assert read_again.get_item("PatientID").is_raw
    assert number_of(read_again, "Rows") == 6


@pytest.mark.parametrize("name", ["PatientName", "PatientComments"])
def test_text_is_decoded_in_the_files_character_set(make_dataset: MakeDataset, name: str) -> None:
    dataset = make_dataset(SpecificCharacterSet="ISO_IR 192", **{name: "Peña"})
    assert text_of(read(encoded(dataset)), name) == "Peña"


def test_files_without_preamble_and_meta_group_are_read(make_dataset: MakeDataset) -> None:
    for syntax in (ImplicitVRLittleEndian, EXPLICIT_LITTLE):
        source = encoded(make_dataset(), syntax)
        elements = source[source.index(b"\x08\x00\x05\x00") :]
        dataset = read(elements)
        require_radiograph(dataset)
        assert dataset.file_meta.TransferSyntaxUID == syntax


def test_big_endian_files_are_read(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(np.arange(24, dtype=">u2").reshape(6, 4))
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
    source = encoded(dataset, ExplicitVRBigEndian)
    pixels, _ = decode(read(source))
    assert pixels.tolist() == np.arange(24).reshape(6, 4).tolist()


def test_deflated_files_are_read_and_no_longer_deflated(make_dataset: MakeDataset) -> None:
    source = encoded(make_dataset(), EXPLICIT_LITTLE)
    dataset = read(deflated(source[source.index(b"\x08\x00\x05\x00") :]))
    assert dataset.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert text_of(dataset, "PatientID") == "MRN-0042"


def test_an_inflation_bomb_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_INFLATED_BYTES", 1 << 20)
    source = deflated(EXPLICIT.element(0x00081030, "LT", bytes(2 << 20)))
    assert len(source) < 5000
    assert reason_of(source) is Reason.TOO_LARGE


def test_a_deflated_file_that_ends_early_is_unreadable(make_dataset: MakeDataset) -> None:
    source = encoded(make_dataset())
    assert reason_of(deflated(source[source.index(b"\x08\x00\x05\x00") :])[:-20]) is Reason.UNREADABLE


def test_a_large_file_is_too_large(monkeypatch: pytest.MonkeyPatch, make_dataset: MakeDataset) -> None:
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 100)
    assert reason_of(encoded(make_dataset())) is Reason.TOO_LARGE


def test_a_claim_of_many_pixels_is_refused_before_anything_is_allocated(make_dataset: MakeDataset) -> None:
    assert reason_of(encoded(make_dataset(Rows=46341, Columns=46341))) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\0" * 200,
        b"This is a text that somebody left in the folder of the radiographs. " * 10,
        b"PK\x03\x04" + bytes(300),
        b"\x89PNG\r\n\x1a\n" + bytes(300),
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + b"\x02\0\x10\0UI",
    ],
)
def test_what_is_no_dicom_is_set_aside(source: bytes) -> None:
    assert reason_of(source) in (Reason.UNREADABLE, Reason.NOT_AN_IMAGE)


def test_a_file_cut_anywhere_is_set_aside_and_nothing_else_is_raised(make_dataset: MakeDataset) -> None:
    source = encoded(make_dataset())
    reasons = {reason_of(source[:length]) for length in range(len(source))}
    assert reasons == {Reason.UNREADABLE, Reason.NOT_AN_IMAGE}
    assert reason_of(source[:-1]) is Reason.UNREADABLE


@pytest.mark.parametrize(
    "junk", [b"\0" * 8, b"Jane Doe", b"\xff" * 3, b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0Jane"]
)
def test_bytes_after_the_pixel_data_are_not_read(make_dataset: MakeDataset, junk: bytes) -> None:
    dataset = read(encoded(make_dataset()) + junk)
    require_radiograph(dataset)
    assert max(dataset.keys()) == PIXEL_DATA


def test_a_delimiters_bytes_inside_a_fragment_do_not_end_it(make_dataset: MakeDataset) -> None:
    fragment = b"\xff\xd8\xfe\xff\xdd\xe0\0\0\0\0\xff\xd9"
    items = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + len(fragment).to_bytes(4, "little") + fragment
    pixels = EXPLICIT.encapsulated(PIXEL_DATA, "OB", items)
    source = encoded(make_dataset())
    start = source.index(b"\xe0\x7f\x10\x00")
    assert read(source[:start] + pixels).get_item(PIXEL_DATA).value == items


@pytest.mark.parametrize("undefined_length", [True, False])
@pytest.mark.parametrize("depth", [20, 400])
def test_deep_nesting_is_set_aside(make_dataset: MakeDataset, depth: int, *, undefined_length: bool) -> None:
    inner = b""
    for _ in range(depth):
        if undefined_length:
            inner = (
                b"\x08\x00\x18\x22SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
                + inner
                + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
            )
        else:
            inner = EXPLICIT.sequence(0x00082218, [inner])
    source = encoded(make_dataset())
    at = source.index(b"\x10\x00\x10\x00PN")
    with pytest.raises(RejectedError, match="nested deeper"):
        deidentify(read(source[:at] + inner + source[at:]), Keyring.phantom())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, Reason.NOT_A_RADIOGRAPH),
        ({"Modality": "MG", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2"}, Reason.NOT_A_RADIOGRAPH),
        ({"Modality": "OT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.NOT_A_RADIOGRAPH),
        ({"Modality": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.NOT_A_RADIOGRAPH),
        ({"NumberOfFrames": 2}, Reason.NOT_A_RADIOGRAPH),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, Reason.NOT_A_RADIOGRAPH),
        ({"Rows": None}, Reason.UNREADABLE),
        ({"Columns": 0}, Reason.UNREADABLE),
        ({"SOPInstanceUID": None}, Reason.UNREADABLE),
    ],
)
def test_what_is_no_radiograph_is_set_aside(
    make_dataset: MakeDataset, changes: dict[str, object], reason: Reason
) -> None:
    dataset = make_dataset(**changes)
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    source = encoded_loosely(dataset)
    assert reason_of(source) is reason


def encoded_loosely(dataset: Dataset) -> bytes:
    from io import BytesIO

    from pydicom import dcmwrite

    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},  # as SIIM's files
        {"Modality": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1"},
        {"Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},
        {"NumberOfFrames": 1},
    ],
)
def test_radiographs_of_several_classes_pass(make_dataset: MakeDataset, changes: dict[str, object]) -> None:
    require_radiograph(read(encoded(make_dataset(**changes))))


def test_an_object_without_pixels_is_no_image(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    del dataset.PixelData
    with pytest.raises(RejectedError, match="Basic Text SR Storage") as caught:
        require_radiograph(read(encoded(dataset)))
    assert caught.value.reason is Reason.NOT_AN_IMAGE


def test_rejections_quote_nothing_from_the_file(make_dataset: MakeDataset) -> None:
    for changes in ({"Modality": "DOE"}, {"SOPClassUID": "1.2.3.66"}, {"PhotometricInterpretation": "DOE"}):
        with pytest.raises(RejectedError) as caught:
            require_radiograph(read(encoded(make_dataset(**changes))))
        assert "DOE" not in str(caught.value)
        assert "1.2.3.66" not in str(caught.value)


def test_reading_warns_of_nothing(make_dataset: MakeDataset) -> None:
    """pydicom's warnings quote values."""
    dataset = make_dataset()
    source = encoded(dataset).replace(b"19600102", b"DoeJane!")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text_of(read(source), "PatientBirthDate")
        deidentify(read(source), Keyring.phantom())


def test_every_test_file_of_pydicom_gets_through_or_is_set_aside_with_a_reason() -> None:
    paths = [Path(str(name)) for name in get_testdata_files()]
    through = 0
    for path in paths:
        if not path.is_file():
            continue
        try:
            dataset = read(path.read_bytes())
            require_radiograph(dataset)
            released = deidentify(dataset, Keyring.phantom())
            render(released.content, 32)
            through += 1
        except RejectedError as error:
            assert error.detail  # noqa: PT017 - many files, each may or may not raise
    assert len(paths) > 100
    assert through >= 3  # the CR files of dicomdirtests


def test_sequences_of_a_kept_attribute_are_read(make_dataset: MakeDataset) -> None:
    item = Dataset()
    item.CodeValue = "T-D3000"
    dataset = make_dataset(AnatomicRegionSequence=Sequence([item]))
    element = reading.element_of(read(encoded(dataset)), "AnatomicRegionSequence")
    assert element is not None
    assert element.value[0].CodeValue == "T-D3000"
