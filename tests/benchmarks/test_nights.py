from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_night_is_held_against_the_first_one_by_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import nights

    first = {"sources": (9.0, 40.0), "deidentified": (90.0, 160.0), "night": (200.0, 400.0)}
    second = {"sources": (0.5, 1.0), "deidentified": (4.0, 3.5), "night": (20.0, 79.0)}
    found = {one.what.split(", ")[1]: one for one in nights.compared(first, second, "40 films")[:-1]}
    assert found["sources"].is_met is None
    assert (found["sources"].ours, found["sources"].theirs, found["sources"].ratio) == (1.0, 40.0, 40.0)
    # two in a hundred of 200 s are 4 s, of which 4.5 s are too many
    assert found["per-film stages"].goal.value == pytest.approx(4.0)
    assert found["per-film stages"].is_met is False
    # five in a hundred of 400 s, and a minute: 80 s
    assert found["the whole"].goal.value == pytest.approx(80.0)
    assert found["the whole"].is_met is True
