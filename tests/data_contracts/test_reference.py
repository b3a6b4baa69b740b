from pathlib import Path

from data_contracts import contracts
from data_contracts.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "contracts.md"


def test_the_page_of_the_documentation_is_made_from_the_contracts() -> None:
    assert PAGE.read_text("utf-8") == reference(), (
        "run: python -m data_contracts.reference > docs/contracts.md"
    )


def test_every_column_stands_there_with_its_class() -> None:
    sections = reference().split("\n## ")[1:]
    assert len(sections) == len(contracts())
    for section, one in zip(sections, contracts().values(), strict=True):
        assert section.startswith(one.name + "\n")
        for column in one.columns:
            names = (f"| `{column.name}` |", f"| **`{column.name}`** |")
            (row,) = [line for line in section.splitlines() if line.startswith(names)]
            assert ("pseudonymous" in row.split("|")[3]) == (column.classification == "pseudonymous")
