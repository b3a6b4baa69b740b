"""Small cohorts that several test files read; made once."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.engine import LocalEngine
from pipelines.phantoms.cases import Kind
from pipelines.phantoms.cohorts import make_cohort
from pipelines.records import Row

Cohort = tuple[Path, list[Row]]


def _made(kind: Kind, folder: Path) -> Cohort:
    out = folder / kind
    make_cohort(kind, out, n=20, seed=5, engine=LocalEngine(1))
    return out, pq.read_table(out.with_name(f"{kind}.truth.parquet")).to_pylist()


@pytest.fixture(scope="session")
def siim_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return _made("siim", tmp_path_factory.mktemp("siim_phantoms"))


@pytest.fixture(scope="session")
def tmc_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return _made("tmc", tmp_path_factory.mktemp("tmc_phantoms"))
