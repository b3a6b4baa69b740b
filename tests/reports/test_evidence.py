import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.records import UnusableInputError
from pipelines.reports.background import deviations
from pipelines.reports.cases import choose
from pipelines.reports.claim import claim_checklist
from pipelines.reports.differences import independence
from pipelines.reports.evidence import page, write_evidence
from pipelines.reports.markup import lasting
from pipelines.reports.material import Material, printed
from pipelines.settings import Settings

Small = Any  # tests/reports/conftest.py
VOID = {"meta", "link", "img", "path", "use", "br"}


class Outline(HTMLParser):
    """What a browser would find: open elements at the end, ids, targets, text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("href", "src", "xlink:href"):
                self.targets.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "title"):
            self.text.append(data)


def material(small: Small) -> Material:
    return Material(small.lake, small.settings, small.shards, small.models_url)


@pytest.fixture(scope="module")
def html(small: Small) -> str:
    return page(material(small))


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    return found


@pytest.fixture(scope="module")
def words(outline: Outline) -> str:
    return re.sub(r"\s+", " ", " ".join(outline.text))


def test_first_line_says_that_these_are_phantoms(words: str) -> None:
    assert words.strip().startswith(
        "These radiographs are phantoms: pictures made by a program, no patients."
    )


def test_page_of_real_cohorts_starts_with_what_it_is_not(small: Small) -> None:
    real = {
        name: Cohort(name=name, role=cohort.role, radiographs=("x",))
        for name, cohort in small.settings.cohorts.items()
    }
    settings = Settings(home=small.settings.home, secrets=small.settings.secrets, cohorts=real)
    text = page(Material(small.lake, settings, small.shards, small.models_url))
    assert "are phantoms" not in text
    assert "Not a medical device" in text[text.index("<body") : text.index("<h1")]


def test_nothing_on_the_page_asks_a_network(outline: Outline, html: str) -> None:
    assert {target[:1] if target.startswith("#") else target[:5] for target in outline.targets} <= {
        "#",
        "data:",
    }
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "<script" not in html


def test_every_element_is_closed_and_every_reference_leads_somewhere(outline: Outline) -> None:
    assert outline.open == []
    inside = [target[1:] for target in outline.targets if target.startswith("#")]
    assert len(inside) > 13
    assert set(inside) <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_figures_have_captions_with_their_number_of_radiographs(html: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert len(captions) == html.count("<figure")
    drawn = [caption for caption in captions if "Dice" not in caption or "n =" in caption]
    assert len(drawn) >= 8
    assert all("n = " in caption or "Radiographs with pneumothorax" in caption for caption in drawn)


def test_flow_adds_up_and_names_each_reason(words: str) -> None:
    assert "39 files taken in" in words
    assert "3 set aside, of which 1 held for a person" in words
    assert "pixels cannot be decoded: 1" in words
    assert "36 published, 9 with pneumothorax of these 1 are further copies" in words


def test_tables_hold_ours_with_interval_the_papers_and_rows_without_a_model(words: str, small: Small) -> None:
    found = material(small).metrics("siim", "official", "pdeseray_siim")["mdsc"]
    cell = (
        f"{100 * found['value']:.1f} {100 * found['ci_low']:.1f}\u2013{100 * found['ci_high']:.1f} paper 86.7"
    )
    assert cell in words
    for row in ("predict nothing", "predict everything", "oracle: the reference through the gate"):
        assert words.count(row) >= 4
    assert "unet_resnet101_siim paper 51.5 M not run paper 81.6" in words
    assert "pooled out of fold" in words


def test_before_and_after_is_told_with_its_interval_and_no_more(words: str) -> None:
    assert "pdeseray_tmc against pdeseray_siim, which it was fine-tuned from" in words
    assert "the test set is too small to decide" in words
    assert "state of the art" not in words.lower()


def test_settings_that_differ_from_the_paper_are_listed(words: str) -> None:
    assert re.search(r"size px 512 \d+ all 3", words)
    assert "initialisation ImageNet random pdeseray_siim, unet_siim" in words
    assert re.search(r"unet widths [\d, ]+ unet_siim", words)


def test_deviations_compare_setting_by_setting() -> None:
    ours = {
        "network": {"name": "unet", "unet_widths": [8], "stem": "conv"},
        "recipe": {"epochs": 3, "threads": 1},
    }
    paper = {
        "network": {"name": "unet", "unet_widths": [32], "stem": "patch4"},
        "recipe": {"epochs": 50, "threads": 9},
    }
    assert deviations(ours, paper) == [("unet widths", "32", "8"), ("epochs", "50", "3")]


def test_what_changes_from_run_to_run_is_shown_and_makes_no_new_page(html: str) -> None:
    for varying in ("secret-of-t", "2026-01-02", "7777", "seconds."):
        assert varying in html
        assert varying not in lasting(html)
    assert len(lasting(html)) > 0.9 * len(html)


def test_lineage_names_what_went_in_and_not_the_page_itself(words: str) -> None:
    assert re.search(
        r"evaluation/siim d{12} r{12} c{12} secret-of-th 2026-01-02 00:00 3.2 siim/masks d{8}", words
    )
    assert "evaluation/report" not in words


def test_no_id_of_a_radiograph_or_patient_is_shown(html: str) -> None:
    assert not re.search(r"2\.25\.\d{6}", html)
    assert not re.search(r"siim-p\d+\b", html)


def test_same_tables_give_the_same_bytes(small: Small, html: str, tmp_path: Path) -> None:
    written = write_evidence(
        small.lake,
        settings=small.settings,
        shards=small.shards,
        models_url=small.models_url,
        out=UPath(tmp_path / "reports"),
    )
    assert [file.name for file in written] == ["evidence.html", "model_card.md", "claim_checklist.md"]
    assert written[0].read_text(encoding="utf-8") == html
    assert sorted(file.name for file in (tmp_path / "reports").iterdir()) == [
        "claim_checklist.md",
        "evidence.html",
        "model_card.md",
    ]


def test_other_ids_give_the_same_page(made: Callable[[], Small], monkeypatch: pytest.MonkeyPatch) -> None:
    small = made()
    before = page(material(small))
    read = small.lake.read

    def renamed(table: str, *, parts: Any = None) -> Any:
        found = read(table, parts=parts)
        for name in ("radiograph_id",):
            if name in found.column_names:
                at = found.column_names.index(name)
                # reversed text sorts otherwise
                values = [None if one is None else one[::-1] for one in found.column(name).to_pylist()]
                found = found.set_column(at, found.schema.field(at), pa.array(values, pa.string()))
        return found

    monkeypatch.setattr(small.lake, "read", renamed)
    assert page(material(small)) == before


def test_cases_are_chosen_by_rule(small: Small) -> None:
    cases = choose(material(small), small.settings.cohorts["siim"], "official")
    titles = [case.title for case in cases]
    assert titles[0].startswith("Best")
    assert any(title.startswith("Typical") for title in titles)
    dice = {title: case.dice for title, case in zip(titles, cases, strict=True)}
    assert dice[titles[0]] == max(dice.values())
    assert all(
        value == 0 for title, value in dice.items() if title in ("Missed", "Marked without pneumothorax")
    )


def test_page_stands_with_only_radiographs_taken_in(made: Callable[[], Small]) -> None:
    small = made()
    for table in (
        "evaluations",
        "comparisons",
        "predictions",
        "models",
        "statistics",
        "leakage",
        "agreement",
    ):
        for part in small.lake.parts(table):
            small.lake.delete(table, part)
    text = page(material(small))
    assert "No two models were compared." in text
    assert "No model was evaluated." in text
    assert "not run" in text


def test_nothing_taken_in_is_refused(small: Small, tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "home"), secrets=tmp_path / "secrets")
    from pipelines.lake.tables import Lake

    with pytest.raises(UnusableInputError, match="run the pipeline first"):
        write_evidence(
            Lake(settings.tables_url),
            settings=settings,
            shards=small.shards,
            models_url=settings.models_url,
            out=UPath(tmp_path / "out"),
        )
    assert not (tmp_path / "out").exists()


def test_papers_tables_are_read_in_their_order() -> None:
    rows = printed("table4")
    assert [row.item for row in rows if row.is_trained_here][0::6] == ["unet_siim", "pdeseray_siim"]
    assert rows[6].values["sensitivity"] == 71.4
    assert printed("table5")[0].values == {"sensitivity": 45.7, "specificity": 99.6}


def test_four_curves_of_each_test_set_stand_beside_the_papers_point(html: str, words: str) -> None:
    for name in ("roc_image", "pr_image", "froc", "reliability_image"):
        assert html.count(f'id="{name}-siim-official') > 0
        assert html.count(f'id="{name}-tmc-holdout') > 0
    assert words.count("Diamond: the paper's call at its gate") == 3  # the paper prints no precision for SIIM


def test_readings_of_the_gate_stand_beside_what_perfect_masks_reach(words: str, small: Small) -> None:
    found = material(small).other_points["siim", "official", "oracle", "gate_1024_whole"]["sensitivity"]
    assert words.count("3,500 px of 1024\u00b2, whole") == 2
    assert f"{100 * found['value']:.1f}" in words[words.index("3,500 px of 1024\u00b2, whole") :][:120]


def test_cohorts_are_tested_for_difference(words: str) -> None:
    assert "Do siim and tmc differ?" in words
    assert re.search(r"size of the mask Mann-Whitney 9 and 7 (< )?\d\.\d{3}", words)


@pytest.mark.parametrize(
    ("counts", "p"),
    [
        # Fisher's tea: 34 of 70 tables are as extreme; 7.8222 of two degrees of freedom: the exponential of its half
        ([[3, 1], [1, 3]], 34 / 70),
        ([[10, 20, 20], [20, 30, 10]], 0.02001825),
        ([[3, 0, 1], [1, 0, 3]], 34 / 70),
    ],
)
def test_shares_are_compared_by_fisher_or_chi_squared(counts: list[list[int]], p: float) -> None:
    found = independence("side", counts)
    assert found is not None
    assert found.p == pytest.approx(p, abs=1e-6)


def test_nothing_is_compared_with_an_empty_cohort() -> None:
    assert independence("side", [[3, 4], [0, 0]]) is None
    assert independence("side", [[3, 0], [4, 0]]) is None


def test_first_questions_are_answered_from_the_tables(words: str) -> None:
    start = words.index("A reviewer: did anything")
    told = words[start : start + 3000]
    assert "siim, official split: 27 test radiographs; 3 are of a patient who also trains" in told
    assert "2 DICOM attributes were treated, value by value: emptied 39, keyed 39" in told
    assert re.search(r"\d+ files = \d+ published", told)
    assert told.count("What follows:") == 3


def test_checklist_fills_what_is_known_and_leaves_the_rest_to_a_person(small: Small, html: str) -> None:
    text = claim_checklist(material(small))
    rows = dict(re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", text, flags=re.MULTILINE))
    assert [int(number) for number in rows] == list(range(1, 43))
    for personal in (1, 5, 16, 19, 39, 40, 42):
        assert rows[str(personal)] == "**for a person to answer**"
    assert "2 attributes treated" in rows["12"]
    assert "3 tested radiographs share a patient with training" in rows["21"]
    anchors = set(re.findall(r"evidence\.html#(\w+)", text))
    assert anchors <= set(re.findall(r'<section id="(\w+)"', html))


WALK = """<script>addEventListener("load", () => {
  const shown = one => { const box = one.getBoundingClientRect(); return box.width > 20 && box.height > 20; };
  const dark = getComputedStyle(document.body).backgroundColor;
  const found = {
    wide: document.documentElement.scrollWidth > innerWidth,
    figures: document.querySelectorAll("figure").length,
    empty: [...document.querySelectorAll("figure")].filter(one => !one.querySelector("svg, img")
      || ![...one.querySelectorAll("svg, img")].every(shown)
      || !one.querySelector("figcaption").innerText.trim()).length,
    broken: [...document.images].filter(one => !one.naturalWidth).length
      + [...document.querySelectorAll("a[href^='#']")].filter(one => !document.querySelector(one.hash)).length,
    requests: performance.getEntriesByType("resource").map(one => one.name).filter(one => !one.startsWith("data:")),
    background: dark,
    colours: [...document.querySelectorAll("svg path, svg rect")].every(one => getComputedStyle(one).fill !== ""),
  };
  document.title = JSON.stringify(found);
});</script></body>"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "scheme"), [(500, 1), (1200, 1), (1200, 0)], ids=["phone", "light", "dark"]
)
def test_a_browser_walks_the_page(html: str, tmp_path: Path, width: int, scheme: int) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("service absent: Debian's chromium")
    shown = tmp_path / "walked.html"
    shown.write_text(html.replace("</body>", WALK), encoding="utf-8")
    command = [
        chromium,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},900",
        f"--blink-settings=preferredColorScheme={scheme}",
        shown.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r"<title>(.*?)</title>", dom)
    assert told is not None
    found = json.loads(unescape(told[1]))
    assert found["figures"] == html.count("<figure")
    assert (found["empty"], found["broken"], found["requests"]) == (0, 0, [])
    assert not found["wide"]
    assert found["colours"]
    assert found["background"] == ("rgb(253, 253, 252)" if scheme else "rgb(21, 24, 26)")
