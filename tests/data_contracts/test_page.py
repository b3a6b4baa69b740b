import datetime as dt
import re
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts import Verdict
from data_contracts.__main__ import BROKEN, COULD_NOT_LOOK, main
from data_contracts.page import page, write_page

AT = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
GOOD = Verdict("masks", "rle", "required", "error", passed=True)
BAD = Verdict(
    "splits",
    "role",
    "validValues <b>train</b>",
    "error",
    passed=False,
    failing_n=3,
    sample=("row 0 radiograph_id=2.25.1",),
)
ODD = Verdict("masks", "laterality", "drifts", "warning", passed=False, failing_n=1, detail="siim: PSI 0.400")


def test_the_page_names_rule_column_rows_and_keys_and_escapes_what_it_shows() -> None:
    shown = page([GOOD, ODD, BAD], at=AT)
    assert "1 rule is broken" in shown
    assert "2 tables, 3 rules, 1 warning." in shown
    assert "2026-01-02 03:04 UTC" in shown
    assert "<code>row 0 radiograph_id=2.25.1</code>" in shown
    assert "&lt;b&gt;train&lt;/b&gt;" in shown
    assert "siim: PSI 0.400" in shown
    assert shown.index("<b>splits</b>") < shown.index("<b>masks</b>")  # what is broken stands first


def test_a_page_of_sound_tables_says_so() -> None:
    assert "Every contract holds" in page([GOOD], at=AT)


def test_the_page_fetches_nothing_and_knows_light_and_dark() -> None:
    shown = page([GOOD, ODD, BAD], at=AT)
    assert not re.search(r"""(?:src|href|url|@import|<script|<link)\s*[=(]?""", shown)
    assert "prefers-color-scheme: dark" in shown


def test_the_command_writes_the_page_beside_its_verdicts(
    tmp_path: Path, sound_tables: dict[str, pa.Table]
) -> None:
    (tmp_path / "splits").mkdir()
    place = tmp_path / "pages" / "contracts.html"
    arguments = ["--tables", str(tmp_path), "--table", "splits"]
    assert main([*arguments, "--page", str(place)]) == BROKEN  # an empty table
    assert "rowCount at least 1" in place.read_text()
    assert [path.name for path in place.parent.iterdir()] == ["contracts.html"]
    (tmp_path / "file").touch()
    assert main([*arguments, "--page", str(tmp_path / "file" / "page.html")]) == COULD_NOT_LOOK
    assert sound_tables


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_shows_it_without_an_error(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("service absent: chromium")
    write_page(tmp_path / "contracts.html", [GOOD, ODD, BAD], at=AT)
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
            *(
                f"--user-data-dir={tmp_path / 'profile'}",
                "--dump-dom",
                (tmp_path / "contracts.html").as_uri(),
            ),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.count("<details") == 2
    assert done.stdout.count("<details open") == 1
