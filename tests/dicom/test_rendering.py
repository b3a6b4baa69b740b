from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing
from pydicom.sequence import Sequence
from upath import UPath

from pipelines.dicom.decoding import decode
from pipelines.dicom.reading import read
from pipelines.dicom.rendering import annotation_png, grey_levels, render, render_images, to_native_of
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.lake.shards import ShardRef, ShardSet
from pipelines.lake.tables import Lake
from pipelines.records import RejectedError

from .conftest import MakeDataset, encoded


def grey(dataset: Dataset) -> tuple[np.ndarray[Any, Any], str]:
    again = read(encoded(dataset))
    return grey_levels(again, decode(again)[0])


def ramp(dtype: str = "<u2", start: int = 0, step: int = 16) -> np.ndarray[Any, Any]:
    return (start + step * np.arange(256)).astype(dtype).reshape(16, 16)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_the_standard(make_dataset: MakeDataset, function: str) -> None:
    dataset = make_dataset(ramp(), VOILUTFunction=function, WindowCenter="1800", WindowWidth="900")
    image, windowing = grey(dataset)
    expected = apply_windowing(ramp(), dataset)  # an independent implementation, to the range of 12 bits
    assert np.abs(image - expected / 4095 * 255).max() <= 0.51
    assert windowing == f"window 1800/900 {function}"


def test_the_first_of_several_windows_is_used(make_dataset: MakeDataset) -> None:
    _, windowing = grey(make_dataset(ramp(), WindowCenter=["1800", "10"], WindowWidth=["900", "5"]))
    assert windowing == "window 1800/900 LINEAR"


def test_rescale_comes_before_the_window(make_dataset: MakeDataset) -> None:
    plain, _ = grey(make_dataset(ramp(), WindowCenter="2000", WindowWidth="1000"))
    rescaled, _ = grey(
        make_dataset(
            ramp(), RescaleSlope="2", RescaleIntercept="-100", WindowCenter="3900", WindowWidth="1999"
        )
    )
    assert np.abs(plain.astype(int) - rescaled).max() <= 1


def test_monochrome1_is_inverted(make_dataset: MakeDataset) -> None:
    bright, _ = grey(make_dataset(ramp(), PhotometricInterpretation="MONOCHROME2"))
    dark, _ = grey(make_dataset(ramp(), PhotometricInterpretation="MONOCHROME1"))
    assert bright[0, 0] == 0
    assert dark[0, 0] == 255
    assert np.abs(bright.astype(int) + dark - 255).max() <= 1


@pytest.mark.parametrize(
    ("shape", "photometric", "first"),
    [
        ("INVERSE", "MONOCHROME1", 255),  # said twice, done once
        ("IDENTITY", "MONOCHROME2", 0),
        ("INVERSE", "MONOCHROME2", 255),
        ("IDENTITY", "MONOCHROME1", 0),
    ],
)
def test_the_presentation_lut_shape_decides_where_present(
    make_dataset: MakeDataset, shape: str, photometric: str, first: int
) -> None:
    image, _ = grey(make_dataset(ramp(), PresentationLUTShape=shape, PhotometricInterpretation=photometric))
    assert image[0, 0] == first


@pytest.mark.parametrize(("entry", "depth"), [("<u2", 8), ("u1", 8), ("<u2", 12)])
def test_a_voi_lut_comes_before_a_window(make_dataset: MakeDataset, entry: str, depth: int) -> None:
    lut = Dataset()
    lut.add_new(0x00283002, "US", [3840, 256, depth])  # values to 256 take the first entry
    table = np.linspace(2**depth - 1, 0, 3840).round().astype(entry)
    lut.add_new(0x00283006, "OW", table.tobytes())
    image, windowing = grey(make_dataset(ramp(), VOILUTSequence=Sequence([lut])))
    assert windowing == "voi_lut"
    expected = np.clip(255 * (1 - (np.arange(0, 4096, 16) - 256) / 3839), 0, 255)
    assert np.abs(image.ravel() - expected).max() <= 1


def test_a_voi_lut_shorter_than_it_says_is_set_aside(make_dataset: MakeDataset) -> None:
    lut = Dataset()
    lut.add_new(0x00283002, "US", [4096, 0, 16])
    lut.add_new(0x00283006, "OW", bytes(10))
    with pytest.raises(RejectedError, match="look-up table"):
        grey(make_dataset(ramp(), VOILUTSequence=Sequence([lut])))


def test_without_a_window_robust_percentiles_are_used(make_dataset: MakeDataset) -> None:
    pixels = np.full((100, 100), 1000, "<u2")
    pixels[:50] = 2000
    pixels[0, :20] = 4000  # 0.2 %: a marker does not darken the film
    image, windowing = grey(make_dataset(pixels, WindowCenter=None, WindowWidth=None))
    assert windowing == "percentiles 0.5-99.5"
    assert image[60, 0] == 0
    assert image[30, 0] == image[0, 0] == 255


def test_padding_does_not_count_in_percentiles(make_dataset: MakeDataset) -> None:
    pixels = np.full((100, 100), 4095, "<u2")
    pixels[:, :40] = 1000
    pixels[:, 40:60] = 2000
    image, _ = grey(make_dataset(pixels, WindowCenter=None, WindowWidth=None, PixelPaddingValue=4095))
    assert image[0, 0] == 0
    assert image[0, 50] == 255


@pytest.mark.parametrize("width", ["0", "-5", "nan", ""])
def test_an_unusable_window_is_not_used(make_dataset: MakeDataset, width: str) -> None:
    source = encoded(make_dataset(ramp(), WindowWidth="9999")).replace(b"9999", width.ljust(4).encode())
    again = read(source)
    assert grey_levels(again, decode(again)[0])[1].startswith("percentiles")


def test_a_blank_film_is_black(make_dataset: MakeDataset) -> None:
    image, _ = grey(make_dataset(np.full((8, 8), 700, "<u2"), WindowCenter=None, WindowWidth=None))
    assert not image.any()


def test_signed_and_8_bit_values_are_windowed(make_dataset: MakeDataset) -> None:
    signed, _ = grey(make_dataset(ramp("<i2", -2048), WindowCenter="0", WindowWidth="4096"))
    assert signed.ravel()[[0, 128, 255]].tolist() == [0, 128, 254]
    bytes_, _ = grey(make_dataset(ramp("u1", 0, 1), WindowCenter="128", WindowWidth="256"))
    assert np.array_equal(bytes_.ravel(), np.arange(256))


def test_frames_are_stretched_to_a_square_by_area(make_dataset: MakeDataset) -> None:
    pixels = np.kron(np.array([[0, 4095], [4095, 0]]), np.ones((6, 4))).astype("<u2")
    pixels[0:6:2, 0:4] = 4095  # every other line: an area average is half way
    rendered = render(encoded(make_dataset(pixels, WindowCenter="2048", WindowWidth="4096")), 2)
    assert rendered.image.shape == (2, 2)
    assert rendered.image.dtype == np.uint8
    assert abs(int(rendered.image[0, 0]) - 127) <= 1
    assert rendered.image[0, 1] == rendered.image[1, 0] == 255
    assert rendered.decoder.startswith("pydicom ")


def test_the_way_back_leads_to_the_native_pixel(make_dataset: MakeDataset) -> None:
    pixels = np.zeros((240, 160), "<u2")
    pixels[170:174, 30:34] = 4095
    rendered = render(encoded(make_dataset(pixels)), 80)
    y, x = np.unravel_index(rendered.image.argmax(), rendered.image.shape)
    native = np.reshape(rendered.to_native, (2, 3)) @ [x, y, 1]
    assert np.abs(native - [31.5, 171.5]).max() <= 1.5


def test_pictures_for_readers_are_bicubic_png_with_the_way_back(make_dataset: MakeDataset) -> None:
    rng = np.random.default_rng(0)
    pixels = (rng.random((90, 60)) * 4095).astype("<u2")
    content = encoded(make_dataset(pixels, WindowCenter="2048", WindowWidth="4096"))
    png, rendered = annotation_png(content)
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.shape == (2048, 2048)
    assert image.dtype == np.uint8
    native, _ = grey(make_dataset(pixels, WindowCenter="2048", WindowWidth="4096"))
    assert np.array_equal(image, cv2.resize(native, (2048, 2048), interpolation=cv2.INTER_CUBIC))
    assert rendered.to_native == to_native_of(90, 60, 2048)


def test_corners_of_the_square_are_corners_of_the_frame() -> None:
    matrix = np.reshape(to_native_of(2048, 1024, 512), (2, 3))
    assert (matrix @ [-0.5, -0.5, 1]).tolist() == [-0.5, -0.5]
    assert (matrix @ [511.5, 511.5, 1]).tolist() == [1023.5, 2047.5]
    assert to_native_of(512, 512, 512) == (1, 0, 0, 0, 1, 0)


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    return ShardSet(UPath(tmp_path / "shards"), "images")


def instances_of(lake: Lake, store: DicomStore, contents: list[bytes]) -> pa.Table:
    from pipelines.dicom.deidentification import deidentify
    from pipelines.dicom.headers import describe
    from pipelines.dicom.identity import Keyring

    ring = Keyring.phantom()
    rows = []
    for order, content in enumerate(contents):
        dataset = read(content)
        released = deidentify(dataset, ring)
        key = store.put(released.content)
        rows.append(
            {
                **describe(dataset, released, ring),
                "cohort": "tmc",
                "source_key": f"{order:032x}",
                "source_order": order,
                "store_key": key,
                "file_sha256": key,
                "pixel_sha256": key,
            }
        )
    return lake.write("instances", "tmc", rows[::-1])


def test_only_new_radiographs_are_rendered(
    make_dataset: MakeDataset, store: DicomStore, shards: ShardSet, tmp_path: Path
) -> None:
    lake = Lake(UPath(tmp_path / "tables"))
    films = [
        encoded(make_dataset(np.full((8, 8), 400 * n, "<u2"), SOPInstanceUID=f"1.2.{n}")) for n in range(1, 5)
    ]
    engine = LocalEngine(1)
    words: dict[str, Any] = {"store": store, "shards": shards, "size_px": 4, "engine": engine}
    first, rejections = render_images(
        instances_of(lake, store, films[:3]), previous=lake.read("images"), **words
    )
    assert rejections == []
    assert [row["index"] for row in first] == [0, 1, 2]  # in source order
    levels = [int(shards.read(ShardRef(row["shard"], row["index"]))[0, 0]) for row in first]
    assert levels == [round(400 * n / 4095 * 255) for n in (1, 2, 3)]

    previous = lake.write("images", "tmc", first)
    films[1] = films[1][:-1]  # would be set aside if it were touched
    instances = instances_of(lake, store, [films[0], films[2], films[3]])
    second, _ = render_images(instances, previous=previous, **words)
    assert second[:2] == [first[0], first[2]]
    assert second[2]["shard"] != first[0]["shard"]
    other_size, _ = render_images(instances, previous=previous, **{**words, "size_px": 6})
    assert {row["shard"] for row in other_size}.isdisjoint(row["shard"] for row in second)


def test_what_cannot_be_rendered_is_set_aside(
    make_dataset: MakeDataset, store: DicomStore, shards: ShardSet, tmp_path: Path
) -> None:
    lake = Lake(UPath(tmp_path / "tables"))
    films = [encoded(make_dataset(SOPInstanceUID=f"1.2.{n}")) for n in (1, 2)]
    instances = instances_of(lake, store, films)
    gone = instances.to_pylist()[0]
    store.delete(gone["store_key"])
    rows, rejections = render_images(
        instances, store=store, shards=shards, size_px=4, engine=LocalEngine(1), previous=lake.read("images")
    )
    assert len(rows) == 1
    assert [(row["radiograph_id"], row["reason"]) for row in rejections] == [
        (gone["radiograph_id"], "undecodable")
    ]
    lake.write("rejections", "tmc.images", rejections)


@pytest.mark.parametrize(
    ("name", "windowing"),
    [
        ("CR-MONO1-10-chest.dcm", "window 550/1024 LINEAR"),
        ("RG1_J2KI.dcm", "window 15000/30000 LINEAR"),
        ("966_fixed.dcm", "window 2048/4096 LINEAR"),
        ("dicom_00000001_000.dcm", "percentiles 0.5-99.5"),
    ],
)
def test_the_shared_radiographs_are_rendered_the_right_way_round(
    shared_radiographs: Path, name: str, windowing: str
) -> None:
    rendered = render((shared_radiographs / name).read_bytes(), 256)
    assert rendered.windowing == windowing
    image = rendered.image.astype(float)
    mediastinum = image[120:180, 115:135].mean()
    right_lung = image[90:140, 50:80].mean()
    assert mediastinum > right_lung + 25  # bone and heart are bright, air is dark
