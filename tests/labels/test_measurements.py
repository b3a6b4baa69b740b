import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from pipelines.labels.measurements import components, measure, size_class_of
from pipelines.labels.run_lengths import runs_of

EIGHT = np.ones((3, 3))
sparse_masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from([0, 0, 1])
)
dense_masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from([0, 1, 1, 1])
)


def _boxes(*boxes: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    mask = np.zeros((1024, 1024), np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def _measure(mask: npt.NDArray[Any]) -> Any:
    return measure(runs_of(mask), (mask.shape[0], mask.shape[1]))


@given(st.one_of(sparse_masks, dense_masks))
def test_components_are_those_of_scipy(mask: npt.NDArray[np.uint8]) -> None:
    labelled, n = ndimage.label(mask, EIGHT)
    found = components(runs_of(mask), (mask.shape[0], mask.shape[1]))
    numbers = np.arange(1, n + 1)
    centroids = ndimage.center_of_mass(mask, labelled, numbers)
    theirs = sorted(
        (int(area), round(row, 9), round(column, 9))
        for area, (row, column) in zip(ndimage.sum(mask, labelled, numbers), centroids, strict=True)
    )
    ours = sorted(
        (int(area), round(float(row), 9), round(float(column), 9))
        for area, row, column in zip(found.area_px, found.centroid_row, found.centroid_column, strict=True)
    )
    assert ours == theirs
    assert found.right_px.sum() == mask[:, : (mask.shape[1] + 1) // 2].sum()


@given(st.one_of(sparse_masks, dense_masks))
def test_area_centroid_and_box_are_those_of_the_drawn_mask(mask: npt.NDArray[np.uint8]) -> None:
    found = _measure(mask)
    assert found.area_px == mask.sum()
    assert found.area_percent == pytest.approx(100 * mask.mean())
    assert found.n_components == ndimage.label(mask, EIGHT)[1]
    if not mask.any():
        assert found.centroid is found.bounding_box is None
        return
    rows, columns = np.nonzero(mask)
    assert found.centroid == pytest.approx((rows.mean(), columns.mean()))
    assert found.bounding_box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


def test_an_empty_mask_has_no_side_no_size_and_no_component() -> None:
    found = _measure(np.zeros((1024, 1024)))
    assert (found.laterality, found.size_class, found.n_components) == ("none", "none", 0)


def test_a_mask_on_the_image_s_left_is_the_patient_s_right() -> None:
    assert _measure(_boxes((10, 100, 20, 120))).laterality == "right"
    assert _measure(_boxes((10, 900, 20, 920))).laterality == "left"
    assert _measure(_boxes((10, 100, 20, 120), (10, 900, 20, 920))).laterality == "bilateral"


def test_a_component_across_the_middle_has_the_side_of_its_centroid_only() -> None:
    # columns 400 … 599: the centroid is 499.5
    assert _measure(_boxes((10, 400, 20, 600))).laterality == "right"
    # columns 512 … 512: centroid 512 is not below 512; columns 511 … 513 neither
    assert _measure(_boxes((10, 512, 20, 513))).laterality == "left"
    assert _measure(_boxes((10, 511, 20, 514))).laterality == "left"
    assert _measure(_boxes((10, 511, 20, 513))).laterality == "right"


def test_pixels_that_meet_at_a_corner_are_one_component() -> None:
    # 4-connected they would be two components, one on each side: bilateral
    diagonal = _boxes((10, 480, 20, 512), (20, 512, 30, 530))
    assert _measure(diagonal).n_components == 1
    assert _measure(diagonal).laterality == "right"


def test_a_run_over_the_end_of_a_column_is_not_a_bridge() -> None:
    mask = np.zeros((6, 4), np.uint8)
    mask[4:, 1] = 1
    mask[:2, 2] = 1
    assert len(runs_of(mask).starts) == 1
    assert _measure(mask).n_components == 2


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, "none"), (0.00525, "small"), (0.999, "small"), (1, "medium"), (3, "medium"), (3.001, "large")],
)
def test_size_classes_change_at_one_and_three_percent(percent: float, expected: str) -> None:
    assert size_class_of(percent) == expected


def test_sql_over_the_integer_lists_gives_the_same_area_and_sides() -> None:
    """The statement of docs/labels.md, on the stored columns, against the drawn masks."""
    rng = np.random.default_rng(11)
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text("utf-8")
    (sql,) = [one for one in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "touches_right" in one]
    drawn = [np.zeros((1024, 1024), np.uint8)]
    for _ in range(40):
        mask = np.zeros((1024, 1024), np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            top, left = rng.integers(0, 1000, 2)
            height, width = rng.integers(1, 200, 2)
            mask[top : top + height, left : left + width] = 1
        drawn.append(mask)
    for edge in (511, 512):  # the columns on either side of the middle
        drawn.append(np.zeros((1024, 1024), np.uint8))
        drawn[-1][:, edge] = 1
    runs = [runs_of(mask) for mask in drawn]
    masks = pa.table(  # noqa: F841  found by DuckDB under its name
        {
            "radiograph_id": [str(nth) for nth in range(len(drawn))],
            "run_starts": pa.array([one.starts.tolist() for one in runs], pa.list_(pa.int64())),
            "run_lengths": pa.array([one.lengths.tolist() for one in runs], pa.list_(pa.int64())),
            "has_pneumothorax": [bool(len(one.starts)) for one in runs],
        }
    )
    found = {int(key): tuple(rest) for key, *rest in duckdb.sql(sql).fetchall()}
    assert found == {
        nth: (int(mask.sum()), bool(mask[:, :512].any()), bool(mask[:, 512:].any()))
        for nth, mask in enumerate(drawn)
        if mask.any()
    }
    for nth, one in enumerate(runs):
        if nth in found:
            assert measure(one).area_px == found[nth][0]
