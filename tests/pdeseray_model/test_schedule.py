import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdeseray_model.config import Recipe
from pdeseray_model.schedule import learning_rate, plateaus


@settings(deadline=None)  # torch takes its time to import
@given(
    losses=st.lists(st.sampled_from([1.0, 0.9, 0.89999, 0.8, 0.7, 1.2]), max_size=40),
    patience=st.integers(1, 4),
)
def test_plateau_agrees_with_torchs_scheduler(losses: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, eps=0)
    for loss in losses:
        theirs.step(loss)
    assert optimizer.param_groups[0]["lr"] == 0.5 ** plateaus(losses, patience)


def test_paper_halves_the_rate_after_the_fourth_epoch_without_progress() -> None:
    losses = [0.5, 0.6, 0.6, 0.6]
    assert learning_rate(Recipe(), 0, 100, losses) == 5e-4
    assert learning_rate(Recipe(), 0, 100, [*losses, 0.6]) == 2.5e-4


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing() -> None:
    recipe = Recipe(schedule="one_cycle", learning_rate=1.0)
    rates = [learning_rate(recipe, step, 100, []) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[10] == max(rates) == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 1e-3
