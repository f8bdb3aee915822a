"""Results as tables, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.part import Column, Part, Verdict
from bench.results import Axes, Cell
from bench.stats import Spread

Table = tuple[list[str], list[list[str]]]
"""Headings and rows."""


def varying(cells: Sequence[Cell]) -> list[str]:
    """The axes that are not the same everywhere."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.axes))
    return [name for name in names if len({cell.axes.get(name) for cell in cells}) > 1] or names[:1]


def axis_text(name: str, value: str | int | float | None) -> str:
    """A value on an axis, in words that fit into a table."""
    if value is None:
        return ""
    if name == "value_bytes" and isinstance(value, int):
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and value % size == 0:
                return f"{value // size} {unit}"
        return f"{value} B"
    if name == "seconds":
        return f"{value:g} s"
    if name == "miss_percent":
        return f"{value} % miss"
    if name == "zipf":
        return f"Zipf {value}" if value else "uniform"
    return f"{value:,}" if isinstance(value, int) else str(value)


def heading(name: str) -> str:
    """The name of an axis for people."""
    special = {"value_bytes": "value", "zipf": "popularity", "seconds": "length", "miss_percent": "misses"}
    return special.get(name, name.replace("_", " "))


def setting(axes: Axes, names: Iterable[str]) -> str:
    """A cell in one line: ``get, depth 16``."""
    parts = []
    for name in names:
        text = axis_text(name, axes.get(name))
        bare = isinstance(axes.get(name), str) or name in ("value_bytes", "zipf", "seconds", "miss_percent")
        if text and name in ("connections", "keys", "records"):
            parts.append(f"{text} {name[:-1] if text == '1' else name}")
        elif text:
            parts.append(text if bare else f"{heading(name)} {text}")
    return ", ".join(parts)


def number(value: float, digits: int) -> str:
    """A number that is short and still has its digits."""
    return f"{value:,.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def spread_text(spread: Spread) -> str:
    """A ratio and its lowest and highest round."""
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def contenders(cells: Sequence[Cell]) -> list[str]:
    """Everybody who was measured, in the order of their first appearance."""
    return list(dict.fromkeys(name for cell in cells for name in cell.samples))


def part_table(part: Part, cells: Sequence[Cell]) -> Table:
    """All figures of a part: medians of each contender, and ratios."""
    return _long_table(part, cells) if part.one_row_each else _wide_table(part, cells)


def _wide_table(part: Part, cells: Sequence[Cell]) -> Table:
    """A row for each cell, columns for each contender."""
    names, who = varying(cells), contenders(cells)
    shown = [
        (one, column) for one in who for column in part.columns if any(_measured(cell, one, column) for cell in cells)
    ]
    ratios = [pair for pair in part.ratios if pair[0] in who and pair[1] in who]
    headings = [heading(name) for name in names]
    headings += [f"{one} {column.heading}" for one, column in shown]
    headings += [f"{one} / {other}" for one, other in ratios]
    rows = [
        [
            *(axis_text(name, cell.axes.get(name)) for name in names),
            *(_median(cell, one, column) for one, column in shown),
            *(_ratio(part, cell, one, other) for one, other in ratios),
        ]
        for cell in cells
    ]
    return headings, rows


def _long_table(part: Part, cells: Sequence[Cell]) -> Table:
    """A row for each cell and contender."""
    names = varying(cells)
    against = list(dict.fromkeys(other for _, other in part.ratios))
    headings = [*(heading(name) for name in names), "", *(column.heading for column in part.columns)]
    headings += [f"{_figure_heading(part)} / {other}" for other in against]
    rows = [
        [
            *(axis_text(name, cell.axes.get(name)) for name in names),
            one,
            *(_median(cell, one, column) for column in part.columns),
            *(_ratio(part, cell, one, other) if (one, other) in part.ratios else "" for other in against),
        ]
        for cell in cells
        for one in cell.samples
    ]
    return headings, rows


def _figure_heading(part: Part) -> str:
    return next((column.heading for column in part.columns if column.figure == part.ratio_figure), part.ratio_figure)


def _median(cell: Cell, contender: str, column: Column) -> str:
    if not _measured(cell, contender, column):
        return ""
    return number(cell.spread(contender, column.figure).median * column.scale, column.digits)


def _ratio(part: Part, cell: Cell, one: str, other: str) -> str:
    both = all(name in cell.samples and cell.has(name, part.ratio_figure) for name in (one, other))
    return spread_text(cell.ratio(one, other, part.ratio_figure)) if both else ""


def _measured(cell: Cell, contender: str, column: Column) -> bool:
    return contender in cell.samples and cell.has(contender, column.figure)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """A row for each target and cell."""
    alike: dict[tuple[str, str], list[Cell]] = {}
    for verdict in verdicts:
        alike.setdefault((verdict.part, verdict.target.text), []).append(verdict.cell)
    rows = []
    for verdict in verdicts:
        target = verdict.target
        sign = "" if target.higher_is_better else "at most "
        cells = alike[verdict.part, target.text]
        rows.append(
            [
                target.text,
                setting(verdict.cell.axes, varying(cells)) if len(cells) > 1 else "",
                spread_text(verdict.measured),
                f"{sign}{target.must:g}",
                "pass" if verdict.met else "FAIL",
                f"{sign}{target.aim:g}",
                "pass" if verdict.aim_met else "not yet",
            ]
        )
    return ["figure", "setting", "measured", "must", "", "aim", ""], rows


def as_text(table: Table) -> str:
    """For the terminal."""
    headings, rows = table
    widths = [max(len(row[at]) for row in [headings, *rows]) for at in range(len(headings))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in [headings, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(table: Table) -> str:
    """For the page."""
    headings, rows = table
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
