"""One model on one test set, now: what `pdeseray evaluate` asks. Reads the tables and writes nothing into them."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.modelling.catalogue import ModelSpec, families, folds, models_for, protocol_of
from pipelines.orchestration.assets.evaluation import bench_beside, trained_on
from pipelines.orchestration.assets.training import folder_with, run_folder_of
from pipelines.orchestration.resources import House
from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from pipelines.modelling.testing import Cast

ALIASES = ("champion", "challenger")
FIT = "stretch"
"""How a radiograph becomes a square, as in the paper."""
_FEW_POSITIVES = 40


@dataclass(frozen=True)
class Answer:
    """What a model reached.

    Attributes
    ----------
    rows, operating_points
        Rows of ``evaluations`` (the model's and those that need no model) and of ``operating_points``.
    point
        The headline operating point, in words.
    note
        What a reader must know before believing a difference; may be empty.
    """

    model_id: str
    weights_sha256: str
    test_set: str
    protocol: str
    n: int
    positives_n: int
    patients_n: int
    evaluation_px: int
    point: str
    fit: str
    rows: list[Row]
    operating_points: list[Row]
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like value."""
        names = {"rows": "evaluations"}
        return {names.get(name, name): value for name, value in vars(self).items()}


def ask(house: House, model: str, *, cohort: str | None = None, protocol: str | None = None) -> Answer:
    """Evaluate a model on the test radiographs of a cohort.

    Parameters
    ----------
    model
        A model's name, with ``@alias`` or ``@version`` for another than the one trained last; or an alias alone,
        which means the cohort's P-DeSeRay.
    cohort, protocol
        Whose test set under which split; by default those of the model.

    Raises
    ------
    UnusableInputError
        An unknown model, alias, cohort; a test set without positives, or with radiographs that the model was trained
        on, or that were never rendered. Then nothing is evaluated.
    """
    from pipelines.lake.tables import conform
    from pipelines.modelling.evaluation_set import evaluation_set
    from pipelines.modelling.operating_points import OperatingPoint
    from pipelines.modelling.testing import assess_models

    name, _, which = model.partition("@")
    if name in ALIASES and not which:
        name, which = _headline_of(house, cohort), name
    spec = _spec(house, name)
    tested = house.settings.cohort(cohort or spec.cohort)
    chosen = protocol or (spec.protocol if tested.name == spec.cohort else protocol_of(tested))
    cast = _cast(house, spec, which, chosen)

    with tempfile.TemporaryDirectory(prefix="pdeseray-evaluate-") as folder:
        bench = bench_beside(house, tested, Path(folder))
        found = assess_models(bench, [cast], [], previous={}, conform=partial(conform, "predictions"))
    evaluated = evaluation_set(
        bench.splits,
        bench.masks,
        bench.instances,
        test_set=tested.name,
        protocol=chosen,
        patient_groups=bench.patient_groups,
    )
    positives_n = int(evaluated.has_pneumothorax.sum())
    return Answer(
        model_id=model,
        weights_sha256=_digest(cast.members[0][1]),
        test_set=tested.name,
        protocol=chosen,
        n=len(evaluated),
        positives_n=positives_n,
        patients_n=int(evaluated.clusters.max()) + 1,
        evaluation_px=bench.rules.evaluation_px,
        point=f"{OperatingPoint(gate=bench.rules.gate)}; evaluated at {bench.rules.evaluation_px} px",
        fit=FIT,
        rows=found.evaluations,
        operating_points=found.operating_points,
        note=f"With {positives_n} positive radiographs the test set is too small to decide between models."
        if positives_n < _FEW_POSITIVES
        else "",
    )


def _headline_of(house: House, cohort: str | None) -> str:
    if cohort is None:
        raise UnusableInputError(
            expected="a cohort beside an alias alone",
            found="no --cohort",
            remedy="say whose champion: --cohort NAME, or NAME@champion",
        )
    return f"pdeseray_{house.settings.cohort(cohort).name}"


def _spec(house: House, name: str) -> ModelSpec:
    cohorts = house.settings.cohorts.values()
    known = {
        spec.model_id: spec
        for cohort in cohorts
        for specs in (models_for(cohort, cohorts), *families(cohort, cohorts).values())
        for spec in specs
    }
    if name not in known:
        raise UnusableInputError(
            expected=f"a model among {', '.join(known)}, or an alias ({', '.join(ALIASES)})",
            found=name,
            remedy="name one of these; `pdeseray run` trains them",
        )
    return known[name]


def _cast(house: House, spec: ModelSpec, which: str, protocol: str) -> "Cast":
    from pipelines.modelling.testing import Cast

    pooled = [one for one in folds(spec) if one.test_fold is not None] if protocol == "out_of_fold" else []
    if pooled:
        members = tuple((one, run_folder_of(house, one.model_id)) for one in pooled)
        return Cast(spec.model_id, members, protocol)
    folder = _folder(house, spec, which)
    seen = trained_on(house, spec, folder)
    return Cast(spec.model_id, ((spec, folder),), protocol, trained_on=seen, shows_gates=True)


def _folder(house: House, spec: ModelSpec, which: str) -> Path:
    if not which:
        return run_folder_of(house, spec.model_id)
    digest = house.tracker.weights_of(spec.model_id, which)
    folder = folder_with(house, spec.model_id, digest) if digest else None
    if folder is None:
        raise UnusableInputError(
            expected=f"a registered version of {spec.model_id} called {which}",
            found="no such alias or version" if digest is None else "a version whose weights are gone",
            remedy=f"materialize models/{spec.model_id}, or name another alias or version",
        )
    return folder


def _digest(folder: Path) -> str:
    import hashlib

    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
