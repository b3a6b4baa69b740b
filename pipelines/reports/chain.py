"""The pipeline drawn, as the paper's Figure 3: two chains of stages that meet at fine-tuning, each with what it made.

Drawn from the stages that ran, not from a plan: what stands here was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.reports.markup import Html, count, figure, markup, paragraph, section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.cohorts import Cohort
    from pipelines.reports.material import Material

_WIDTH, _BOX, _HEIGHT, _GAP = 720, 214, 50, 16
_STEPS = (
    ("sources", "take in", "inventory", "files"),
    ("deidentified", "de-identify", "instances", "radiographs"),
    ("images", "render", "images", "images"),
    ("duplicates", "find copies", "duplicates", "pairs"),
    ("image_quality", "check images", "quality_findings", "findings"),
    ("annotations", "read labels", "annotations", "readings"),
    ("masks", "agree on masks", "masks", "masks"),
    ("label_quality", "check labels", "quality_findings", "findings"),
    ("curated", "curate", "curated", "published"),
    ("splits", "split", "splits", "places"),
)
"""(asset, what it does, table whose rows are counted, what a row is)."""


def chain_section(material: Material) -> Html:
    """Draw the chain of each cohort, side by side, down to the evidence."""
    names = [cohort.name for cohort in material.cohorts]
    return section(
        "chain",
        "The pipeline",
        paragraph(
            "What was done, in this order. Every box is a stage with a data version (see Lineage): one "
            "whose inputs, code and settings are unchanged does not run again."
        ),
        figure(
            _drawn(material),
            f"The pipeline as it ran (the paper's Figure 3 shows its own), n = rows that each stage wrote. Columns: "
            f"{' and '.join(names)}. Below: the models, from pretraining to fine-tuning, and what was made of them.",
        ),
    )


def _drawn(material: Material) -> Html:
    cohorts = material.cohorts
    rows_of = {stage["asset"]: _rows(stage["rows"]) for stage in material.stages}
    shown = [one for one in _STEPS if any(f"{cohort.name}/{one[0]}" in rows_of for cohort in cohorts)]
    columns = max(1, len(cohorts))
    pitch = _WIDTH / columns
    parts, y = [], 34
    for at, cohort in enumerate(cohorts):
        middle = pitch * (at + 0.5)
        parts.append(
            _text(middle, 20, f"{cohort.name}{' (phantoms)' if cohort.is_phantom else ''}", strong=True)
        )
        for step, (asset, verb, table, unit) in enumerate(shown):
            top = y + step * (_HEIGHT + _GAP)
            made = rows_of.get(f"{cohort.name}/{asset}")
            said = "not run" if made is None else f"{count(made.get(table, 0))} {unit}"
            parts.append(_box(middle, top, verb, said, "one" if made is not None else "line"))
            if step:
                parts.append(_arrow(middle, top - _GAP, middle, top))
    bottom = y + len(shown) * (_HEIGHT + _GAP)
    top = bottom + _GAP
    tops = [top + (0 if cohort.role == "pretrain" else _HEIGHT + 2 * _GAP) for cohort in cohorts]
    for at, (cohort, here) in enumerate(zip(cohorts, tops, strict=True)):
        middle = pitch * (at + 0.5)
        parts.append(_box(middle, here, *_trained(material, cohort), "two"))
        parts.append(_arrow(middle, bottom - _GAP, middle, here))
    parts += _meeting(material, cohorts, tops, pitch)
    last = max(tops, default=top) + _HEIGHT + 2 * _GAP
    for at, here in enumerate(tops):
        parts.append(_arrow(pitch * (at + 0.5), here + _HEIGHT, pitch * (at + 0.5), last))
    evaluated = sum(material.metrics(*key[:3]) != {} for key in material.evaluations if key[3] == "all")
    parts.append(
        _box(
            _WIDTH / 2,
            last,
            "evaluate, compare, promote",
            f"{count(evaluated)} rows of models and references",
            "three",
            width=_WIDTH - pitch + _BOX,
        )
    )
    end = last + _HEIGHT
    parts.append(_arrow(_WIDTH / 2, end, _WIDTH / 2, end + _GAP))
    parts.append(
        _box(
            _WIDTH / 2,
            end + _GAP,
            "this page, the model card, the warehouse",
            "from the tables alone",
            "three",
            width=_WIDTH - pitch + _BOX,
        )
    )
    height = end + _GAP + _HEIGHT + 8
    tip = (
        '<defs><marker id="chain-tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto">'
        '<path d="M0 0 10 5 0 10z" style="fill: var(--muted)"/></marker></defs>'
    )
    return Html(
        f'<svg role="img" aria-label="The stages of the pipeline" viewBox="0 0 {_WIDTH} {height}" '
        f'style="width: {_WIDTH}px">{tip}{"".join(parts)}</svg>'
    )


def _trained(material: Material, cohort: Cohort) -> tuple[str, str]:
    models = [row for row in material.models.values() if row["cohort"] == cohort.name]
    what = "pretrain" if cohort.role == "pretrain" else "fine-tune"
    return what, (f"{count(len(models))} model{'s' * (len(models) > 1)}" if models else "not run")


def _meeting(material: Material, cohorts: Sequence[Cohort], tops: Sequence[int], pitch: float) -> list[str]:
    """Draw whose weights a hospital's model starts from."""
    arrows = []
    for at, cohort in enumerate(cohorts):
        parent = material.models.get(material.headline(cohort), {}).get("parent_model_id")
        for other, one in enumerate(cohorts):
            if parent == material.headline(one):
                side = 1 if other < at else -1
                x0, x1 = pitch * (other + 0.5) + side * _BOX / 2, pitch * (at + 0.5) - side * _BOX / 2
                y0, y1 = tops[other] + _HEIGHT / 2, tops[at] + _HEIGHT / 2
                middle = (x0 + x1) / 2
                arrows.append(_path(f"M{x0:g} {y0:g}H{middle:g}V{y1:g}H{x1:g}"))
                arrows.append(
                    _text(middle + side * 6, (y0 + y1) / 2 + 4, "weights", at="start" if side > 0 else "end")
                )
    return arrows


def _rows(rows: object) -> dict[str, int]:
    """Add up the rows that a stage wrote by table; keys are table/part."""
    import json

    told = json.loads(rows) if isinstance(rows, str) else rows
    found: dict[str, int] = {}
    if isinstance(told, dict):
        for place, n in told.items():
            table = str(place).partition("/")[0]
            found[table] = found.get(table, 0) + int(n)
    return found


def _box(middle: float, top: float, verb: str, said: str, colour: str, *, width: float = _BOX) -> str:
    return (
        f'<rect x="{middle - width / 2:g}" y="{top:g}" width="{width:g}" height="{_HEIGHT}" rx="6" '
        f'style="fill: var(--raised); stroke: var(--{colour}); stroke-width: 1.6"/>'
        + _text(middle, top + 21, verb)
        + _text(middle, top + 39, said, muted=True)
    )


def _text(
    x: float, y: float, words: str, *, strong: bool = False, muted: bool = False, at: str = "middle"
) -> str:
    colour, size = ("muted", 13) if muted or at != "middle" else ("ink", 14.5)
    weight = "600" if strong else "400"
    return (
        f'<text x="{x:g}" y="{y:g}" style="fill: var(--{colour}); font-family: inherit; font-size: {size}px; '
        f'font-weight: {weight}; text-anchor: {at}">{markup(words)}</text>'
    )


def _arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    return _path(f"M{x0:g} {y0:g}L{x1:g} {y1 - 1:g}")


def _path(way: str) -> str:
    return f'<path d="{way}" style="fill: none; stroke: var(--muted); stroke-width: 1.4" marker-end="url(#chain-tip)"/>'
