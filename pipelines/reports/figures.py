"""The page's figures: matplotlib drawn as SVG whose colours are the page's own, so that both themes fit.

Ours are filled, the paper's value is a diamond beside them. Colours are Okabe and Ito's blue and orange, which every
eye tells apart; categories are also told by place and name.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pipelines.reports.markup import Html

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# stand-ins, each turned into a colour of the page when the SVG is written
_INK, _MUTED, _LINE, _PAGE = "#010101", "#020202", "#030303", "#070707"
_SERIES = ("#040404", "#050505", "#060606")
_PAGE_COLOURS = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _LINE: "var(--line)",
    _PAGE: "var(--page)",
    _SERIES[0]: "var(--one)",
    _SERIES[1]: "var(--two)",
    _SERIES[2]: "var(--three)",
}
_SIZE_IN = (4.2, 2.9)  # about a phone's width, so that letters stay readable there


Corner: TypeAlias = Literal["lower right", "lower left", "upper left"]


@dataclass(frozen=True)
class Bars:
    """Shares of one cohort: category to percent, ours and, where the paper prints it, the paper's."""

    cohort: str
    n: int
    ours: Mapping[str, float]
    paper: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """A line: points with a name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def share_bars(key: str, categories: Sequence[str], cohorts: Sequence[Bars], *, y_label: str) -> Html:
    """Draw grouped bars, a group for each category, a colour for each cohort, the paper's value as a diamond."""
    with _drawn(key) as (axes, out):
        width = 0.8 / max(1, len(cohorts))
        for at, (bars, colour) in enumerate(zip(cohorts, _cycled(len(cohorts)), strict=True)):
            places = [place + (at - (len(cohorts) - 1) / 2) * width for place in range(len(categories))]
            heights = [bars.ours.get(category, 0.0) for category in categories]
            axes.bar(
                places, heights, width * 0.9, color=colour, label=f"{bars.cohort}, ours (n = {bars.n:,})"
            )
            printed = [(x, bars.paper[c]) for x, c in zip(places, categories, strict=True) if c in bars.paper]
            if printed:
                axes.plot(*zip(*printed, strict=True), **_paper_marks(None if at else "paper"))
        axes.set_xticks(range(len(categories)), categories)
        axes.set_ylabel(y_label)
        axes.set_ylim(0, None)
        _legend(axes)
    return out[0]


def size_histogram(key: str, areas: Mapping[str, Sequence[float]], paper_means: Mapping[str, float]) -> Html:
    """Draw mask areas as shares of each cohort's positives, the means as lines, the paper's as diamonds on the axis."""
    edges = list(range(17))  # SIIM's largest is 15.4 %
    with _drawn(key) as (axes, out):
        for at, ((cohort, values), colour) in enumerate(zip(areas.items(), _cycled(len(areas)), strict=True)):
            if not values:
                continue
            shares = [
                100 * sum(low <= value < high for value in values) / len(values)
                for low, high in zip(edges, [*edges[1:-1], float("inf")], strict=False)
            ]
            axes.stairs(
                shares, edges, color=colour, linewidth=1.8, label=f"{cohort}, ours (n = {len(values):,})"
            )
            mean = sum(values) / len(values)
            axes.axvline(mean, color=colour, linewidth=1.2)
            if cohort in paper_means:
                marks = _paper_marks(None if at else "paper's mean") | {"markeredgecolor": colour}
                axes.plot([paper_means[cohort]], [0], clip_on=False, zorder=5, **marks)
        axes.set_xlabel("mask area, % of the image")
        axes.set_ylabel("% of positives")
        axes.set_xlim(0, edges[-1])
        axes.set_ylim(0, None)
        _legend(axes)
    return out[0]


def training_curves(key: str, train: Curve, validation: Curve, *, best_epoch: int | None) -> Html:
    """Draw the loss over epochs, training as a line, validation as points, the kept checkpoint ringed."""
    with _drawn(key) as (axes, out):
        axes.plot(train.x, train.y, color=_MUTED, linewidth=1, label=train.name)
        axes.plot(
            validation.x, validation.y, color=_SERIES[0], marker="o", markersize=3.5, label=validation.name
        )
        if best_epoch is not None and best_epoch in validation.x:
            best = validation.y[list(validation.x).index(best_epoch)]
            ring: dict[str, Any] = {
                "markersize": 10,
                "markerfacecolor": "none",
                "markeredgecolor": _SERIES[1],
                "linestyle": "none",
            }
            axes.plot([best_epoch], [best], marker="o", label="kept checkpoint", **ring)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        _legend(axes)
    return out[0]


@dataclass(frozen=True)
class Frame:
    """Axes for curves of a score: labels with units, ends, a grey guide, and the corner that curves leave empty."""

    x_label: str
    y_label: str
    x_ends: tuple[float, float] = (0, 100)
    y_ends: tuple[float, float] = (0, 102)
    guide: tuple[tuple[float, float], tuple[float, float]] | None = None
    corner: Corner | None = "lower right"
    has_points: bool = False
    has_log_x: bool = False


def score_curves(
    key: str, frame: Frame, curves: Sequence[Curve], *, paper: tuple[float, float] | None = None
) -> Html:
    """Draw curves of at most three models in one frame, the paper's operating point as a diamond."""
    with _drawn(key) as (axes, out):
        if frame.guide:
            axes.plot(*frame.guide, color=_MUTED, linewidth=1)
        if frame.has_log_x:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for curve, colour, dash in zip(curves, _cycled(len(curves)), ("-", "--", ":"), strict=False):
            marker = "o" if frame.has_points else None
            axes.plot(
                curve.x,
                curve.y,
                dash,
                color=colour,
                linewidth=1.8,
                label=curve.name,
                marker=marker,
                markersize=4,
            )
        if paper is not None:
            axes.plot([paper[0]], [paper[1]], **_paper_marks("paper"), zorder=5)
        axes.set_xlabel(frame.x_label)
        axes.set_ylabel(frame.y_label)
        axes.set_xlim(*frame.x_ends)
        axes.set_ylim(*frame.y_ends)
        _legend(axes, inside=frame.corner)
    return out[0]


def learning_curve(
    key: str, points: Sequence[tuple[float, float, float, float]], levels: Mapping[str, float]
) -> Html:
    """Draw (share of labels, value, low, high), all in percent, with levels that no label moves as lines."""
    with _drawn(key) as (axes, out):
        shares, values, lows, highs = zip(*sorted(points), strict=True)
        axes.vlines(shares, lows, highs, color=_SERIES[0], linewidth=1.6)
        axes.plot(shares, values, "o-", color=_SERIES[0], markersize=5, label="fine-tuned, 95 % interval")
        for (name, level), colour, dash in zip(levels.items(), _SERIES[1:], ("--", ":"), strict=False):
            axes.axhline(level, color=colour, linewidth=1.6, linestyle=dash, label=name)
        axes.set_xlabel("share of the training labels, %")
        axes.set_ylabel("Dice over positives, %")
        axes.set_xlim(0, 105)
        axes.set_ylim(0, None)
        _legend(axes)
    return out[0]


def intervals(
    key: str, rows: Sequence[tuple[str, float, float, float, float | None]], *, x_label: str
) -> Html:
    """Draw (name, value, low, high, paper) in percent as points with intervals, one below the other."""
    with _drawn(key, size=(_SIZE_IN[0], 0.9 + 0.34 * len(rows))) as (axes, out):
        for place, (_, value, low, high, paper) in enumerate(rows):
            axes.plot([low, high], [place, place], color=_SERIES[0], linewidth=1.8)
            axes.plot(
                [value],
                [place],
                "o",
                color=_SERIES[0],
                markersize=5,
                label=None if place else "ours, 95 % interval",
            )
            if paper is not None:
                axes.plot(
                    [paper],
                    [place],
                    **_paper_marks(None if _has(axes, "paper") else "paper"),
                )
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(x_label)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=_LINE, linewidth=0.6)
        _legend(axes)
    return out[0]


def _has(axes: Axes, label: str) -> bool:
    return label in axes.get_legend_handles_labels()[1]


def _paper_marks(label: str | None) -> dict[str, Any]:
    return {
        "marker": "D",
        "markersize": 6,
        "linestyle": "none",
        "markerfacecolor": _PAGE,
        "markeredgecolor": _INK,
        "markeredgewidth": 1.4,
        "label": label,
    }


def _cycled(count: int) -> list[str]:
    return [_SERIES[at % len(_SERIES)] for at in range(count)]


def _legend(axes: Axes, inside: Corner | None = None) -> None:
    """Name the marks above the axes, where they hide nothing, unless a corner is known to stay empty."""
    names = axes.get_legend_handles_labels()[1]
    if not names:
        return
    looks: dict[str, Any] = {"fontsize": 8, "frameon": False, "labelcolor": _INK, "handlelength": 1.4}
    if inside:
        axes.legend(loc=inside, **looks)
        return
    columns = 2 if max(map(len, names)) > len("kept checkpoint") else 3
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, columnspacing=1.2, **looks)


@contextmanager
def _drawn(key: str, size: tuple[float, float] = _SIZE_IN) -> Iterator[tuple[Axes, list[Html]]]:
    """Open axes in the page's colours; when they close, the SVG stands in the list."""
    import matplotlib as mpl
    import matplotlib.figure
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    rules: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": key,
        "font.size": 9,
        "axes.unicode_minus": True,
    }
    with mpl.rc_context(rules):
        figure = mpl.figure.Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_MUTED)
        axes.tick_params(colors=_MUTED, labelcolor=_INK, labelsize=8.5)
        axes.xaxis.label.set_color(_INK)
        axes.yaxis.label.set_color(_INK)
        axes.grid(visible=True, axis="y", color=_LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        out: list[Html] = []
        yield axes, out
        out.append(_as_svg(figure, key))


def _as_svg(figure: Figure, key: str) -> Html:
    target = io.StringIO()
    figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # several figures share the page: their ids must not
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{key}-", text)
    text = re.sub(r"font-family: [^;\"]*|font: ([\d.]+px) [^;\"]*", _own_font, text)
    for stand_in, colour in _PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    width = re.search(r'width="([\d.]+)pt"', text)
    assert width is not None
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    shown = f"{float(width[1]) * 4 / 3:.0f}px"
    return Html(text.strip().replace("<svg", f'<svg role="img" style="width: {shown}"', 1))


def _own_font(found: re.Match[str]) -> str:
    return f"font: {found[1]} inherit" if found[1] else "font-family: inherit"
