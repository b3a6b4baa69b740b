from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.deidentification import METHOD, Deidentified, deidentify
from pipelines.dicom.encoding import Encoding
from pipelines.dicom.headers import describe
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read

from .conftest import MakeDataset, encoded

pytestmark = pytest.mark.filterwarnings("error")

KEYRING = Keyring.phantom()


def released(source: bytes) -> Deidentified:
    return deidentify(read(source), KEYRING)


def out(source: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(released(source).content))


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "SCT"
    return item


def test_the_papers_five_fields_are_gone(make_dataset: MakeDataset) -> None:
    dataset = out(encoded(make_dataset()))
    patient = KEYRING.key_of("patient", "MRN-0042")
    assert dataset.PatientID == dataset.PatientName == patient
    assert dataset.PatientBirthDate == dataset.PatientSex == ""
    assert "PatientAge" not in dataset


def test_what_the_paper_needs_survives(make_dataset: MakeDataset) -> None:
    before = make_dataset()
    after = out(encoded(before))
    for keyword in (
        "ViewPosition",
        "ImageLaterality",
        "PhotometricInterpretation",
        "BitsStored",
        "HighBit",
        "ImagerPixelSpacing",
        "BodyPartExamined",
        "Modality",
        "WindowCenter",
        "WindowWidth",
        "Rows",
        "PixelData",
        "StudyTime",
        "Manufacturer",
    ):
        assert after[keyword].value == before[keyword].value, keyword


def test_uids_are_keyed_and_references_stay_consistent(make_dataset: MakeDataset) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    reference.ReferencedSOPInstanceUID = "1.2.3.4.9"
    dataset = out(encoded(make_dataset(ReferencedImageSequence=Sequence([reference]))))
    assert dataset.SOPInstanceUID == KEYRING.key_of("radiograph", "1.2.3.4.5")
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert dataset.StudyInstanceUID == KEYRING.key_of("study", "1.2.3.4")
    item = dataset.ReferencedImageSequence[0]
    assert item.ReferencedSOPInstanceUID == KEYRING.key_of("radiograph", "1.2.3.4.9")
    assert item.ReferencedSOPClassUID == reference.ReferencedSOPClassUID


def test_accession_becomes_the_beginning_of_its_key(make_dataset: MakeDataset) -> None:
    accession = out(encoded(make_dataset())).AccessionNumber
    assert len(accession) == 16
    assert KEYRING.key_of("accession", "ACC-77").startswith(accession)


def test_dates_of_a_patient_move_by_one_shift_and_times_stay(make_dataset: MakeDataset) -> None:
    dataset = out(encoded(make_dataset(SeriesDate="20180622", AcquisitionDateTime="20180615081530.5+0800")))
    days = np.datetime64("2018-06-15") - np.datetime64(KEYRING.shift_days("MRN-0042"), "D").astype(int)
    assert dataset.StudyDate == str(days).replace("-", "")
    assert dataset.SeriesDate == str(days + 7).replace("-", "")
    assert dataset.AcquisitionDateTime == f"{dataset.StudyDate}081530.5+0800"
    assert dataset.StudyTime == "081530"


def test_siims_placeholder_date_is_emptied(make_dataset: MakeDataset) -> None:
    assert out(encoded(make_dataset(StudyDate="19010101"))).StudyDate == ""


def test_descriptions_keep_radiographic_words(make_dataset: MakeDataset) -> None:
    dataset = out(encoded(make_dataset(SeriesDescription="Jane Doe")))
    assert dataset.StudyDescription == "Chest PA"
    assert "SeriesDescription" not in dataset


def test_private_overlay_curve_and_padding_elements_are_gone(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    dataset.private_block(0x0019, "ACME", create=True).add_new(0x01, "LO", "Doe")
    dataset.add_new(0x60000010, "US", 2)
    dataset.add_new(0x60003000, "OW", b"Doe!")
    dataset.add_new(0x50000005, "US", 1)
    dataset.add_new(0xFFFCFFFC, "OB", b"Doe!")
    after = released(encoded(dataset, preamble=b"Doe!" * 32) + b"Doe")
    assert b"Doe" not in after.content
    assert after.content[:128] == bytes(128)
    groups = {int(tag) >> 16 for tag in pydicom.dcmread(BytesIO(after.content))._dict}
    assert not groups & {0x0019, 0x6000, 0x5000, 0xFFFC}
    assert ("(0019,xxxx)", None, "removed") in after.audit
    assert ("(60xx,xxxx)", "OverlayData", "removed") in after.audit
    assert ("(50xx,xxxx)", "CurveData", "removed") in after.audit


def test_free_text_that_no_rule_covers_is_removed_too(make_dataset: MakeDataset) -> None:
    dataset = out(encoded(make_dataset(ExposureControlModeDescription="Doe's cells", KVP="110")))
    assert "ExposureControlModeDescription" not in dataset  # LT, not in the table
    assert dataset.KVP == 110


@pytest.mark.parametrize("vr", ["OB", "LO", "UT", "PN"])
def test_an_attribute_in_a_disguised_representation_is_removed(make_dataset: MakeDataset, vr: str) -> None:
    encoding = Encoding(implicit_vr=False, little_endian=True)
    source = encoded(make_dataset(PixelIntensityRelationshipSign=1))
    start = source.index(b"\x28\x00\x41\x10SS")
    disguised = encoding.element(0x00281041, vr, b"Doe, Jane, at length")
    after = released(source[:start] + disguised + source[start + 10 :])
    assert b"Doe" not in after.content
    assert ("(0028,1041)", "PixelIntensityRelationshipSign", "removed") in after.audit


def test_unused_bits_above_bits_stored_are_cleared(make_dataset: MakeDataset) -> None:
    clean = (np.arange(24, dtype="<u2") * 170).reshape(6, 4)
    after = out(encoded(make_dataset(clean | 0xA000)))
    assert np.array_equal(np.frombuffer(after.PixelData, "<u2").reshape(6, 4), clean)


def test_signed_pixels_keep_their_sign(make_dataset: MakeDataset) -> None:
    pixels = (np.arange(24, dtype="<i2") - 12).reshape(6, 4)
    assert out(encoded(make_dataset(pixels))).PixelData == pixels.tobytes()


def test_what_was_done_is_said(make_dataset: MakeDataset) -> None:
    dataset = out(encoded(make_dataset(DeidentificationMethod="by Jane Doe", PatientIdentityRemoved="NO")))
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.DeidentificationMethod == METHOD
    assert [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence] == [
        "113100",
        "113105",
        "113107",
    ]
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"


def test_sequences_are_treated_at_every_depth(make_dataset: MakeDataset) -> None:
    inner = code("T-1")
    inner.PatientName = "Doe^Jane"
    inner.OperatorsName = "Roe^Richard"
    outer = code("T-2")
    outer.AnatomicRegionModifierSequence = Sequence([inner])
    dataset = out(encoded(make_dataset(AnatomicRegionSequence=Sequence([outer]))))
    item = dataset.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]
    assert item.CodeValue == "T-1"
    assert item.PatientName == KEYRING.key_of("patient", "MRN-0042")
    assert "OperatorsName" not in item


def test_replaced_and_emptied_sequences_hold_nothing(make_dataset: MakeDataset) -> None:
    dataset = out(
        encoded(
            make_dataset(
                AcquisitionContextSequence=Sequence([code("Doe")]),  # X/Z
                PersonIdentificationCodeSequence=Sequence([code("Doe")]),  # D
                RequestAttributesSequence=Sequence([code("Doe")]),  # X
            )
        )
    )
    assert list(dataset.AcquisitionContextSequence) == []
    assert [item.CodeValue for item in dataset.PersonIdentificationCodeSequence] == ["REMOVED"]
    assert "RequestAttributesSequence" not in dataset


def test_files_without_patient_keep_their_studys_dates_together(make_dataset: MakeDataset) -> None:
    sources = [encoded(make_dataset(PatientID=None, SOPInstanceUID=f"1.2.3.{n}")) for n in (1, 2)]
    assert len({out(source).StudyDate for source in sources}) == 1
    assert out(sources[0]).PatientName == ""


def test_the_same_key_gives_the_same_bytes_and_another_none_of_the_same_values(
    make_dataset: MakeDataset, keyring: Keyring
) -> None:
    source = encoded(make_dataset())
    one, again, other = (deidentify(read(source), ring) for ring in (KEYRING, KEYRING, keyring))
    assert one.content == again.content
    names = ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber")
    datasets = [pydicom.dcmread(BytesIO(released.content)) for released in (one, other)]
    assert not {datasets[0][name].value for name in names} & {datasets[1][name].value for name in names}


def test_releasing_twice_leaves_a_valid_file(make_dataset: MakeDataset) -> None:
    once = released(encoded(make_dataset())).content
    assert out(once).Modality == "DX"


def test_meanings_stay_where_the_scheme_is_a_published_one(make_dataset: MakeDataset) -> None:
    codes = [
        ("SCT", "Zone"),
        ("SCT", "Doe"),
        ("99LOCAL", "Chest PA, Dr Doe"),
        ("99LOCAL", "Doe"),
        (None, "Doe"),
    ]
    items = []
    for scheme, meaning in codes:
        item = code("1")
        item.CodeMeaning = meaning
        item.CodingSchemeDesignator = scheme
        items.append(item)
    dataset = out(encoded(make_dataset(ProcedureCodeSequence=Sequence(items))))
    meanings = [item.CodeMeaning for item in dataset.ProcedureCodeSequence]
    assert meanings == ["Zone", "REMOVED", "Chest PA", "REMOVED", "REMOVED"]


def test_nothing_but_references_stays_in_references(make_dataset: MakeDataset) -> None:
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "1.2.3.4.9"
    reference.ImageComments = "Doe"
    reference.LossyImageCompressionMethod = "DOE"
    dataset = out(encoded(make_dataset(SourceImageSequence=Sequence([reference]))))
    (item,) = dataset.SourceImageSequence
    assert item.ReferencedSOPInstanceUID == KEYRING.key_of("radiograph", "1.2.3.4.9")
    assert "Doe" not in str(item)
    assert "DOE" not in str(item)


def test_sex_and_age_stay_only_where_they_are_retained(make_dataset: MakeDataset) -> None:
    source = encoded(make_dataset())
    options = Options(retain_patient_characteristics=True)
    after = pydicom.dcmread(BytesIO(deidentify(read(source), KEYRING, options).content))
    assert (after.PatientSex, after.PatientAge) == ("F", "050Y")
    assert after.PatientBirthDate == ""
    assert [item.CodeValue for item in after.DeidentificationMethodCodeSequence][-1] == "113108"


def test_dates_and_uids_stay_where_they_are_retained(make_dataset: MakeDataset) -> None:
    source = encoded(make_dataset())
    result = deidentify(read(source), KEYRING, Options(dates="full", retain_uids=True))
    after = pydicom.dcmread(BytesIO(result.content))
    assert after.StudyDate == "20180615"
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4.5"
    assert result.radiograph_id == KEYRING.key_of("radiograph", "1.2.3.4.5")


def test_private_attributes_known_to_be_safe_stay_with_their_creator_where_asked(
    make_dataset: MakeDataset,
) -> None:
    dataset = make_dataset()
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    block.add_new(0x23, "DS", "1.25")
    block.add_new(0x24, "LO", "Doe")  # a safe attribute, but not in its representation
    block.add_new(0x25, "DS", "77")
    dataset.private_block(0x0019, "DOE", create=True).add_new(0x23, "DS", "88")
    source = encoded(dataset)
    options = Options(retain_safe_private=True)
    after = pydicom.dcmread(BytesIO(deidentify(read(source), KEYRING, options).content))
    kept = {int(element.tag): str(element.value) for element in after if element.tag.is_private}
    assert kept == {0x00190010: "GEMS_ACQU_01", 0x00191023: "1.25"}


def test_bytes_after_the_last_row_are_cut(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    dataset.PixelData += b"Doe, Jane!"
    after = out(encoded(dataset))
    assert len(after.PixelData) == 48


def test_a_padding_value_above_bits_stored_keeps_its_pixels(make_dataset: MakeDataset) -> None:
    pixels = np.full((6, 4), 0xF830, "<u2")
    after = out(encoded(make_dataset(pixels, PixelPaddingValue=0xF830)))
    assert after.PixelData == pixels.tobytes()


def test_a_partial_study_date_stays_as_coarse_and_has_no_day_in_the_table(make_dataset: MakeDataset) -> None:
    result = released(encoded(make_dataset()).replace(b"20180615", b"2018    "))
    assert int(pydicom.dcmread(BytesIO(result.content)).StudyDate[:4]) < 2018
    assert describe(read(encoded(make_dataset())), result, KEYRING)["study_date"] is None


def test_what_names_the_patient_goes_from_texts_that_stay(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(
        Manufacturer="Acme for DOE",
        ManufacturerModelName="X1 of MRN-0042_b, 1.2.3.4.5",
        SoftwareVersions=["1.2.3", "1.2.826.0.1.99.55.44.33.22"],
        ScanOptions="JANE",
        BodyPartExamined="CHEST",
    )
    after = out(encoded(dataset))
    assert after.Manufacturer == "Acme for REMOVED"
    assert after.ManufacturerModelName == "X1 of REMOVED_b, REMOVED"
    assert list(after.SoftwareVersions) == ["1.2.3", "REMOVED"]
    assert after.ScanOptions == "REMOVED"
    assert after.BodyPartExamined == "CHEST"


def test_a_name_in_another_script_is_found_by_its_bytes(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoDong=王^小東=왕^샤오둥")
    dataset.SequenceName, dataset.Manufacturer = "wang", "机 小東"
    after = out(encoded(dataset))
    assert (after.SequenceName, after.Manufacturer) == ("REMOVED", "机 REMOVED")


def test_words_of_the_standard_stay_also_where_people_are_called_so(make_dataset: MakeDataset) -> None:
    after = out(encoded(make_dataset(PatientName="Primary^Chest")))
    assert after.ImageType == ["ORIGINAL", "PRIMARY"]
    assert after.BodyPartExamined == "CHEST"


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("Exposure", "IS", b"Doe's film"),
        ("SliceThickness", "DS", b"Jane Doe"),
        ("ScanOptions", "CS", b"DOE^JANE"),
        ("ExposureControlMode", "LO", b"told Dr House"),
        ("Manufacturer", "LO", b"Acme, seen by Dr House on behalf of Mrs Doe, who came by bus, and left"),
        ("DistanceSourceToDetector", "FD", b"twenty-four bytes of name"[:24]),
        ("PatientBirthDateInAlternativeCalendar", "LO", b"13390212"),
        ("ContactDisplayName", "LO", b"House"),
    ],
)
def test_a_short_value_that_is_not_what_its_attribute_asks_for_does_not_stay(
    make_dataset: MakeDataset, keyword: str, vr: str, value: bytes
) -> None:
    dataset = read(encoded(make_dataset()))
    tag = Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)
    assert value not in deidentify(dataset, KEYRING).content


def test_what_somebody_typed_in_keeps_radiographic_words(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(AcquisitionProtocolName="thorax", PaddleDescription="chest of Dr House")
    assert out(encoded(dataset)).PaddleDescription == "chest"


def test_a_picture_in_a_sequence_goes(make_dataset: MakeDataset) -> None:
    item = make_dataset()
    source = encoded(make_dataset(AnatomicRegionSequence=Sequence([item])))
    assert source.count(item.PixelData) == 2
    assert released(source).content.count(item.PixelData) == 1


def test_what_follows_the_last_entry_of_a_table_is_cut(make_dataset: MakeDataset) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], bytes(8) + b"Doe."
    table["LUTData"].VR, table["LUTDescriptor"].VR = "OW", "US"
    (item,) = out(encoded(make_dataset(VOILUTSequence=Sequence([table])))).VOILUTSequence
    assert item.LUTData == bytes(8)


def test_bits_above_bits_stored_stay_only_in_pixels_that_are_padding(make_dataset: MakeDataset) -> None:
    pixels = np.array([[0xF830, 0x4123], [0x0FFF, 0xF830]], "<u2")
    after = out(encoded(make_dataset(pixels=pixels, PixelPaddingValue=0xF830)))
    assert after.PixelData == np.array([[0xF830, 0x0123], [0x0FFF, 0xF830]], "<u2").tobytes()


def test_uids_of_code_tables_stay_only_below_the_roots_of_those_who_publish_codes(
    make_dataset: MakeDataset,
) -> None:
    item = code("1")
    item.CodeMeaning, item.ContextUID, item.MappingResourceUID = "Zone", "1.2.3.4", "1.2.840.10008.8.1.1"
    (after,) = out(encoded(make_dataset(AnatomicRegionSequence=Sequence([item])))).AnatomicRegionSequence
    assert after.ContextUID == KEYRING.key_of("uid", "1.2.3.4")
    assert after.MappingResourceUID == "1.2.840.10008.8.1.1"


def test_the_last_byte_of_an_odd_picture_stays_in_big_endian_words() -> None:
    path = get_testdata_file("SC_rgb_small_odd_big_endian.dcm", download=False)
    assert path is not None
    source = Path(str(path)).read_bytes()
    before, after = pydicom.dcmread(BytesIO(source)), out(source)
    assert np.array_equal(before.pixel_array, after.pixel_array)
