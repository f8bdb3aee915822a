"""Bar charts of the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from bench.part import Plot
from bench.results import Cell
from bench.stats import Spread
from bench.tables import contenders, setting, varying

# Colours that differ for colour-blind people too (Okabe and Ito). Who is on several plots has the same one on all.
COLOURS = ("#009E73", "#999999", "#CC79A7", "#F0E442", "#000000")
OWN_COLOURS = {
    "ckv": "#0072B2",
    "ckv, evict": "#0072B2",
    "ckv, behind": "#56B4E9",
    "ckv, through": "#003B5C",
    "Redis": "#D55E00",
    "Redis, cache-aside": "#D55E00",
    "newest Redis": "#F4A582",
    "Valkey": "#009E73",
    "memcached": "#999999",
    "newest memcached": "#444444",
    "ckv, interpreted": "#9ECAE1",
    "ckv, RESP": "#CC79A7",
    "nutcracker": "#E69F00",
    "s3fifo": "#0072B2",
    "Redis, allkeys-lfu": "#D55E00",
}
WIDE_FROM = 12
"""Groups from which on the bars lie, so that their labels have room."""

matplotlib.use("svg")
# The same results give the same files, byte for byte.
matplotlib.rcParams["svg.hashsalt"] = "ckv"
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["font.family"] = "sans-serif"


def draw(plot: Plot, cells: Sequence[Cell], path: Path) -> None:
    """Draw one plot into a file, whose ending says the format."""
    chosen = [cell for cell in cells if plot.cell(cell)]
    who = [name for name in contenders(chosen) if not plot.contenders or name in plot.contenders]
    names = varying(chosen)
    labels = [_label(plot, cell, names) for cell in chosen]
    lying = len(chosen) >= WIDE_FROM or max(map(len, labels)) > 24
    size = (9.0, 1.2 + 0.42 * len(chosen)) if lying else (max(6.0, 1.05 * len(chosen) + 1), 4.2)
    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    for at, name in enumerate(who):
        _bars(axes, plot, chosen, name, at, len(who), lying)
    _lines(axes, plot, chosen, lying)
    places = range(len(chosen))
    if lying:
        axes.set_yticks(places, [label.replace("\n", ", ") for label in labels], fontsize=8)
        axes.invert_yaxis()
    else:
        axes.set_xticks(places, labels, fontsize=8)
        axes.set_xlim(-0.75, len(chosen) - 0.25)
    _scale(axes, plot, lying)
    axes.set_title(plot.title, fontsize=10, loc="left")
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110, facecolor="white")
    pyplot.close(figure)


def _label(plot: Plot, cell: Cell, names: Sequence[str]) -> str:
    usual = dict(plot.usual)
    return setting(cell.axes, [name for name in names if cell.axes.get(name) != usual.get(name)]).replace(", ", "\n", 1)


def _bars(axes: Any, plot: Plot, cells: Sequence[Cell], name: str, at: int, count: int, lying: bool) -> None:
    width = 0.8 / count
    places, spreads = [], []
    for place, cell in enumerate(cells):
        spread = _spread(plot, cell, name)
        if spread is not None:
            places.append(place + (at - (count - 1) / 2) * width)
            spreads.append(spread)
    if not spreads:
        return
    medians = [spread.median for spread in spreads]
    whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    options: dict[str, Any] = {
        "color": OWN_COLOURS.get(name, COLOURS[at % len(COLOURS)]),
        "label": name,
        "ecolor": "#444444",
    }
    options["error_kw"] = {"elinewidth": 0.8}
    if lying:
        axes.barh(places, medians, width, xerr=whiskers, **options)
    else:
        axes.bar(places, medians, width, yerr=whiskers, **options)


def _spread(plot: Plot, cell: Cell, name: str) -> Spread | None:
    figure = plot.column.figure
    if name not in cell.samples or not cell.has(name, figure):
        return None
    if plot.against is not None:
        return cell.ratio(name, plot.against, figure) if plot.against in cell.samples else None
    spread, scale = cell.spread(name, figure), plot.column.scale
    return Spread(spread.median * scale, spread.low * scale, spread.high * scale)


def _lines(axes: Any, plot: Plot, cells: Sequence[Cell], lying: bool) -> None:
    segments = axes.vlines if lying else axes.hlines
    for name, bound, colour, style in (("must", plot.must, "#B00000", "--"), ("aim", plot.aim, "#007000", ":")):
        if bound is not None:
            values = [bound(cell) for cell in cells]
            starts, ends = [at - 0.48 for at in range(len(cells))], [at + 0.48 for at in range(len(cells))]
            text = f"{name} {values[0]:g}" if len(set(values)) == 1 else name
            segments(values, starts, ends, color=colour, linestyle=style, linewidth=1.3, label=text)
    if plot.aim is None and plot.against is not None:
        (axes.axvline if lying else axes.axhline)(1.0, color="#444444", linewidth=0.8)


def _scale(axes: Any, plot: Plot, lying: bool) -> None:
    what = f"ratio to {plot.against}" if plot.against is not None else plot.axis or plot.column.heading
    axis = axes.xaxis if lying else axes.yaxis
    (axes.set_xlabel if lying else axes.set_ylabel)(what, fontsize=9)
    if plot.logarithmic:
        (axes.set_xscale if lying else axes.set_yscale)("log")
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    elif plot.against is None:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}"))
    axis.grid(True, which="both" if plot.logarithmic else "major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
