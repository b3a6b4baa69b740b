"""`pdeseray predict`: films in, decisions, pictures and DICOM objects out, refusals with their reason."""

import json
from io import BytesIO
from pathlib import Path

import cv2
import highdicom as hd
import numpy as np
import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.data import get_testdata_file

from pdeseray_model.config import NetworkConfig
from pdeseray_model.networks import build
from pdeseray_model.weights import save_tensors
from pipelines.cli.main import cli
from pipelines.engine import LocalEngine
from pipelines.modelling.film_predictions import FilmPredictions
from pipelines.phantoms.cohorts import make_cohort

TINY = NetworkConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_widths=(8, 8, 8, 8, 8))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four phantoms as SIIM's files are."""
    folder = tmp_path_factory.mktemp("films") / "siim"
    make_cohort("siim", folder, n=4, seed=3, engine=LocalEngine(1))
    return sorted(folder.rglob("*.dcm"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that marks whatever is bright: random weights find nothing anybody could check."""
    import torch

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    network = build(TINY)
    save_tensors(folder / "weights.safetensors", network.state_dict())
    record = {"network": TINY.to_dict(), "size_px": 64}
    (folder / "model.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PDESERAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PDESERAY_SECRETS", str(tmp_path / "secrets"))


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["predict", *map(str, arguments)], standalone_mode=True)


def test_each_film_gets_a_row_a_picture_and_a_report(films: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = predict(*films, "--out", out, "--model", model, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["taken_in"], said["predicted"], said["refused"]) == (4, 4, 0)
    for row in said["films"]:
        picture = cv2.imread(str(out / f"{row['name']}.png"))
        assert picture is not None
        assert picture.shape[1] == 1024
        assert (out / f"{row['name']}.SR.dcm").is_file()
        assert (out / f"{row['name']}.SEG.dcm").is_file() == (row["area_px"] > 0)
        assert row["area_percent"] == pytest.approx(100 * row["area_px"] / 1024**2, abs=1e-3)
        assert row["area_mm2"] is None or row["area_mm2"] > 0
    assert not list(out.glob(".*"))  # nothing half-written
    lines = (out / "predictions.csv").read_text("utf-8").splitlines()
    assert len(lines) == 5


def test_the_mask_in_the_segmentation_is_the_measured_one(
    films: list[Path], model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rows = json.loads(predict(*films, "--out", out, "--model", model, "--json").stdout)["films"]
    marked = [row for row in rows if row["area_px"]]
    assert marked, "the fixed seed's network marks something"
    for row in marked:
        opened = hd.seg.segread(out / f"{row['name']}.SEG.dcm")
        (source,) = opened.get_source_image_uids()
        assert source[2] == dcmread(films[row["film"] - 1], stop_before_pixels=True).SOPInstanceUID
        pixels = opened.get_pixels_by_source_instance([source[2]])
        assert int((pixels > 0).sum()) == row["area_px"]


def test_what_is_no_frontal_chest_radiograph_is_refused(
    films: list[Path], model: Path, tmp_path: Path
) -> None:
    blank = dcmread(films[0])
    blank.decompress()
    blank.PixelData = bytes(np.full((blank.Rows, blank.Columns), 90, np.uint8))
    stream = BytesIO()
    blank.save_as(stream, enforce_file_format=True)
    (tmp_path / "blank.dcm").write_bytes(stream.getvalue())
    (tmp_path / "text.dcm").write_text("no DICOM")
    ct = get_testdata_file("CT_small.dcm")
    done = predict(films[0], ct, tmp_path / "blank.dcm", tmp_path / "text.dcm", "--out", tmp_path / "out",
                   "--model", model, "--json")  # fmt: skip
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert [row["reason"] for row in said["films"]] == ["", "not_a_radiograph", "not_frontal", "unreadable"]
    assert said["reasons"] == {"not_a_radiograph": 1, "not_frontal": 1, "unreadable": 1}
    assert len(list((tmp_path / "out").glob("*.SR.dcm"))) == 1


def test_films_that_are_done_are_not_predicted_again(
    films: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = json.loads(predict(*films[:2], "--out", out, "--model", model, "--json").stdout)
    with (out / "predictions.jsonl").open("a") as journal:
        journal.write('{"key": "half a li')  # as a killed run leaves it
    asked: list[int] = []
    whole = FilmPredictions._predict

    def counted(self: FilmPredictions, number: int, content: bytes) -> object:
        asked.append(number)
        return whole(self, number, content)

    monkeypatch.setattr(FilmPredictions, "_predict", counted)
    again = json.loads(predict(*films, "--out", out, "--model", model, "--json").stdout)
    assert asked == [3, 4]
    assert again["films"][:2] == first["films"]


def test_deidentified_objects_hold_no_name(films: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(films[0], "--out", out, "--model", model, "--deidentified").exit_code == 0
    original = dcmread(films[0], stop_before_pixels=True)
    for path in out.iterdir():
        content = path.read_bytes()
        assert str(original.PatientID).encode() not in content
        assert str(original.SOPInstanceUID).encode() not in content


def test_bad_input_is_told_with_the_remedy(films: list[Path], model: Path, tmp_path: Path) -> None:
    from pipelines.records import UnusableInputError

    runner = CliRunner()
    for arguments, expected in (
        ([str(tmp_path / "nothing.dcm"), "--out", str(tmp_path / "o"), "--model", str(model)], "DICOM files"),
        ([str(films[0]), "--out", str(tmp_path / "o"), "--model", "nobody@champion"], "a model's folder"),
    ):
        done = runner.invoke(cli, ["predict", *arguments])
        assert isinstance(done.exception, UnusableInputError)
        assert expected in done.exception.expected
    assert not (tmp_path / "o").exists()


def test_deidentified_pictures_show_no_name(films: list[Path], model: Path, tmp_path: Path) -> None:
    film = dcmread(films[0])
    film.decompress()
    pixels = film.pixel_array.copy()
    pixels[900:1000, 560:] = 0
    cv2.putText(pixels, "SANTOS^MARIA", (580, 960), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 3, cv2.LINE_AA)
    film.PixelData, film.PatientName = pixels.tobytes(), "SANTOS^MARIA"
    film.save_as(tmp_path / "named.dcm", enforce_file_format=True)
    shown = {}
    for flags in ((), ("--deidentified",)):
        out = tmp_path / f"out{len(flags)}"
        done = predict(tmp_path / "named.dcm", "--out", out, "--model", model, *flags, "--json")
        (row,) = json.loads(done.stdout)["films"]
        if row["reason"]:  # without the reader of text it waits for a person
            assert (row["reason"], flags) == ("pixel_text_review", ("--deidentified",))
            return
        (picture,) = out.glob("*.png")
        film_alone = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)[-1024:]  # below its caption
        shown[len(flags)] = film_alone[900:1000, 560:]
    assert shown[0][20:70, 20:330].std() > 40
    assert shown[1][20:70, 20:330].std() == 0
