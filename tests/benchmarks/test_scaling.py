import argparse
import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import scaling
from growth.chains import PARALLEL, Chain
from growth.fit import START_N, exponent_of, forecast, growths
from growth.page import render
from growth.stage import in_a_process
from growth.watching import Watch
from scipy.stats import linregress

from pipelines.engine import LocalEngine

ROOT = Path(__file__).parents[2]
_MIB = 2**20


def _row(
    n: int, workers: int, seconds: float, *, stage: str = "deidentified", worker_mib: float = 0
) -> dict[str, object]:
    return {
        "films": "headers",
        "n": n,
        "workers": workers,
        "stage": stage,
        "part": "stage",
        "seconds": 2 * seconds,
        "processor_s": seconds,
        "lead_mib": 100 + n / 1024,
        "worker_mib": worker_mib,
        "workers_n": workers,
    }


def test_the_exponent_of_an_exact_power_law_is_its_exponent() -> None:
    points = [(n, workers, 0.01 * workers * n**1.5) for n in (500, 2000, 8000) for workers in (1, 2)]
    found = exponent_of(points)
    assert found.exponent == pytest.approx(1.5)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_the_fit_of_one_number_of_workers_is_that_of_scipy() -> None:
    sizes, seconds = (250, 500, 1000, 2000), (1.1, 2.5, 4.2, 9.9)
    found = exponent_of((n, 1, one) for n, one in zip(sizes, seconds, strict=True))
    independent = linregress(np.log(sizes), np.log(seconds))
    assert found.exponent == pytest.approx(independent.slope)
    assert found.standard_error == pytest.approx(independent.stderr)


def test_two_points_have_an_exponent_and_no_error() -> None:
    assert exponent_of([(10, 1, 1.0), (100, 1, 10.0)]).standard_error is None


def test_one_size_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        exponent_of([(10, 1, 1.0), (10, 2, 10.0)])


def test_one_size_of_some_number_of_workers_changes_nothing() -> None:
    points = [(500, 1, 1.0), (2000, 1, 4.0), (500, 2, 3.0)]
    assert exponent_of(points).exponent == pytest.approx(1.0)


def test_what_starting_costs_is_taken_off_before_the_growth_is_fitted() -> None:
    start = 5.0
    rows = [_row(n, w, start + 0.01 * n) for n in (START_N, 500, 2000, 8000) for w in (1, 2)]
    (found,) = growths({"measured": rows})
    assert found["exponent"]["value"] == pytest.approx(1.0)
    assert found["per_thousand_s"] == pytest.approx(10.0)
    assert found["linear"] is True
    assert found["lead_bytes_per_film"] == pytest.approx(1024)


def test_a_quadratic_stage_and_a_growing_worker_miss_their_goals() -> None:
    rows = [
        _row(n, w, 1e-5 * n**2, worker_mib=100 + n / 100) for n in (START_N, 500, 2000, 8000) for w in (1, 2)
    ]
    (found,) = growths({"measured": rows})
    assert found["exponent"]["value"] == pytest.approx(2.0, abs=0.03)
    assert found["worker_ratio"] == pytest.approx(180 / 105)
    assert (found["linear"], found["flat"], found["met"]) == (False, False, False)


def test_an_exponent_over_the_goal_by_less_than_two_errors_is_neither_met_nor_missed() -> None:
    seconds = {500: 1.0, 2000: 8.0, 8000: 22.0}
    rows = [_row(n, w, seconds.get(n, 0.0)) for n in (START_N, *seconds) for w in (1, 2)]
    (found,) = growths({"measured": rows})
    assert found["exponent"]["value"] - 2 * found["exponent"]["se"] < 1.1 < found["exponent"]["value"]
    assert (found["linear"], found["met"]) == (None, True)


def test_a_stage_that_takes_no_time_says_nothing_about_its_growth() -> None:
    rows = [_row(n, 1, 0.1 + 1e-6 * n, stage="curated") for n in (START_N, 500, 8000)]
    (found,) = growths({"measured": rows})
    assert found["exponent"] is None
    assert found["met"]


def test_ten_million_films_are_reckoned_from_what_one_costs() -> None:
    measured = [
        {**_row(n, 1, 0.001 * n, stage=stage), "films": "phantoms"}
        for n in (START_N, 520, 1020)
        for stage in ("deidentified", "curated")
    ]
    found = {
        "measured": measured,
        "left": [],
        "pairs": [{"n": n, "processor_s": 1e-6 * n**2, "lead_mib": 1.0} for n in (1000, 2000)],
    }
    reckoned = forecast({**found, "growth": growths(found)})
    hours = {row["stage"]: row["hours"] for row in reckoned["stages"]}
    assert hours == pytest.approx({"deidentified": 10_000 / 3600, "curated": 10_000 / 3600})
    # 24 h = 86,400 s = 1e-6 n²: sooner than 64 GiB at 1 KiB a film (67 million)
    assert reckoned["pairs"]["hours"] == pytest.approx(1e8 / 3600)
    (first,) = reckoned["breaks"]
    assert first["what"] == "pairs"
    assert first["n"] == pytest.approx(math.sqrt(86_400e6), abs=1)


def test_every_stage_above_the_training_is_measured() -> None:
    chain = Chain("phantoms", 10, 1)
    assert len(chain.stages) == len(set(chain.stages)) == 12
    assert {f"siim/{name}" for name in PARALLEL - {"phantoms"}} < set(chain.stages)
    assert set(Chain("headers", 10, 1).stages) == set(chain.stages) - {"siim/image_quality"}


def test_a_resumed_run_measures_what_is_missing_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, int, int]] = []

    def run_chain(chain: Chain, work: Path) -> tuple[list[dict[str, object]], dict[str, object], Path]:
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append((chain.films, chain.n, chain.workers))
        (home := work / f"{chain.n}-{chain.workers}" / "home").mkdir(parents=True, exist_ok=True)
        left = {"films": chain.films, "n": chain.n, "workers": chain.workers}
        return [_row(chain.n, chain.workers, 1.0)], left, home

    monkeypatch.setattr(scaling, "run_chain", run_chain)
    sizes = argparse.Namespace(headers=[500], phantoms=[], pairs=[])
    out = tmp_path / "scaling.json"
    found: dict[str, list[object]] = {"measured": [], "left": [], "pairs": []}
    with pytest.raises(KeyboardInterrupt):
        scaling.measure(found, out, tmp_path, sizes)
    kept = json.loads(out.read_text("utf-8"))
    assert [row["n"] for row in kept["measured"]] == [START_N, START_N, 500]
    ran.clear()
    scaling.measure(kept, out, tmp_path, sizes)
    assert ran == [("headers", 500, 2)]
    assert len(json.loads(out.read_text("utf-8"))["measured"]) == 4


def test_a_stage_runs_in_its_own_folder_and_its_workers_do_not_import_the_benchmark(tmp_path: Path) -> None:
    found = in_a_process(
        lambda: {
            "folder": str(Path.cwd()),
            "home": os.environ.get("PDESERAY_HOME"),
            "main": hasattr(sys.modules["__main__"], "__file__"),
        },
        folder=tmp_path,
        variables={"PDESERAY_HOME": "there"},
    )
    assert found == {"folder": str(tmp_path), "home": "there", "main": False}
    assert hasattr(sys.modules["__main__"], "__file__")


def _busy(size: int) -> int:
    held = bytearray(size)
    return sum(number % 7 for number in range(1_500_000)) + len(held)


def test_the_watch_counts_what_workers_use() -> None:
    with Watch() as watch:
        assert len(list(LocalEngine(2).map(_busy, [300 * _MIB] * 8, label="busy"))) == 8
        found = watch.cost()
    assert found.workers_n == 2
    assert 300 < found.worker_mib < 700  # what it imports comes on top
    # eight times 0.1 s and more; this process only waits
    assert found.processor_s > 0.4
    assert found.lead_mib < found.worker_mib + 300


def test_the_page_shows_what_was_measured_last(tmp_path: Path) -> None:
    found = json.loads((ROOT / "benchmarks" / "scaling.json").read_text("utf-8"))
    shown = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    page = tmp_path / "scaling.md"
    page.write_text(shown, "utf-8")
    found["growth"] = growths(found)
    render({**found, "forecast": forecast(found)}, page)
    assert page.read_text("utf-8") == shown


def test_a_page_without_a_place_for_a_part_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    page.write_text("# no place\n", "utf-8")
    nothing = {
        "machine": {"libraries": {}, "cores": 1, "processor": "", "python": "", "load_before": 0},
        "growth": [],
        "forecast": {
            **{name: [] for name in ("stages", "bytes", "breaks")},
            "n": 1,
            "stage_h": 24,
            "pairs": {"measured": {}, "film_s": 1, "pair_s": 1, "hours": 1, "breaks_at_n": 1},
        },
    }
    with pytest.raises(ValueError, match="measured: machine"):
        render(nothing, page)
