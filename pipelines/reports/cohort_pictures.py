"""A cohort's laterality, size and projection as PNG files, the paper's values beside ours (its Figures 4 to 6).

What belongs here: pictures that stand alone, in a talk or a mail. The evidence page draws its own in its colours.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upath import UPath

from pipelines.lake.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from pipelines.records import Row

_OURS, _PAPER, _MUTED = "#0072b2", "#d55e00", "#5b6166"  # Okabe and Ito's blue and vermilion
_SHARES = {
    "laterality": ("Figure 4", "Side of the pneumothorax", ("right", "left", "bilateral")),
    "projection": ("Figure 6", "Projection", ("PA", "AP", "unknown")),
}
_LARGEST_PERCENT = 16
"""Right end of the sizes: SIIM's largest is 15.4 % of the frame; what is larger stands in the last bin."""


@dataclass(frozen=True)
class _Drawn:
    """A picture under way."""

    axes: Axes
    out: list[bytes]


def write_pictures(
    cohort: str, statistics: Sequence[Row], areas: Sequence[float], folder: Path
) -> list[Path]:
    """Write ``<cohort>-laterality.png``, ``<cohort>-size.png`` and ``<cohort>-projection.png``.

    Parameters
    ----------
    cohort
        Its name.
    statistics
        The cohort's rows of ``statistics``: figure, category, n, value and paper_value in percent.
    areas
        Mask area of each curated positive, in percent of the frame.
    folder
        Where they go, made on first use.

    Returns
    -------
    list of Path
        The files; none for a cohort without positives.
    """
    if not areas:
        return []
    pictures = {name: _shares(cohort, name, statistics, len(areas)) for name in _SHARES}
    pictures["size"] = _sizes(cohort, statistics, areas)
    written = []
    for name in ("laterality", "size", "projection"):
        place = folder / f"{cohort}-{name}.png"
        write_bytes(UPath(place), pictures[name])
        written.append(place)
    return written


def _shares(cohort: str, name: str, statistics: Sequence[Row], n: int) -> bytes:
    figure, title, categories = _SHARES[name]
    rows = {row["category"]: row for row in statistics if row["figure"] == name}
    with _drawn(f"{title}: {cohort}, {n:,} radiographs with pneumothorax") as drawn:
        for at, (column, colour, label) in enumerate(
            (("value", _OURS, "ours"), ("paper_value", _PAPER, f"the paper's {figure}"))
        ):
            shown = {
                place: rows[category][column]
                for place, category in enumerate(categories)
                if category in rows and rows[category][column] is not None
            }
            if shown:
                places = [place + (at - 0.5) * 0.38 for place in shown]
                bars = drawn.axes.bar(places, list(shown.values()), 0.36, color=colour, label=label)
                drawn.axes.bar_label(bars, fmt="%.1f", fontsize=8, color=_MUTED, padding=2)
        drawn.axes.set_xticks(range(len(categories)), categories)
        drawn.axes.set_ylabel("% of radiographs with pneumothorax")
        if rows:
            drawn.axes.legend(frameon=False, fontsize=9)
    return drawn.out[0]


def _sizes(cohort: str, statistics: Sequence[Row], areas: Sequence[float]) -> bytes:
    import numpy as np

    rows = {row["category"]: row for row in statistics if row["figure"] == "size"}
    edges = np.arange(0, _LARGEST_PERCENT + 1)
    with _drawn(f"Size of the pneumothorax: {cohort}, {len(areas):,} radiographs with pneumothorax") as drawn:
        counts, _ = np.histogram(np.minimum(areas, _LARGEST_PERCENT - 0.5), edges)
        drawn.axes.bar(edges[:-1] + 0.5, 100 * counts / len(areas), 0.92, color=_OURS, label="ours")
        mean = rows.get("mean_percent")
        for column, colour, label in (
            ("value", _OURS, "our mean"),
            ("paper_value", _PAPER, "the paper's mean (Figure 5)"),
        ):
            if mean is not None and mean[column] is not None:
                drawn.axes.axvline(
                    mean[column], color=colour, linestyle="--", label=f"{label}: {mean[column]:.2f} %"
                )
        drawn.axes.set_xlim(0, _LARGEST_PERCENT)
        drawn.axes.set_xlabel(f"mask area, % of the frame (the last bin: and above {_LARGEST_PERCENT})")
        drawn.axes.set_ylabel("% of radiographs with pneumothorax")
        drawn.axes.legend(frameon=False, fontsize=9)
    return drawn.out[0]


@contextmanager
def _drawn(title: str) -> Iterator[_Drawn]:
    """Open axes; when they close, the PNG stands in `out`."""
    import matplotlib as mpl
    import matplotlib.figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context({"font.size": 10}):
        figure = mpl.figure.Figure(figsize=(6, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(visible=True, axis="y", color="#d5d8d6", linewidth=0.6)
        axes.set_title(title, fontsize=10, loc="left")
        drawn = _Drawn(axes, [])
        yield drawn
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=150, metadata={"Software": None})
        drawn.out.append(sink.getvalue())
