import numpy as np
import pytest

from pdeseray_model.statistics import Difference, Interval
from pipelines.modelling.promotion import Decision, decide, promotion_row


def judged(low: float, high: float, gmacs: float | None = 2.0, champion: float | None = 2.0) -> Decision:
    difference = Difference((low + high) / 2, Interval(low, high), 0.5)
    return decide(difference, margin=0.01, gmacs=gmacs, champion_gmacs=champion)


def test_a_challenger_is_promoted_where_its_interval_lies_above_zero() -> None:
    assert judged(0.001, 0.02).is_promoted
    assert "lies above 0" in judged(0.001, 0.02).reason
    assert not judged(0.0, 0.02).is_promoted


def test_one_that_is_not_inferior_is_promoted_only_when_it_is_cheaper() -> None:
    assert judged(-0.009, 0.02, gmacs=1.0).is_promoted
    assert "cheaper (1 GMACs against 2)" in judged(-0.009, 0.02, gmacs=1.0).reason
    assert not judged(-0.009, 0.02).is_promoted
    assert not judged(-0.009, 0.02, gmacs=None).is_promoted
    assert not judged(-0.011, 0.02, gmacs=1.0).is_promoted


def test_a_decision_without_a_contest_has_no_numbers() -> None:
    row = promotion_row(Decision(is_promoted=True, reason="the first version"), model_id="net", version=1)
    assert (row["difference"], row["ci_low"], row["is_promoted"]) == (None, None, True)


@pytest.mark.parametrize("better", [True, False])
def test_the_paired_objective_is_that_of_the_same_radiographs(better: bool, trial: object) -> None:
    from pipelines.modelling.evaluation_pixels import measure
    from pipelines.modelling.evaluation_set import evaluation_set, predictions_on
    from pipelines.modelling.operating_points import OperatingPoint
    from pipelines.modelling.promotion import paired_objective

    mask = np.zeros((1024, 1024), dtype=bool)
    mask[:300, :300] = True
    found, silent = np.zeros((2, 512, 512), dtype=np.uint8)
    found[:150, :150] = 255
    keys = [trial.radiograph(mask, patient=f"p{i}") for i in range(20)]  # type: ignore[attr-defined]
    trial.predict(keys, [found] * 16 + [silent] * 4, model_id="one")  # type: ignore[attr-defined]
    trial.predict(keys, ([silent] if better else [found]) * 20, model_id="other")  # type: ignore[attr-defined]
    tables = trial.tables  # type: ignore[attr-defined]
    evaluated = evaluation_set(
        tables["splits"], tables["masks"], tables["instances"], test_set="siim", protocol="official"
    )
    one, other = (
        measure(
            evaluated,
            predictions_on(evaluated, tables["predictions"], name),
            shards=trial.shards,  # type: ignore[attr-defined]
            point=OperatingPoint(),
        )
        for name in ("one", "other")
    )
    difference = paired_objective(evaluated, one, other, objective="mdsc")
    assert difference.value == pytest.approx(0.8 if better else -0.2)
    assert (difference.interval.low > 0) == better
