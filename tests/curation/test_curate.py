from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from pipelines.curation.curate import Curation, UnaccountedFilesError, curate

SEEN = datetime(2024, 1, 2, tzinfo=UTC)
Make = Callable[..., pa.Table]
STRINGS = {
    "rejections": ("cohort", "stage", "source_key", "radiograph_id", "reason", "detail"),
    "findings": ("radiograph_id", "rule", "severity"),
    "duplicates": ("radiograph_id", "other_id"),
    "masks": ("radiograph_id",),
}


def table(name: str, rows: list[tuple[Any, ...]]) -> pa.Table:
    schema = pa.schema([(column, pa.string()) for column in STRINGS[name]])
    return pa.Table.from_pylist([dict(zip(STRINGS[name], row, strict=True)) for row in rows], schema=schema)


def inventory(n: int) -> pa.Table:
    return pa.table(
        {
            "source_key": [f"f{at}" for at in range(n)],
            "cohort": ["siim"] * n,
            "source_order": list(range(n)),
            "first_seen": pa.array([SEEN] * n, pa.timestamp("us", tz="UTC")),
        }
    )


def curated(
    files_n: int,
    instances: pa.Table,
    *,
    labelled: list[str],
    rejections: list[tuple[Any, ...]] = (),  # type: ignore[assignment]
    findings: list[tuple[Any, ...]] = (),  # type: ignore[assignment]
    duplicates: list[tuple[Any, ...]] = (),  # type: ignore[assignment]
) -> Curation:
    return curate(
        inventory(files_n),
        instances,
        table("rejections", list(rejections)),
        table("masks", [(key,) for key in labelled]),
        table("findings", list(findings)),
        table("duplicates", list(duplicates)),
    )


def states(curation: Curation) -> dict[str, str]:
    return {row["source_key"]: row["state"] for row in curation.sources}


def reasons(curation: Curation) -> dict[str, str]:
    return {row["source_key"]: row["reason"] for row in curation.rejections}


def test_a_labelled_radiograph_without_fault_is_published(instances: Make) -> None:
    curation = curated(1, instances([{}]), labelled=["r0"])
    assert curation.curated == [{"radiograph_id": "r0", "cohort": "siim", "is_kept_copy": True}]
    assert curation.sources == [
        {
            "source_key": "f0",
            "cohort": "siim",
            "state": "published",
            "radiograph_id": "r0",
            "first_seen": SEEN,
        }
    ]
    assert curation.rejections == []


def test_each_file_has_its_fate_and_its_reason(instances: Make) -> None:
    curation = curated(
        8,
        instances([{}] * 7),
        labelled=["r0", "r2", "r3", "r4", "r5", "r6"],
        rejections=[
            ("siim", "deidentified", "f7", None, "unreadable", "not DICOM"),
            ("siim", "deidentified", None, "r5", "pixel_text_review", "text in the pixels"),
            ("siim", "images", None, "r6", "undecodable", "damaged"),
        ],
        findings=[
            ("r2", "not_frontal", "blocking"),
            ("r3", "empty_on_positive_report", "blocking"),
            ("r4", "cropped", "warning"),
        ],
    )
    assert states(curation) == {
        "f0": "published",
        "f1": "set_aside",
        "f2": "set_aside",
        "f3": "set_aside",
        "f4": "published",
        "f5": "held",
        "f6": "set_aside",
        "f7": "set_aside",
    }
    assert reasons(curation) == {"f1": "no_label", "f2": "not_frontal", "f3": "label_quality"}
    assert [row["radiograph_id"] for row in curation.curated] == ["r0", "r4"]
    assert {row["stage"] for row in curation.rejections} == {"curated"}
    assert curation.sources[7]["radiograph_id"] is None


def test_a_blank_film_is_set_aside_as_no_radiograph(instances: Make) -> None:
    curation = curated(1, instances([{}]), labelled=[], findings=[("r0", "blank", "blocking")])
    assert reasons(curation) == {"f0": "not_a_radiograph"}


def test_what_an_earlier_stage_rejected_is_not_rejected_twice(instances: Make) -> None:
    rejected = [("siim", "annotations", None, "r0", "label_quality", "run lengths overlap")]
    curation = curated(1, instances([{}]), labelled=[], rejections=rejected)
    assert curation.rejections == []
    assert states(curation) == {"f0": "set_aside"}


def test_its_own_earlier_rejections_do_not_count(instances: Make) -> None:
    earlier = [("siim", "curated", "f0", "r0", "no_label", "no reference standard")]
    curation = curated(1, instances([{}]), labelled=["r0"], rejections=earlier)
    assert states(curation) == {"f0": "published"}


def test_held_and_rejected_for_another_reason_is_set_aside(instances: Make) -> None:
    rejected = [
        ("siim", "deidentified", "f0", None, "pixel_text_review", "text"),
        ("siim", "images", None, "r0", "undecodable", "damaged"),
    ]
    assert states(curated(1, instances([{}]), labelled=["r0"], rejections=rejected)) == {"f0": "set_aside"}


def test_of_copies_all_are_published_and_one_is_kept(instances: Make) -> None:
    table = instances([{}, {"bits_stored": 12}, {}, {}])
    curation = curated(4, table, labelled=["r0", "r1", "r2", "r3"], duplicates=[("r0", "r1"), ("r1", "r2")])
    assert [row["is_kept_copy"] for row in curation.curated] == [False, True, False, True]


def test_a_copy_that_is_set_aside_is_not_the_one_that_is_kept(instances: Make) -> None:
    table = instances([{}, {"bits_stored": 12}])
    curation = curated(2, table, labelled=["r0"], duplicates=[("r0", "r1")])
    assert curation.curated == [{"radiograph_id": "r0", "cohort": "siim", "is_kept_copy": True}]


def test_films_with_the_same_pixels_keep_one_though_the_one_they_were_listed_beside_is_set_aside(
    instances: Make,
) -> None:
    table = instances([{"pixel_sha256": "0" * 64}] * 4)
    listed = [("r0", "r1"), ("r0", "r2"), ("r0", "r3")]
    curation = curated(4, table, labelled=["r1", "r2", "r3"], duplicates=listed)
    assert [row["is_kept_copy"] for row in curation.curated] == [True, False, False]


def test_a_lost_file_is_an_error_with_all_counts(instances: Make) -> None:
    rejected = [("siim", "deidentified", "f1", None, "pixel_text_review", "text")]
    with pytest.raises(UnaccountedFilesError) as caught:
        curated(5, instances([{}]), labelled=["r0"], rejections=rejected)
    for told in ("5 taken in", "1 published", "0 set aside", "1 held", "3 with neither"):
        assert told in str(caught.value)


def test_a_radiograph_without_its_file_is_an_error(instances: Make) -> None:
    with pytest.raises(UnaccountedFilesError, match="1 from a file that is not there and 1 that share"):
        curated(2, instances([{}, {"source_key": "f0"}, {"source_key": "f9"}]), labelled=["r0"])


def test_rows_follow_the_source_order_and_not_the_names(instances: Make) -> None:
    table = instances([{"radiograph_id": "b", "source_order": 1}, {"radiograph_id": "a", "source_order": 0}])
    curation = curated(2, table, labelled=["a", "b"])
    assert [row["radiograph_id"] for row in curation.curated] == ["a", "b"]
