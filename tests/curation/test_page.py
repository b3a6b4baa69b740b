"""The page of the documentation against the code: every threshold that it states is the one in use."""

import re
from pathlib import Path

import pytest

from pipelines.curation import aligned_search, duplicates, image_faults, image_quality

PAGE = (Path(__file__).parents[2] / "docs" / "curation.md").read_text("utf-8")
STATED = dict(re.findall(r"`([A-Z][A-Z_]+)` = (-?[\d.]+)", PAGE))


@pytest.mark.parametrize("name", sorted(STATED))
def test_a_threshold_on_the_page_is_the_one_in_use(name: str) -> None:
    modules = (image_faults, duplicates, aligned_search)
    (value,) = {getattr(module, name) for module in modules if hasattr(module, name)}
    assert float(STATED[name].rstrip(".")) == value


def test_every_threshold_of_image_quality_is_on_the_page() -> None:
    constants = {name for name in vars(image_faults) if name.isupper() and not name.startswith("_")}
    assert constants <= set(STATED)


def test_every_rule_is_on_the_page_with_its_severity() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (blocking|warning) \|", PAGE, re.MULTILINE))
    assert rows == image_quality.SEVERITIES


def test_the_number_of_placements_is_the_one_that_is_tried() -> None:
    assert f"at {len(aligned_search.placements_tried())} shifts and crops" in " ".join(PAGE.split())
