"""The page's tables and picture, from what was measured: no number of it is typed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from growth.fit import FLAT, LINEAR, START_N

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

Row = dict[str, Any]

_TITLES = {
    "headers": "films of headers",
    "phantoms": "phantoms with pixels",
}
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000")
"""Okabe and Ito's, which every eye tells apart."""
_MARKS = "os^Dv<>"
_DRAWN_N = len(_COLOURS)
_LIMITS = {
    "memory": "memory of the leading process",
    "hours": "hours of the leading process",
    "pairs": "hours of comparing pairs",
}


_OF_PIXELS = frozenset({"store", "shards"})
"""Places whose bytes are those of pictures; all others are known from films of headers, of which there are more."""


def sentence(row: Row) -> str:
    """Say in a line how one stage grows."""
    return (
        f"{row['films']:9}{row['stage']:16}{row['per_thousand_s']:9.2f} s a thousand; time n^{_fit(row['exponent'])}"
        f"{'' if row['worker_ratio'] is None else '; worker x' + format(row['worker_ratio'], '.2f')}"
        f"; lead {row['lead_bytes_per_film'] / 1024:,.1f} KiB a film{'' if row['met'] else '  MISSED'}"
    )


def render(found: Mapping[str, Any], page: Path) -> None:
    """Write the measured parts of the page anew, each between the two comments that name it."""
    text = page.read_text("utf-8")
    parts = {
        "machine": _machine(found["machine"]),
        **{films: _growth(found["growth"], films) for films in _TITLES},
        **_forecast(found["forecast"]),
    }
    for name, part in parts.items():
        begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
        before, is_there, rest = text.partition(begin)
        _, is_closed, after = rest.partition(end)
        if not is_there or not is_closed:
            raise ValueError(f"expected {begin} and {end} in {page.name}; put them where the part belongs")
        text = f"{before}{begin}\n{part}\n{end}{after}"
    page.write_text(text, "utf-8")


def _machine(machine: Mapping[str, Any]) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    return (
        f"Measured on {machine['cores']} cores of {machine['processor']}, Python {machine['python']}, {libraries}; "
        f"load {machine['load_before']} before the first chain."
    )


def _growth(growth: Sequence[Row], films: str) -> str:
    rows = [row for row in growth if row["films"] == films]
    sizes = sorted({int(n) for row in rows for n in row["processor_s"]} - {START_N})
    head = ["stage", *(f"{n:,}" for n in sizes), "start", "s a thousand", "exponent", "by the wall's clock",
            "wall, 2 workers", "a worker, MiB", "lead, KiB a film", "goals"]  # fmt: skip
    lines = [
        [
            row["stage"],
            *(f"{row['processor_s'][str(n)]:.2f}" for n in sizes),
            f"{row['start_s']:.2f}",
            f"{row['per_thousand_s']:.2f}",
            _fit(row["exponent"]),
            _fit(row["wall_exponent"]),
            f"{row['seconds_2'][str(sizes[-1])]:.2f}" if str(sizes[-1]) in row["seconds_2"] else "",
            " → ".join(f"{one:.0f}" for one in row["worker_mib"].values()),
            f"{row['lead_bytes_per_film'] / 1024:.1f}" if row["lead_bytes_per_film"] else "",
            _met(row),
        ]
        for row in rows
    ]
    return _table(head, lines)


def _fit(fit: Mapping[str, float | None] | None) -> str:
    if fit is None:
        return "too short"
    return f"{fit['value']:.2f}" + ("" if fit["se"] is None else f" ± {fit['se']:.2f}")


def _met(row: Row) -> str:
    missed = [
        *([f"exponent over {LINEAR}"] if row["linear"] is False else []),
        *([f"worker over {FLAT} times"] if row["flat"] is False else []),
    ]
    if missed:
        return "missed: " + ", ".join(missed)
    if row["exponent"] is not None and row["linear"] is None:
        return f"over {LINEAR} by less than two errors"
    return "met" if row["linear"] or row["flat"] else ""


def _forecast(forecast: Mapping[str, Any]) -> dict[str, str]:
    n, workers = forecast["n"], (1, 16, 128)
    head = ["stage", "ms a film", "arithmetic", *(f"hours, {one} worker{'s' * (one > 1)}" for one in workers)]
    lines = [
        [
            row["stage"],
            f"{row['per_film_ms']:.2f}",
            f"{n:,} × {row['per_film_ms']:.2f} ms / 3,600,000 = {row['hours']:,.1f} h",
            *(f"{row['hours'] / (one if row['is_shared'] else 1):,.1f}" for one in workers),
        ]
        for row in forecast["stages"]
    ]
    totals = [
        sum(row["hours"] / (one if row["is_shared"] else 1) for row in forecast["stages"]) for one in workers
    ]
    lines.append(["**together**", "", "", *(f"**{one:,.1f}**" for one in totals)])
    kept = [
        [
            row["place"],
            _TITLES[row["films"]],
            f"{row['bytes_per_film']:,.0f}",
            f"{n:,} × {row['bytes_per_film']:,.0f} / 10⁹ = {n * row['bytes_per_film'] / 1e9:,.1f} GB",
            f"{n * row['files_per_film']:,.0f}" if row["files_per_film"] > 0.5 else "",
        ]
        for row in forecast["bytes"]
        if row["bytes_per_film"] >= 1 and (row["films"] == "phantoms") == (row["place"] in _OF_PIXELS)
    ]
    memory = [
        [
            row["stage"],
            f"{row['lead_bytes_per_film']:,.0f}",
            f"{n:,} × {row['lead_bytes_per_film']:,.0f} / 2³⁰ = {row['lead_gib']:,.0f} GiB",
        ]
        for row in sorted(forecast["stages"], key=lambda row: -row["lead_bytes_per_film"])
        if row["lead_bytes_per_film"] >= 1
    ]
    return {
        "hours": _table(head, lines),
        "pairs": _pairs(forecast),
        "bytes": _table(["place", "measured on", "bytes a film", "arithmetic", "files"], kept),
        "memory": _table(["stage", "bytes a film", "arithmetic"], memory),
        "breaks": _breaks(forecast),
    }


def _pairs(forecast: Mapping[str, Any]) -> str:
    pairs, n = forecast["pairs"], forecast["n"]
    measured = ", ".join(f"{one:,.1f} s for {int(size):,}" for size, one in pairs["measured"].items())
    film_ms, pair_us = 1e3 * pairs["film_s"], 1e6 * pairs["pair_s"]
    return (
        f"Processor seconds of the search for films that are copies, which compares each with each: {measured}. "
        f"That is {film_ms:.2f} ms a film and {pair_us:.3f} µs for n², by least squares. For {n:,} films: "
        f"{n:,} × {film_ms:.2f} ms + {n:,}² × {pair_us:.3f} µs = {pairs['hours']:,.0f} hours; "
        f"{forecast['stage_h']:.0f} hours are reached at {_rounded(pairs['breaks_at_n'])} films."
    )


def _breaks(forecast: Mapping[str, Any]) -> str:
    lines = [
        [str(at), _rounded(row["n"]), row["stage"], _LIMITS[row["what"]]]
        for at, row in enumerate(forecast["breaks"], start=1)
    ]
    if not lines:
        return "Nothing of it breaks before ten million."
    first = forecast["breaks"][0]
    limits = f"{forecast['memory_gib']:.0f} GiB or {forecast['stage_h']:.0f} hours a stage"
    return (
        f"**First to break: `{first['stage']}`, at {_rounded(first['n'])} radiographs, by {_LIMITS[first['what']]}** "
        f"(limits: {limits}).\n\n" + _table(["", "radiographs", "stage", "limit"], lines)
    )


def _rounded(n: int) -> str:
    """Return a number with two digits that mean something."""
    unit = 10 ** max(0, len(str(n)) - 2)
    return f"{round(n / unit) * unit:,}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def draw(found: Mapping[str, Any], place: Path) -> None:
    """Draw processor seconds and a worker's memory over the number of films, on logarithmic axes."""
    import matplotlib as mpl
    import matplotlib.figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context({"font.size": 10}):
        figure = mpl.figure.Figure(figsize=(11, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, films in zip(figure.subplots(1, 2, sharey=True), _TITLES, strict=True):
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_axisbelow(True)
            axes.grid(visible=True, color="#d5d8d6", linewidth=0.6)
            _seconds(axes, [row for row in found["growth"] if row["films"] == films], films)
        figure.axes[0].set_ylabel("processor seconds beyond the start")
        place.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(place, format="png", dpi=110, metadata={"Software": None})


def _seconds(axes: Axes, rows: Sequence[Row], films: str) -> None:
    costly = sorted((row for row in rows if row["exponent"]), key=lambda row: -row["per_thousand_s"])[
        :_DRAWN_N
    ]
    for row, colour, mark in zip(costly, _COLOURS, _MARKS, strict=False):
        points = [
            (int(n), one - row["start_s"])
            for n, one in row["processor_s"].items()
            if int(n) != START_N and one > row["start_s"]
        ]
        label = f"{row['stage']}: n^{row['exponent']['value']:.2f}"
        axes.plot(
            *zip(*points, strict=True), color=colour, marker=mark, linewidth=1.5, markersize=5, label=label
        )
    sizes = sorted({int(n) for row in costly for n in row["processor_s"]} - {START_N})
    if not sizes:
        return
    top = max(row["processor_s"][str(sizes[-1])] for row in costly)
    axes.plot(
        sizes,
        [2 * top * n / sizes[-1] for n in sizes],
        color="#767676",
        linestyle="--",
        linewidth=1,
        label="linear",
    )
    axes.set(xscale="log", yscale="log", xlabel="radiographs")
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.set_title(f"{_TITLES[films]}, 1 worker, {sizes[0]:,} to {sizes[-1]:,}", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
