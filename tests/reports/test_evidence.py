import re
import shutil
import subprocess
from collections.abc import Callable
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
from pipelines.reports.evidence import page, write_evidence
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
    assert re.search(r"pdeseray_siim: size px 512 \d+", words)
    assert "pdeseray_siim: initialisation ImageNet random" in words
    assert "pdeseray_siim: unet widths" not in words


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


def test_nothing_that_changes_from_run_to_run_is_shown(html: str) -> None:
    assert "secret-of-the-day" not in html
    assert "2026" not in html
    assert "7777" not in html


def test_lineage_names_what_went_in_and_not_the_page_itself(words: str) -> None:
    assert re.search(r"evaluation/siim d{12} r{12} c{12} siim/masks d{8}", words)
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
    assert [file.name for file in written] == ["evidence.html", "model_card.md"]
    assert written[0].read_text(encoding="utf-8") == html
    assert sorted(file.name for file in (tmp_path / "reports").iterdir()) == [
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


@pytest.mark.browser
def test_page_fits_a_phone_in_chromium(small: Small, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium")
    written = write_evidence(
        small.lake,
        settings=small.settings,
        shards=small.shards,
        models_url=small.models_url,
        out=UPath(tmp_path),
    )
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + window.innerWidth</script></body>"
    shown = tmp_path / "probe.html"
    shown.write_text(written[0].read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom")
    command = [
        chromium,
        *flags,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=500,900",
        shown.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r"<title>(\d+) of (\d+)</title>", dom)
    assert found is not None
    assert int(found[1]) <= int(found[2])
