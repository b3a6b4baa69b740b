"""Makes a whole phantom cohort on disk: once for a kind, size, seed and version of this code."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from pipelines.engine import Engine
from pipelines.lineage.code import code_version
from pipelines.phantoms import siim, tmc
from pipelines.phantoms.cases import KINDS, Case, Kind, draw_cases
from pipelines.phantoms.faults import plant, strays
from pipelines.phantoms.truth import TruthRow, write_truth
from pipelines.records import Reason, Rejection, UnusableInputError

Written = TypeVar("Written", siim.Written, tmc.Written)


@dataclass(frozen=True)
class Made:
    """What stands on disk: films drawn (copies and planted faults come on top), positives, seconds it took."""

    n: int
    positives: int
    seconds: float


def make_cohort(kind: str, out: Path, *, n: int, seed: int, engine: Engine) -> Made:
    """Write a phantom cohort to `out`, or leave the one that stands there if it is the same.

    The folder is written beside its place and moved in whole. ``<out>.truth.parquet`` says what is true of
    each file, ``<out>.json`` what the cohort was made from; both stand beside the folder, not in it.

    Parameters
    ----------
    kind
        ``siim`` or ``tmc``.
    out
        The cohort's folder; made with its parents.
    n
        Films to draw. Copies and foreign files come on top, at the rates of ``faults``.
    seed
        The same seed gives the same bytes, whatever the number of workers.
    engine
        Where the films are drawn.

    Raises
    ------
    UnusableInputError
        The kind is unknown, `n` is not positive, `out` holds something that is no phantom cohort, or a film
        could not be made (a full disk, for one).
    """
    _require(kind, out, n)
    known = cast("Kind", kind)
    wanted = {"kind": kind, "n": n, "seed": seed, "code": code_version("pipelines.phantoms.cohorts")}
    marker = out.with_name(out.name + ".json")
    standing = _standing(marker, out)
    if standing is not None and all(standing.get(key) == value for key, value in wanted.items()):
        return Made(n, int(standing["positives"]), float(standing["seconds"]))
    started = time.perf_counter()
    workplace = out.with_name(out.name + ".partial")
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir(parents=True)
    cases = draw_cases(known, n, seed=seed)
    truth = _write(known, workplace, cases, seed=seed, engine=engine)
    marker.unlink(missing_ok=True)
    write_truth(truth, _truth_path(out))
    shutil.rmtree(out, ignore_errors=True)
    workplace.replace(out)
    made = Made(n, sum(case.is_positive for case in cases), round(time.perf_counter() - started, 2))
    _save(marker, {**wanted, "positives": made.positives, "seconds": made.seconds})
    return made


def _write(kind: Kind, folder: Path, cases: list[Case], *, seed: int, engine: Engine) -> list[TruthRow]:
    """Write films, foreign files and labels; return what is true of each file."""
    orders, foreign = plant(cases, seed=seed), strays(cases, seed=seed)
    if kind == "siim":
        films = _each(siim.write_order, orders, folder, engine, label="drawing siim phantoms")
        films += _each(siim.write_stray, foreign, folder, engine, label="adding foreign files")
        siim.write_labels(films, folder=folder, seed=seed)
        return [row for one in films for row in one.truth]
    exported = _each(tmc.write_order, orders, folder, engine, label="drawing tmc phantoms")
    exported += _each(tmc.write_stray, foreign, folder, engine, label="adding foreign files")
    tmc.write_labels(exported, folder=folder)
    return [row for one in exported for row in one.truth]


def _each(
    function: Callable[..., Written], items: Sequence[Any], folder: Path, engine: Engine, *, label: str
) -> list[Written]:
    if not items:
        return []
    results = list(
        engine.map(partial(function, folder=folder), items, label=label, unexpected=Reason.UNREADABLE)
    )
    failed = sorted({result.detail for result in results if isinstance(result, Rejection)})
    if failed:
        raise UnusableInputError(
            expected="every phantom film to be drawn and written",
            found=f"failures: {', '.join(failed)}",
            remedy="look for a full disk or a folder without write permission, then run again",
        )
    return [result for result in results if not isinstance(result, Rejection)]


def _require(kind: str, out: Path, n: int) -> None:
    if kind not in KINDS:
        raise UnusableInputError(
            expected=f"a kind of phantom cohort: {', '.join(KINDS)}", found=kind, remedy="name one of them"
        )
    if n < 1:
        raise UnusableInputError(expected="at least one film", found=str(n), remedy="give --n 1 or more")
    if out.exists() and not _truth_path(out).exists() and (not out.is_dir() or any(out.iterdir())):
        raise UnusableInputError(
            expected="an empty folder, a new one, or a phantom cohort to replace",
            found="a folder with other files",
            remedy="choose another --out; nothing was changed",
        )


def _standing(marker: Path, out: Path) -> dict[str, Any] | None:
    if not (marker.exists() and out.is_dir() and _truth_path(out).exists()):
        return None
    try:
        found = json.loads(marker.read_text("utf-8"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _truth_path(out: Path) -> Path:
    return out.with_name(out.name + ".truth.parquet")


def _save(marker: Path, content: dict[str, Any]) -> None:
    beside = marker.with_name(marker.name + ".partial")
    beside.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    beside.replace(marker)
