import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from pipelines.labels.run_lengths import encode_siim, runs_of
from pipelines.lake.shards import ShardSet
from pipelines.modelling.catalogue import ModelSpec
from pipelines.modelling.training_sets import ids_by_part, reduced_mask, write_training_set
from pipelines.records import Row, UnusableInputError

SPEC = ModelSpec("m", "pdeseray", "mixed", "c", "official")


def _mask_row(mask: np.ndarray, one: str = "a") -> Row:
    runs = runs_of(mask)
    return {
        "radiograph_id": one,
        "rle": encode_siim(mask),
        "run_starts": runs.starts.tolist(),
        "run_lengths": runs.lengths.tolist(),
        "has_pneumothorax": bool(mask.any()),
    }


def _square(size: int) -> np.ndarray:
    mask = np.zeros((1024, 1024), bool)
    mask[:size, :size] = True
    return mask


def test_a_pixel_is_set_where_at_least_half_of_its_area_is() -> None:
    reduced = reduced_mask(_mask_row(_square(12)), 128)  # 8 x 8 pixels become one: 12 covers 1.5 of them
    assert reduced.sum() == 3  # the corner pixel is covered by a quarter only
    assert reduced[0, 0] == reduced[0, 1] == reduced[1, 0] == 1


def test_an_empty_mask_stays_empty() -> None:
    assert reduced_mask(_mask_row(np.zeros((1024, 1024), bool)), 128).sum() == 0


def _split(one: str, role: str, fold: int | None, protocol: str = "official") -> Row:
    return {"radiograph_id": one, "cohort": "c", "protocol": protocol, "role": role, "fold": fold}


def test_parts_follow_role_and_fold_of_the_protocol() -> None:
    splits = pa.Table.from_pylist(
        [
            _split("a", "train", 0),
            _split("b", "train", 1),
            _split("c", "test", None),
            _split("d", "train", 0, "grouped"),
        ]
    )
    assert ids_by_part(splits, SPEC) == {"train": ["b"], "validation": ["a"], "test": ["c"]}


def test_out_of_fold_holds_one_fold_out_and_validates_on_the_next() -> None:
    spec = ModelSpec("m", "pdeseray", "mixed", "c", "out_of_fold", validation_fold=1, test_fold=0)
    splits = pa.Table.from_pylist(
        [_split(one, "test", fold, "out_of_fold") for fold, one in enumerate("abc")]
    )
    assert ids_by_part(splits, spec) == {"train": ["c"], "validation": ["b"], "test": ["a"]}


def _write(folder: Path, positives: set[str]) -> tuple[Path, str]:
    ids = "abcd"
    images = ShardSet(UPath(folder / "shards"), "images")
    (folder / "shards").mkdir(exist_ok=True)
    refs = images.append(np.full((128, 128), number, np.uint8) for number in range(len(ids)))
    image_rows = [
        {"radiograph_id": one, "size_px": 128, "shard": ref.shard, "index": ref.index}
        for one, ref in zip(ids, refs, strict=True)
    ]
    masks = [_mask_row(_square(64 if one in positives else 0), one) for one in ids]
    splits = [_split(one, "train", fold) for one, fold in zip(ids, (0, 0, 1, 1), strict=True)]
    return write_training_set(
        SPEC,
        splits=pa.Table.from_pylist(splits),
        images=pa.Table.from_pylist(image_rows),
        masks=pa.Table.from_pylist(masks),
        image_shards=images,
        mask_shards=ShardSet(UPath(folder / "shards"), "masks"),
        folder=folder / "sets",
    )


def test_the_set_names_images_and_masks_that_belong_together(tmp_path: Path) -> None:
    path, version = _write(tmp_path, {"a", "c"})
    written = json.loads(path.read_text())
    assert written["data_version"] == version
    assert [(one["id"], one["role"], one["positive"]) for one in written["radiographs"]] == [
        ("c", "train", True),
        ("d", "train", False),
        ("a", "validation", True),
        ("b", "validation", False),
    ]
    for one in written["radiographs"]:
        image = np.load(Path(written["image_root"]) / one["image_shard"])[one["image_index"]]
        mask = np.load(Path(written["mask_root"]) / one["mask_shard"])[one["mask_index"]]
        assert image[0, 0] == "abcd".index(one["id"])
        assert mask.sum() == (64 if one["positive"] else 0)  # 64 / 8 squared


def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    first, _ = _write(tmp_path, {"a", "c"})
    before = first.stat().st_mtime_ns
    again, _ = _write(tmp_path, {"a", "c"})
    assert (again, again.stat().st_mtime_ns) == (first, before)


def test_another_mask_makes_another_version(tmp_path: Path) -> None:
    assert _write(tmp_path, {"a", "c"})[1] != _write(tmp_path, {"a", "c", "d"})[1]


@pytest.mark.parametrize(("positives", "part"), [({"a"}, "train"), ({"c"}, "validation")])
def test_a_part_without_a_positive_is_refused_by_name(tmp_path: Path, positives: set[str], part: str) -> None:
    with pytest.raises(UnusableInputError, match=f"{part} part of m"):
        _write(tmp_path, positives)
