import json
from typing import Any

from rich.console import Console

from pipelines.reports.markup import Html, bullets, join, markup, percent, table, tag, with_interval
from pipelines.reports.material import Material
from pipelines.reports.model_card import model_card
from pipelines.reports.summary import demo_summary, to_json

Small = Any  # tests/reports/conftest.py


def test_summary_counts_what_went_in_and_why_the_rest_did_not(small: Small) -> None:
    found = to_json(small.settings, small.lake)["cohorts"]["siim"]
    assert found == {
        "taken_in": 39,
        "published": 36,
        "set_aside": 3,
        "held": 1,
        "reasons": {"duplicate_file": 1, "pixel_text_review": 1, "undecodable": 1},
        "positive": 9,
    }


def test_each_model_stands_beside_the_rows_that_need_none(small: Small) -> None:
    rows = [row for row in to_json(small.settings, small.lake)["evaluations"] if row["test_set"] == "siim"]
    assert [row["model_id"] for row in rows] == [
        "pdeseray_siim",
        "unet_siim",
        "predict_nothing",
        "predict_everything",
        "oracle",
    ]
    assert rows[2]["mdsc"] == 20 / 27
    assert rows[2]["dice_positives"] == 0.0


def test_summary_is_json_and_prints_on_a_narrow_terminal(small: Small) -> None:
    json.dumps(to_json(small.settings, small.lake))
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    console.print(demo_summary(small.settings, small.lake))
    text = console.export_text().replace("\n", "").replace(" ", "")
    for words in (
        "Phantoms, no patients",
        "predict nothing",
        "oracle",
        "evidence.html",
        "warehouse",
        "make ui",
    ):
        assert words.replace(" ", "") in text


def test_model_card_says_what_it_is_not_and_holds_the_numbers(small: Small) -> None:
    text = model_card(Material(small.lake, small.settings, small.shards, small.models_url))
    assert "**Phantoms:**" in text
    assert "Not a medical device" in text
    assert "fine-tuned from pdeseray_siim" in text
    assert "| predict nothing | 74.1 (" in text
    assert "7777" not in text


def test_text_is_escaped_and_markup_is_not() -> None:
    assert markup('a < b & "c"') == "a &lt; b &amp; &quot;c&quot;"
    assert join([Html("<b>x</b>"), "<", None, 3]) == "<b>x</b>&lt;3"
    assert tag("p", "<i>", class_="a b", aria_label='"') == '<p class="a b" aria-label="&quot;">&lt;i&gt;</p>'
    assert bullets(["a"]) == "<ul><li>a</li></ul>"


def test_table_names_its_rows_and_says_when_it_is_empty() -> None:
    text = table(("a", "b"), [("x", "1")], caption="c")
    assert '<th scope="row">x</th><td>1</td>' in text
    assert '<td colspan="2">none</td>' in table(("a", "b"), [], caption="c")


def test_shares_are_printed_in_percent() -> None:
    assert percent(0.7886) == "78.9"
    assert percent(None) == "\u2013"
    assert with_interval(0.5, 0.4, 0.6) == "<b>50.0</b><small>40.0\u201360.0</small>"
    assert with_interval(0.5, None, None) == "<b>50.0</b>"
