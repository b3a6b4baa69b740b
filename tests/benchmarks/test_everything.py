"""The benchmarks as one: how figures are judged, that the plan is whole, and that the pages show what was measured."""

import ast
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
# how cost grows, what a night costs and what an hour teaches take longer than all others together
APART = {"scaling", "nights", "learning"}
NO_PART_OF_THE_PLAN = {"figures", "everything", *APART}


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import everything

    return everything


@pytest.fixture
def figures(everything: ModuleType) -> ModuleType:
    del everything
    import figures

    return figures


def measured_of(*figures: Any) -> dict[str, Any]:
    return {
        "is_quick": False,
        "measured_on": "2024-02-29",
        "revision": "abc1234",
        "machine": "a processor, 2 cores",
        "load_before": 0.1,
        "seconds": 840,
        "benchmarks": [
            {"name": "one", "seconds": 60, "figures": [each.to_json() for each in figures]},
            {"name": "other", "seconds": 1, "failed": "no server here"},
        ],
    }


def test_a_figure_is_held_against_its_ratio_or_its_own_value(figures: ModuleType) -> None:
    faster = figures.Figure("run", 2.0, "s", "peer", 3.0, 1.5, figures.times(1.2))
    assert (faster.margin, faster.is_met) == (1.25, True)
    assert figures.Figure("run", 2.0, "s", "peer", 3.0, 1.5, figures.times(1.6)).is_met is False
    assert figures.Figure("rate", 50.0, "files/s", goal=figures.at_least(50)).is_met is True
    assert figures.Figure("rate", 49.9, "files/s", goal=figures.at_least(50)).is_met is False
    assert figures.Figure("wait", 0.4, "s", goal=figures.at_most(0.5)).margin == pytest.approx(1.25)
    assert figures.Figure("wait", 0.6, "s", goal=figures.at_most(0.5)).is_met is False
    assert figures.Figure("lost", 0.0, "%", goal=figures.at_most(0)).margin == math.inf
    assert figures.Figure("lost", 0.1, "%", goal=figures.at_most(0)).is_met is False
    assert figures.Figure("seen", 0.1, "s").is_met is None


def test_a_row_shows_figure_ours_peer_ratio_goal_met_device_and_versions(figures: ModuleType) -> None:
    one = figures.Figure(
        "train", 1234.5, "images/s", "smp", 500.0, 2.469, figures.times(3), "GPU", {"torch": "2.15.0"}
    )
    assert figures.table([one]).splitlines() == [
        "| figure | ours | peer | ratio | goal | met | device | versions |",
        "| --- | ---: | --- | ---: | ---: | --- | --- | --- |",
        "| train | 1,234 images/s | smp 500 images/s | 2.47 × | ≥ 3 × | **no** | GPU | torch 2.15.0 |",
    ]
    assert figures.Figure.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_runners_take_turns_and_a_ratio_is_the_median_of_the_rounds(figures: ModuleType) -> None:
    order: list[str] = []
    values = {"ours": iter([9.0, 1.0, 2.0, 4.0]), "peer": iter([9.0, 3.0, 2.0, 20.0])}

    def runner(name: str) -> float:
        order.append(name)
        return next(values[name])

    taken = figures.by_turns({"ours": lambda: runner("ours"), "peer": lambda: runner("peer")}, 3, warm_up=1)
    assert order == ["ours", "peer"] * 4
    assert taken == {"ours": [1.0, 2.0, 4.0], "peer": [3.0, 2.0, 20.0]}
    assert figures.median_ratio(taken["peer"], taken["ours"]) == 3.0


def test_the_readme_shows_the_figure_nearest_to_its_goal_and_every_miss(
    everything: ModuleType, figures: ModuleType
) -> None:
    easy, near, missed, unasked, headline = (
        figures.Figure("easy", 1.0, "s", goal=figures.at_most(9)),
        figures.Figure("near", 1.0, "s", goal=figures.at_most(1.1)),
        figures.Figure("missed", 2.0, "s", goal=figures.at_most(1)),
        figures.Figure("unasked", 1.0, "s"),
        figures.Figure("headline", 1.0, "s", is_headline=True),
    )
    chosen = [one.what for one in everything.nearest(measured_of(easy, near, missed, unasked))]
    assert chosen == ["missed"]
    assert [one.what for one in everything.nearest(measured_of(easy, headline, near, unasked))] == [
        "headline",
        "near",
    ]
    said = everything.summary(measured_of(easy, near, missed, unasked))
    assert "Goals met: 2 of 3." in said
    assert "`other` did not run: no server here" in said


def test_every_benchmark_has_a_share_of_a_quarter_of_an_hour(everything: ModuleType) -> None:
    there = {path.stem for path in BENCHMARKS.glob("*.py")} - NO_PART_OF_THE_PLAN
    assert {one.name for one in everything.PLAN} == there
    assert sum(one.share_s for one in everything.PLAN) <= 15 * 60


def test_no_benchmark_writes_a_table_or_json_of_its_own() -> None:
    for path in BENCHMARKS.glob("*.py"):
        if path.stem in NO_PART_OF_THE_PLAN - {"nights"}:
            continue
        names = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert "ArgumentParser" not in names, path.name
        assert "put_out(" in path.read_text("utf-8"), path.name
        assert not re.search(r"print\(\s*f?\"\|", path.read_text("utf-8")), path.name


def test_the_pages_show_what_was_measured_last(everything: ModuleType) -> None:
    measured = json.loads(everything.MEASURED.read_text("utf-8"))
    for page, part in everything.parts(measured).items():
        _, _, rest = page.read_text("utf-8").partition(f"{everything.BEGIN}\n")
        assert rest.partition(f"\n{everything.END}")[0] == part, f"{page.name}: run `make bench`"


def test_what_was_measured_names_no_place(everything: ModuleType) -> None:
    text = everything.MEASURED.read_text("utf-8")
    assert os.uname().nodename not in text
    assert not re.search(r"/(home|root|work|Users)/", text)


@pytest.mark.parametrize("limit_s", [120.0, 0.0])
def test_a_benchmark_gives_its_figures_or_the_reason_why_not(everything: ModuleType, limit_s: float) -> None:
    [one] = [one for one in everything.PLAN if one.name == "run_lengths"]
    ended = everything.run(one, quick=True, limit_s=limit_s, label="")
    if limit_s:
        assert len(ended["figures"]) == 18
        assert {"what", "ours", "unit", "peer", "ratio", "goal", "met", "device", "versions"} <= set(
            ended["figures"][0]
        )
    else:
        assert ended == {"failed": "ended after 0 s, which were not enough"}


def test_a_benchmark_that_fails_says_why_and_stops_no_other(everything: ModuleType) -> None:
    plan = [
        everything.Benchmark("run_lengths", 60, quick="--rounds none"),
        everything.Benchmark("run_lengths", 60, quick="--rounds 1"),
    ]
    measured = everything.measure(plan, quick=True)
    assert "invalid int value: 'none'" in everything.failures(measured)["run_lengths"]
    assert len(everything.figures_of(measured)["run_lengths"]) == 18


def test_a_missed_goal_ends_a_benchmark_with_1() -> None:
    code = (
        "from figures import Figure, at_most, put_out; import sys; "
        "sys.exit(put_out([Figure('wait', 2.0, 's', goal=at_most(float(sys.argv[1])))], as_json=True))"
    )
    codes = [
        subprocess.run(
            [sys.executable, "-c", code, goal], cwd=BENCHMARKS, capture_output=True, check=False
        ).returncode
        for goal in ("3", "1")
    ]
    assert codes == [0, 1]
