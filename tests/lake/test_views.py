from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.lake.views import project_tables, read_view, views


def test_the_views_of_the_house_are_there_each_with_its_documentation() -> None:
    assert [view.name for view in views()] == [
        "ablations",
        "cross_validation",
        "fine_tuning",
        "gate_readings",
        "laterality_distribution",
        "lineage",
        "projection_distribution",
        "results",
        "size_distribution",
        "table4",
        "table5",
    ]
    assert all(view.comment and view.columns for view in views())


def test_a_view_is_read_as_comment_columns_and_query(tmp_path: Path) -> None:
    path = tmp_path / "small.sql"
    path.write_text("-- One thing\n-- and more.\n-- column a: The a: always 1.\nSELECT 1 AS a -- one\n")
    view = read_view(path)
    assert (view.name, view.comment) == ("small", "One thing and more.")
    assert view.columns == {"a": "The a: always 1."}
    assert view.sql == "SELECT 1 AS a -- one"


def test_the_papers_numbers_are_those_that_it_prints() -> None:
    values = project_tables()["paper_values"]

    def value(figure: str, item: str, cohort: str, metric: str) -> float:
        found = values.filter(
            (pc.field("figure") == figure)
            & (pc.field("item") == item)
            & (pc.field("cohort") == cohort)
            & (pc.field("metric") == metric)
        )
        assert found.num_rows == 1
        return float(found.column("value")[0].as_py())

    assert value("table4", "pdeseray_siim", "siim", "mdsc") == 86.7
    assert value("table4", "unet_se_resnext101_mixed_siim", "siim", "specificity") == 96.6
    assert value("table4", "unet_siim", "siim", "parameters_n") == 7_800_000
    assert value("table5", "pdeseray_tmc", "tmc", "f2") == 85.8
    assert value("figure4", "bilateral", "tmc", "share") == 3.5
    assert value("figure5", "all", "tmc", "sd") == 3.84
    assert value("figure6", "AP", "tmc", "share") == 87.3


def test_shares_of_a_figure_add_up_to_all_but_rounding() -> None:
    values = project_tables()["paper_values"].filter(pc.field("metric") == "share")
    sums = pa.TableGroupBy(values, ["figure", "cohort"]).aggregate([("value", "sum")])
    assert sums.num_rows == 4
    assert all(abs(total - 100) < 0.11 for total in sums.column("value_sum").to_pylist())


def test_detection_scores_of_table_4_follow_from_its_confusion_matrices() -> None:
    """TP and FP of 290 positives and 1,082 negatives, as FACTS.md recomputed them."""
    golden = {
        "unet_siim": (191, 88),
        "unet_resnet101_siim": (184, 76),
        "unet_se_resnet101_siim": (200, 99),
        "unet_se_resnext101_siim": (187, 32),
        "unet_se_resnext101_mixed_siim": (191, 37),
        "pdeseray_tversky_siim": (194, 23),
        "pdeseray_siim": (207, 40),
    }
    rows = project_tables()["paper_values"].filter(pc.field("figure") == "table4").to_pylist()
    printed = {(row["item"], row["metric"]): row["value"] for row in rows}
    for model, (tp, fp) in golden.items():
        fn = 290 - tp
        expected = {
            "sensitivity": tp / 290,
            "specificity": 1 - fp / 1082,
            "f1": 2 * tp / (2 * tp + fp + fn),
            "f2": 5 * tp / (5 * tp + 4 * fn + fp),
        }
        for metric, share in expected.items():
            assert abs(printed[model, metric] - 100 * share) < 0.06, (model, metric)
