"""The ten questions of docs/query.md, each asked of a small warehouse and answered with rows."""

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from data_contracts import arrow_schema, contracts
from pipelines.lake.views import project_tables
from pipelines.lake.warehouse import build

PAGE = Path(__file__).parents[2] / "docs" / "query.md"
_QUESTION = re.compile(r"^### (\d+)\. (?P<title>[^\n]+\?)\n(?P<text>.*?)(?=^##)", re.MULTILINE | re.DOTALL)
_SQL = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUESTIONS = {
    found["title"]: _SQL.findall(found["text"]) for found in _QUESTION.finditer(PAGE.read_text("utf-8"))
}


@pytest.fixture(name="answering", scope="module")
def _answering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("questions") / "warehouse.duckdb"


def test_there_are_ten_questions_each_with_its_sql() -> None:
    assert len(QUESTIONS) == 10
    assert all(QUESTIONS.values())


@pytest.mark.parametrize("title", QUESTIONS)
def test_each_question_is_answered_with_rows(
    title: str, answering: Path, sound_tables: dict[str, pa.Table]
) -> None:
    if not answering.exists():
        missed = [{**row, "positive": False} for row in sound_tables["predictions"].to_pylist()]
        predictions = pa.Table.from_pylist(missed, schema=arrow_schema("predictions"))
        build(answering, {**sound_tables, "predictions": predictions, **project_tables()})
    with duckdb.connect(str(answering), read_only=True) as connection:
        for query in QUESTIONS[title]:
            assert connection.execute(query).fetchall(), query


def test_the_first_answer_stands_beside_the_papers(
    answering: Path, sound_tables: dict[str, pa.Table]
) -> None:
    if not answering.exists():
        build(answering, {**sound_tables, **project_tables()})
    query = QUESTIONS["How do our pneumothoraces compare with the paper's: side, size, projection?"][0]
    with duckdb.connect(str(answering), read_only=True) as connection:
        rows = connection.execute(query).fetchall()
    assert ("siim", "laterality", "right", 1, 50.0, 55.3) in rows
    assert ("siim", "projection", "PA", 2, 100.0, 63.6) in rows


def test_the_page_names_every_table() -> None:
    named = set(re.findall(r"^\| `(\w+)` \| ", PAGE.read_text("utf-8"), flags=re.MULTILINE))
    assert set(contracts()) <= named
