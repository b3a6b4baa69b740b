"""The verdicts as one page for people: nothing but the file itself is needed to read it, on any network or none.

What belongs here: markup. Every text that is shown is escaped, and rows are shown by key only, as verdicts do.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from pathlib import Path

from data_contracts.contract import Contract, contracts
from data_contracts.published import CannotLookError
from data_contracts.verdict import Verdict, broken

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --card: #f6f8fa;
  --line: #d0d7de; --holds: #116329; --broken: #b3261e; --warns: #7d4e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b3; --paper: #0d1117; --card: #161b22;
  --line: #30363d; --holds: #56d364; --broken: #ff7b72; --warns: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } p { color: var(--soft); }
details { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; margin: .6rem 0; }
summary { padding: .6rem .9rem; cursor: pointer; display: flex; gap: .8rem; flex-wrap: wrap; align-items: baseline; }
summary small { color: var(--soft); flex: 1 1 20rem; }
.scroll { overflow-x: auto; padding: 0 .9rem .8rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; border-top: 0; }
th, td:nth-child(-n+2), td:nth-child(4) { white-space: nowrap; }
td:first-child { font-weight: 600; }
code { font: .85rem ui-monospace, monospace; }
.holds { color: var(--holds); } .broken { color: var(--broken); } .warns { color: var(--warns); }
"""

_WORDS = {"holds": "✓ holds", "warns": "! warns", "broken": "✗ broken"}


def write_page(place: Path, verdicts: Sequence[Verdict], *, at: datetime | None = None) -> None:
    """Write the page of the verdicts, whole or not at all.

    Parameters
    ----------
    place
        The HTML file.
    verdicts
        One for each rule, those of a table one after the other.
    at
        When they were given; default: now.

    Raises
    ------
    CannotLookError
        When it cannot be written there.
    """
    beside = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(page(verdicts, at=at or datetime.now(UTC)), encoding="utf-8")
        beside.replace(place)
    except OSError as error:
        raise CannotLookError(
            expected="a place for the page that can be written to",
            found=type(error).__name__,
            remedy="name another file with --page",
        ) from error


def page(verdicts: Sequence[Verdict], *, at: datetime) -> str:
    """Return the page as HTML: a sentence, then each table with its rules, broken ones open and first."""
    tables = [(name, list(rules)) for name, rules in groupby(verdicts, key=lambda one: one.table)]
    tables.sort(key=lambda one: (-len(broken(one[1])), -sum(not v.passed for v in one[1]), one[0]))
    n = len(broken(verdicts))
    warned = sum(not one.passed for one in verdicts) - n
    said = "Every contract holds" if not n else f"{n} {'rule is' if n == 1 else 'rules are'} broken"
    state = "broken" if n else "holds"
    warnings = "" if not warned else f", {warned} {'warning' if warned == 1 else 'warnings'}"
    judged = f'Judged on <time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M} UTC</time>.'
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Data contracts: {escape(said)}</title><style>{_STYLE}</style></head><body>",
            f'<h1><span class="{state}">{"✗" if n else "✓"}</span> {escape(said)}</h1>',
            f"<p>{len(tables)} tables, {len(verdicts)} rules{warnings}. {judged} Failing rows are shown by key.</p>",
            *(_table(name, rules) for name, rules in tables),
            "</body></html>\n",
        ]
    )


def _table(name: str, verdicts: list[Verdict]) -> str:
    promise = contracts().get(name)
    state = "broken" if broken(verdicts) else "holds" if all(one.passed for one in verdicts) else "warns"
    held = sum(one.passed for one in verdicts)
    said = f"{escape(promise.description.purpose)} {_about(promise)}" if promise else ""
    head = "<tr><th>verdict</th><th>column</th><th>rule</th><th>rows</th><th>what was found</th></tr>"
    ordered = sorted(verdicts, key=lambda one: (not one.breaks, one.passed))
    return (
        f"<details{' open' if state == 'broken' else ''}>"
        f'<summary><b>{escape(name)}</b> <span class="{state}">{_WORDS[state]}, '
        f"{held} of {len(verdicts)} rules hold</span> <small>{said}</small></summary>"
        f'<div class="scroll"><table>{head}{"".join(_row(one) for one in ordered)}</table></div></details>'
    )


def _about(promise: Contract) -> str:
    return escape(f"Version {promise.version}; {promise.owner} answers for it.")


def _row(one: Verdict) -> str:
    state = "broken" if one.breaks else "holds" if one.passed else "warns"
    found = [escape(one.detail)] if one.detail else []
    found += [f"<code>{escape(row)}</code>" for row in one.sample]
    cells: Iterable[str] = (
        f'<td class="{state}">{_WORDS[state]}</td>',
        f"<td>{escape(one.column or '')}</td>",
        f"<td>{escape(one.rule)}</td>",
        f"<td>{one.failing_n or ''}</td>",
        f"<td>{'<br>'.join(found)}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"
