"""Nights before anybody has trained a model: data is taken in, judged and published all the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import duckdb
import pytest

from pipelines.cohorts import Cohort, PhantomCohort
from pipelines.orchestration.launch import run
from pipelines.orchestration.resources import House


@pytest.mark.slow
@pytest.mark.parametrize("names", [("siim", "tmc"), ("tmc",)], ids=" and ".join)
def test_a_night_without_any_model_publishes_what_is_known(
    make_house: Callable[..., House], names: tuple[Literal["siim", "tmc"], ...]
) -> None:
    cohorts = {
        name: Cohort(
            name=name,
            role="pretrain" if name == "siim" else "finetune",
            phantom=PhantomCohort(kind=name, radiographs_n=24, seed=4),
        )
        for name in names
    }
    settings = make_house(cohorts=cohorts).settings
    first = run(settings, job="nightly")
    assert first.failed == ()
    assert run(settings, job="nightly").changed == ()
    with duckdb.connect(str(Path(settings.warehouse_link.path).resolve()), read_only=True) as warehouse:
        assert warehouse.execute("SELECT DISTINCT cohort FROM curated ORDER BY 1").fetchall() == [
            (name,) for name in names
        ]
        assert warehouse.execute("SELECT count(*) FROM models").fetchone() == (0,)
    page = (settings.reports_url / "evidence.html").read_text("utf-8")
    assert "not run" in page
