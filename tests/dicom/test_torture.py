"""Nothing that was planted in a file in which everything identifies is left, under any option that hides it."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.deidentification import Deidentified, deidentify
from pipelines.dicom.headers import describe
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read

from . import torture

KEYRING = Keyring.phantom()
CLASSES = {
    "DX": torture.DX,
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "secondary capture": "1.2.840.10008.5.1.4.1.1.7",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "enhanced MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "presentation state": "1.2.840.10008.5.1.4.1.1.11.1",
    "of nobody": "1.2.3.4",
}


def released(one: torture.Torture, options: Options | None = None) -> tuple[Deidentified, bytes]:
    """Return what is released, and everything that is told of it."""
    dataset = read(one.content)
    result = deidentify(dataset, KEYRING, options or Options())
    return result, repr((describe(dataset, result, KEYRING), result.audit)).encode()


def left(one: torture.Torture, *contents: bytes) -> list[str]:
    return [place for place, token in one.tokens.items() if any(token in content for content in contents)]


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("name", CLASSES)
def test_no_token_is_left_at_any_place(name: str, implicit: bool) -> None:
    one = torture.make(implicit=implicit, sop_class=CLASSES[name])
    assert len(one.tokens) > 1850
    result, told = released(one)
    assert left(one, result.content, told) == []
    assert result.content[:128] == bytes(128)
    assert pydicom.dcmread(BytesIO(result.content)).PatientIdentityRemoved == "YES"


def test_every_token_is_found_in_the_file_that_was_made() -> None:
    one = torture.make()
    assert left(one, one.content) == list(one.tokens)
    assert len(set(one.tokens.values())) > 0.85 * len(one.tokens)


@pytest.mark.parametrize(
    "options",
    [
        Options(dates="removed"),
        Options(clean_descriptors=False),
        Options(clean_structured_content=True, clean_graphics=True),
        Options(retain_safe_private=True),
    ],
    ids=["no dates", "no descriptors", "structured content and graphics", "safe private"],
)
def test_options_that_only_clean_leave_no_token_either(options: Options) -> None:
    one = torture.make()
    result, told = released(one, options)
    assert left(one, result.content, told) == []


@pytest.mark.parametrize(
    ("options", "stays"),
    [
        (Options(retain_uids=True), " UI, "),
        (Options(dates="full"), " DT, "),
        (Options(retain_device_identity=True), "(0018,1000) LO"),
        (Options(retain_institution_identity=True), "(0008,0080) LO"),
        (Options(retain_patient_characteristics=True), "(0010,1030) DS"),
    ],
)
def test_an_option_that_retains_says_so_and_keeps_what_it_names(options: Options, stays: str) -> None:
    one = torture.make()
    result, _ = released(one, options)
    # moved dates may meet other tokens where all dates are shown
    places = [
        place for place in left(one, result.content) if " DA," not in place and not place.startswith("DA,")
    ]
    assert any(stays in place for place in places)
    assert not any("private" in place or " PN," in place for place in places)


@pytest.mark.parametrize(("format_", "comment"), [("JPEG", b"Doe"), ("JPEG2000", b"Doe")])
def test_comments_of_code_streams_go_and_the_picture_stays(format_: str, comment: bytes) -> None:
    buffer = BytesIO()
    picture = Image.linear_gradient("L").resize((8, 8))
    picture.save(
        buffer, format_, **({"comment": comment} if format_ == "JPEG" else {"comment": "Doe", "no_jp2": True})
    )
    stream = buffer.getvalue() + b"Doe, after the end"
    assert stream.count(b"Doe") == 2
    one = torture.make(encapsulated=stream)
    result, _ = released(one)
    assert b"Doe" not in result.content
    after = pydicom.dcmread(BytesIO(result.content))
    fragment = get_frame(after.PixelData, 0, number_of_frames=1)
    before_and_after = [np.asarray(Image.open(BytesIO(one_stream))) for one_stream in (stream, fragment)]
    assert np.array_equal(*before_and_after)


def test_everything_that_stays_or_is_put_in_is_valid() -> None:
    result, _ = released(torture.make())
    checked = []

    def check(dataset: Dataset) -> None:
        for element in dataset:
            checked.append(element.tag)
            if element.VR == "SQ":
                for item in element.value:
                    check(item)

    config.settings.reading_validation_mode = config.RAISE
    try:
        check(pydicom.dcmread(BytesIO(result.content)))
    finally:
        config.settings.reading_validation_mode = config.WARN
    assert len(checked) > 300
