import pyarrow as pa

from pipelines.curation.fold_shares import HEAD, shares_of


def test_each_part_is_counted_by_presence_size_and_projection() -> None:
    keys = ["a", "b", "c", "d", "e"]
    splits = pa.table(
        {
            "radiograph_id": keys,
            "protocol": ["holdout"] * 5,
            "role": ["train", "train", "train", "train", "test"],
            "fold": pa.array([0, 0, 0, 0, None], pa.int64()),
        }
    )
    masks = pa.table({"radiograph_id": keys, "size_class": ["none", "small", "large", "none", "medium"]})
    views = pa.table({"radiograph_id": keys, "view_position": ["AP", "PA", "AP", None, None]})
    lines = shares_of(splits, masks, views)
    assert len(HEAD) == 9
    assert lines == [
        ("holdout", "test", "", 1, 100.0, 0.0, 100.0, 0.0, 0.0),
        ("holdout", "train", "0", 4, 50.0, 25.0, 0.0, 25.0, 66.7),
    ]
