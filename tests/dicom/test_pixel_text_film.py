"""Films on their way through the intake: blanked at their own depth, held, decided about once."""

import json
import stat
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import jpeg_ls as charls
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from pipelines.cohorts import Cohort
from pipelines.dicom import pixel_text
from pipelines.dicom.identity import Keyring
from pipelines.dicom.intake import Intake, take_in
from pipelines.dicom.intake_one import Terms
from pipelines.dicom.pixel_text_film import PixelText
from pipelines.dicom.pixel_text_review import Review
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.phantoms.burned_in import BurnedText, burn_in
from pipelines.phantoms.streams import jpeg
from pipelines.records import UnusableInputError

from .conftest import MakeDataset, encoded

BITS = 12
TOP = (1 << BITS) - 1


def pixels_with_name(seed: int = 1, *, top: int = TOP) -> tuple[np.ndarray[Any, Any], BurnedText]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:400, :600] / 600
    ground = np.asarray(
        0.4 + 0.2 * np.sin(4 * x) * np.cos(3 * y) + 0.01 * rng.standard_normal((400, 600)), np.float32
    )
    film, (text,) = burn_in(ground, rng, identity={"n": "REYES CRISANTO"}, height_px=18, contrast=0.35, rotation=0,
                            font="sans 400")  # fmt: skip
    return np.round(np.clip(film, 0, 1) * top).astype("<u2" if top > 255 else "u1"), text


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return Review(tmp_path / "secrets" / "pixel_text")


@pytest.fixture
def taken(cohort: Cohort, keyring: Keyring, store: DicomStore, tmp_path: Path) -> Any:
    def run(
        engine: LocalEngine | None = None,
        *,
        looks: bool = True,
        where: Path | None = None,
        journal: str = "journal",
        withdrawn: dict[str, date] | None = None,
        **terms: Any,
    ) -> Intake:
        place = cohort if where is None else cohort.model_copy(update={"radiographs": (str(where),)})
        looked = PixelText(tmp_path / "secrets" / "pixel_text", "tmc", **terms) if looks else None
        return take_in(
            list_sources(place, keyring),
            cohort_name="tmc",
            keyring=keyring,
            store=store,
            engine=engine or LocalEngine(1),
            journal=tmp_path / "secrets" / f"{journal}.sqlite",
            withdrawn=withdrawn,
            terms=Terms(pixel_text=looked),
        )

    return run


class Counting(LocalEngine):
    """Counts what it is given."""

    def __init__(self) -> None:
        super().__init__(1)
        self.items = 0

    def map(self, function: Any, items: Any, **words: Any) -> Any:
        self.items += len(items)
        return super().map(function, items, **words)


def stored(intake: Intake, store: DicomStore) -> pydicom.Dataset:
    (row,) = intake.instances
    return pydicom.dcmread(BytesIO(store.get(row["store_key"])))


def is_outside(shape: tuple[int, ...], text: BurnedText, margin: int = 18) -> np.ndarray[Any, Any]:
    x, y, width, height = text.box
    mask = np.ones(shape, bool)
    mask[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin] = False
    return mask


def require_blanked(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any], text: BurnedText) -> None:
    x, y, width, height = text.box
    outside = is_outside(before.shape, text)
    assert (before[outside] == after[outside]).all()
    piece = after[y : y + height, x : x + width]
    assert piece.min() == piece.max()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_native_pixels_are_blanked_in_their_own_syntax_and_depth(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, *, syntax: str, photometric: str
) -> None:
    before, text = pixels_with_name()
    dataset = make_dataset(before, PhotometricInterpretation=photometric)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = before.astype(">u2").tobytes()
    (folder / "a").write_bytes(encoded(dataset, syntax))
    intake = taken()
    after = stored(intake, store)
    assert after.file_meta.TransferSyntaxUID == syntax
    require_blanked(before, after.pixel_array, text)
    assert after.BurnedInAnnotation == "NO"
    assert "113101" in {item.CodeValue for item in after.DeidentificationMethodCodeSequence}
    assert after.ImageType[0] == "DERIVED"
    assert "LossyImageCompression" not in after


def test_lossless_input_becomes_lossless_jpeg_ls(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore
) -> None:
    before, text = pixels_with_name()
    dataset = make_dataset(before, LossyImageCompression="00")
    dataset.PixelData = encapsulate([bytes(charls.encode_buffer(before.tobytes(), *before.shape, 1, BITS))])
    dataset["PixelData"].VR = "OB"
    (folder / "a").write_bytes(encoded(dataset, JPEGLSLossless))
    intake = taken()
    after = stored(intake, store)
    assert after.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert intake.instances[0]["transfer_syntax"] == JPEGLSLossless
    require_blanked(before, after.pixel_array, text)
    assert after.LossyImageCompression == "00"


@pytest.mark.parametrize("says_so", [True, False])
def test_lossy_input_keeps_its_decoded_pixels_and_says_that_it_was_lossy(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, *, says_so: bool
) -> None:
    before, text = pixels_with_name(top=255)
    dataset = make_dataset(before, WindowCenter=None, WindowWidth=None)
    if says_so:
        dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
        dataset.LossyImageCompressionRatio = "7.5"
    dataset.PixelData = encapsulate([jpeg(before, 92)])
    (folder / "a").write_bytes(encoded(dataset, JPEGBaseline8Bit))
    decoded = pydicom.dcmread(folder / "a").pixel_array
    after = stored(taken(), store)
    assert after.file_meta.TransferSyntaxUID == JPEGLSLossless
    require_blanked(decoded, after.pixel_array, text)
    assert (after.LossyImageCompression, after.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert after.get("LossyImageCompressionRatio") == (7.5 if says_so else None)
    assert get_frame(after.PixelData, 0, number_of_frames=1)[:4] == b"\xff\xd8\xff\xf7"


def test_text_that_the_window_shows_as_white_on_white_goes(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore
) -> None:
    before, text = pixels_with_name()
    (folder / "a").write_bytes(encoded(make_dataset(before, WindowCenter="300", WindowWidth="400")))
    require_blanked(before, stored(taken(), store).pixel_array, text)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_films_of_8_bits_without_a_window_are_looked_at_by_all_their_values(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, photometric: str
) -> None:
    before, text = pixels_with_name(top=255)
    dataset = make_dataset(before, WindowCenter=None, WindowWidth=None, PhotometricInterpretation=photometric)
    (folder / "a").write_bytes(encoded(dataset))
    require_blanked(before, stored(taken(), store).pixel_array, text)


def test_a_clean_film_is_stored_as_it_came_and_says_that_it_was_looked_at(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore
) -> None:
    before, text = pixels_with_name()
    clean = np.where(is_outside(before.shape, text), before, np.uint16(1600)).astype("<u2")
    (folder / "a").write_bytes(encoded(make_dataset(clean)))
    after = stored(taken(), store)
    assert (after.pixel_array == clean).all()
    assert after.BurnedInAnnotation == "NO"
    assert after.ImageType[0] == "ORIGINAL"


def test_without_the_look_nothing_is_said(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore
) -> None:
    (folder / "a").write_bytes(encoded(make_dataset(pixels_with_name()[0])))
    after = stored(taken(looks=False), store)
    assert "BurnedInAnnotation" not in after
    assert "113101" not in {item.CodeValue for item in after.DeidentificationMethodCodeSequence}


def test_the_digest_of_the_row_is_that_of_the_pixels_that_are_stored(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, tmp_path: Path
) -> None:
    (folder / "a").write_bytes(encoded(make_dataset(pixels_with_name()[0])))
    intake = taken()
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "b").write_bytes(store.get(intake.instances[0]["store_key"]))
    other = taken(looks=False, where=tmp_path / "again", journal="other")
    assert other.instances[0]["pixel_sha256"] == intake.instances[0]["pixel_sha256"]


def held_film(folder: Path, make_dataset: MakeDataset) -> tuple[np.ndarray[Any, Any], BurnedText]:
    before, text = pixels_with_name()
    (folder / "a").write_bytes(encoded(make_dataset(before)))
    (folder / "b").write_bytes(encoded(make_dataset(np.full((50, 60), 900, "<u2"), SOPInstanceUID="1.2.9")))
    return before, text


def test_an_unsure_film_is_held_with_a_crop_beside_the_key_and_nothing_of_it_stored(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, *, review: Review, tmp_path: Path
) -> None:
    held_film(folder, make_dataset)
    intake = taken(readable=1.0)
    assert [row["reason"] for row in intake.rejections] == ["pixel_text_review"]
    assert "pdeseray review" in intake.rejections[0]["detail"]
    assert len(list(store.keys())) == 1
    (held,) = review.held()
    assert (held.cohort, held.rows_px, held.columns_px) == ("tmc", 400, 600)
    assert held.boxes
    assert held.picture.startswith(b"\x89PNG")
    (path,) = (tmp_path / "secrets" / "pixel_text" / "held").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "REYES" not in path.read_text()
    assert "REYES" not in json.dumps(intake.rejections)


@pytest.mark.parametrize("choice", ["release", "blank"])
def test_a_decision_takes_effect_at_the_next_run_on_that_film_alone_and_is_never_asked_again(
    folder: Path,
    make_dataset: MakeDataset,
    taken: Any,
    store: DicomStore,
    *,
    review: Review,
    choice: Any,
    tmp_path: Path,
) -> None:
    before, text = held_film(folder, make_dataset)
    taken(readable=1.0)
    review.decide(review.held()[0], choice, decided_on="2024-05-06")
    assert review.held() == []
    engine = Counting()
    intake = taken(engine, readable=1.0)
    assert engine.items == 1
    assert intake.rejections == []
    after = pydicom.dcmread(BytesIO(store.get(intake.instances[0]["store_key"])))
    if choice == "release":
        assert (after.pixel_array == before).all()
    else:
        require_blanked(before, after.pixel_array, text)
    assert after.BurnedInAnnotation == "NO"
    (tmp_path / "secrets" / "journal.sqlite").unlink()
    assert taken(readable=1.0).instances == intake.instances  # everything is done again, and nothing asked
    assert review.held() == []


def test_the_same_pixels_in_another_file_follow_the_decision(
    folder: Path, make_dataset: MakeDataset, taken: Any, review: Review
) -> None:
    before, _ = held_film(folder, make_dataset)
    taken(readable=1.0)
    review.decide(review.held()[0], "release", decided_on="2024-05-06")
    (folder / "c").write_bytes(encoded(make_dataset(before, SOPInstanceUID="1.2.77", PatientID="OTHER")))
    assert len(taken(readable=1.0).instances) == 3
    assert review.held() == []


def test_a_film_that_is_not_unsure_any_more_leaves_the_list(
    folder: Path, make_dataset: MakeDataset, taken: Any, review: Review
) -> None:
    held_film(folder, make_dataset)
    taken(readable=1.0)
    assert len(taken(readable=0.5).instances) == 2
    assert review.held() == []


def test_a_held_film_that_is_withdrawn_leaves_its_crop_and_is_not_looked_at_again(
    folder: Path, make_dataset: MakeDataset, taken: Any, review: Review, keyring: Keyring
) -> None:
    held_film(folder, make_dataset)
    taken(readable=1.0)
    (held,) = review.held()
    page = review.write_page("shows the crop")
    patient = keyring.key_of("patient", str(make_dataset(np.zeros((2, 2), "<u2")).PatientID))
    assert patient in held.names
    engine = Counting()
    after = taken(engine, readable=1.0, withdrawn={patient: date(2026, 3, 1)})
    assert {row["reason"] for row in after.rejections} == {"withdrawn"}
    assert engine.items == 0
    assert review.held() == []
    assert not page.exists()
    read_anew = taken(readable=0.9, withdrawn={patient: date(2026, 3, 1)})
    assert read_anew.rejections == after.rejections
    assert review.held() == []


def test_without_the_extra_flagged_films_are_held_and_it_says_so(
    folder: Path, make_dataset: MakeDataset, taken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_film(folder, make_dataset)
    monkeypatch.setattr(pixel_text, "is_available", lambda: False)
    intake = taken()
    assert len(intake.instances) == 1
    assert "extra pixeltext" in intake.rejections[0]["detail"]


def test_a_film_without_a_place_cannot_be_blanked_without_naming_one(
    folder: Path, make_dataset: MakeDataset, taken: Any, review: Review
) -> None:
    (folder / "a").write_bytes(encoded(make_dataset(np.full((50, 60), 900, "<u2"), BurnedInAnnotation="YES")))
    assert taken().instances == []
    (held,) = review.held()
    with pytest.raises(UnusableInputError, match="--box"):
        review.decide(held, "blank", decided_on="2024-05-06")
    review.decide(held, "blank", decided_on="2024-05-06", boxes=[(1, 2, 3, 4)])
    assert len(taken().instances) == 1
