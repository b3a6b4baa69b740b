"""Rows of `evaluations` under other readings of the paper's gate: calls alone, since a gate changes no mask.

The oracle stands beside the model under each: what perfect masks would reach is what the gate itself takes away.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from pipelines.modelling.evaluation import evaluation_rows
from pipelines.modelling.evaluation_metrics import AT_GATE
from pipelines.modelling.evaluation_pixels import Shards, largest_components, measure_reference
from pipelines.modelling.operating_points import OperatingPoint, gate_readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.engine import Engine
    from pipelines.modelling.evaluation_pixels import Measures
    from pipelines.modelling.evaluation_set import EvaluationSet
    from pipelines.records import Row

ORACLE: Final = "oracle"
_CALLS = AT_GATE | {"tp", "fp", "fn", "tn"}


def gate_reading_rows(
    evaluated: EvaluationSet,
    measured: Measures,
    rows: Sequence[Row],
    *,
    model_id: str,
    shards: Shards,
    evaluation_px: int,
    engine: Engine | None = None,
) -> list[Row]:
    """Call the masks of one model, and those of the oracle, by each reading of the gate.

    Parameters
    ----------
    evaluated, measured, rows
        The test set, what was measured of the model at the paper's threshold, and its predictions in that order.
    shards, evaluation_px
        Where the probability maps are, and the side at which the gate is applied.
    engine
        Where radiographs are measured; default: in this process.

    Returns
    -------
    Rows of `evaluations` of all radiographs together, one for each metric of a call, under operating points named as
    in `gate_readings`.
    """
    whole = dataclasses.replace(evaluated, subgroups={"all": evaluated.subgroups["all"]})
    areas = {
        "whole": measured.predicted_px,
        "largest_component": largest_components(
            rows, shards=shards, point=OperatingPoint(), evaluation_px=evaluation_px, engine=engine
        ),
    }
    found: list[Row] = []
    for name, gate in gate_readings().items():
        point = OperatingPoint(name, gate=gate)
        calls = areas[gate.scope] >= gate.least_px((evaluation_px, evaluation_px))
        perfect = measure_reference(
            evaluated, ORACLE, point=point, evaluation_px=evaluation_px, engine=engine
        )
        for who, one in (
            (model_id, dataclasses.replace(measured, is_positive_call=calls)),
            (ORACLE, perfect),
        ):
            found += evaluation_rows(whole, one, model_id=who, point=point, evaluation_px=evaluation_px)
    return [row for row in found if row["metric"] in _CALLS]
