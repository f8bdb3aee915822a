"""The figures of the README: a few of a run. Those in which ckv is behind are among them, and in bold."""

from __future__ import annotations

from bench.parts.tiers import ASIDE, MODES
from bench.results import Cell, Results
from bench.servers import INTERPRETED
from bench.stats import Spread
from bench.tables import as_markdown


def table(results: Results) -> str:
    """As Markdown. Raises :class:`LookupError` if a part or a contender was not measured."""

    def cell(part: str, **axes: str | int | float) -> Cell:
        return next(found for found in results.parts[part].cells if found.matches(**axes))

    tiers = cell("tiers", client="Python")
    alone, ahead = (cell("secondary", op="get", depth=depth) for depth in (1, 16))
    routed = cell("primary", op="get", depth=1)
    modes = ", ".join(f"`{mode}` {_times(tiers, f'ckv, {mode}', ASIDE)}" for mode in MODES)
    stop = "stop with 1,000,000 records"
    headings = ["measured", "ckv", f"Redis {results.run['Redis']}"]
    rows = [
        ["calls/s with ten times more data than memory, one in ten a write", modes, "1, with cache-aside code"],
        ["calls/s, GET", _times(alone, "ckv"), "1"],
        ["the same, 16 requests in flight on each connection", _times(ahead, "ckv"), "1"],
        ["the same, where nothing of ckv could be compiled", _times(ahead, INTERPRETED), "1"],
        ["calls/s, GET through a primary", _times(routed, "ckv"), "1, asked itself"],
        _row("memory for a record of 16 + 64 bytes", cell("memory", records=1_000_000), "bytes_per_record", "bytes"),
        _row("start, to the first answer", cell("startstop", what="first answer"), "seconds", "s"),
        _row(stop, cell("startstop", what=stop), "seconds", "s"),
    ]
    return as_markdown((headings, rows))


def _times(cell: Cell, contender: str, against: str = "Redis") -> str:
    ratio = cell.ratio(contender, against, "calls_per_second")
    return _marked(_text(ratio), is_worse=ratio.median < 1)


def _row(text: str, cell: Cell, figure: str, unit: str) -> list[str]:
    """Less is better."""
    ours, theirs = (cell.spread(contender, figure) for contender in ("ckv", "Redis"))
    shown = _marked(f"{_text(ours)} {unit}", is_worse=ours.median > theirs.median)
    return [text, shown, f"{_text(theirs)} {unit}"]


def _text(spread: Spread) -> str:
    """The median, as docs/benchmarks.md has it."""
    return f"{spread.median:.2f}" if spread.median < 100 else f"{spread.median:.0f}"


def _marked(text: str, *, is_worse: bool) -> str:
    return f"**{text}**" if is_worse else text
