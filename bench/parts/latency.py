"""Latency at half load, and the longest pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from bench.generator import Load
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell, Sample
from bench.servers import Servers
from bench.turns import in_turn, prefill

RECORDS, QUICK_RECORDS = 1_000_000, 100_000
PAUSE_TIMES = 60.0
"""The length of the run at half load, in turns."""
SLICES = 6
"""It is cut into slices, in which the contenders take turns, so that both have the same share of a bad minute."""
HALF = 0.5


def measure(context: Context) -> list[Cell]:
    """The same rate for both: half of what the slower one reaches when it is not held back."""
    records = QUICK_RECORDS if context.quick else RECORDS
    base = Load(op="mixed", keys=records, seconds=context.seconds)
    with Servers() as servers:
        contenders = [servers.secondary(capacity=records), servers.redis()]
        prefill(contenders, base)
        full = Cell({"load": "full", "seconds": context.seconds})
        in_turn(context, [(full, base)], contenders, context.side_rounds, "latency, full load")
        rate = HALF * min(full.spread(one.name, "calls_per_second").median for one in contenders)
        length = context.seconds * PAUSE_TIMES / SLICES
        half = Cell({"load": "half", "seconds": length})
        settings = [(half, replace(base, rate=rate, seconds=length))]
        in_turn(context, settings, contenders, SLICES, f"latency, half load, slices of {length:.0f} s")
        long = Cell({"load": "half, all slices", "seconds": length * SLICES})
        for name, samples in half.samples.items():
            long.add(name, together(samples))
    return [full, half, long]


def together(slices: Sequence[Sample]) -> Sample:
    """Slices as one run: the worst of what is called worst, the median of everything else."""
    return {
        figure: (max if figure.startswith("worst") else median)([one[figure] for one in slices]) for figure in slices[0]
    }


def _half(cell: Cell) -> bool:
    return cell.matches(load="half")


PART = Part(
    name="latency",
    title="Latency",
    text=(
        "50 connections, depth 1, nine GETs to one PUT, 1,000,000 records. First as fast as answers come; then at a "
        "fixed rate, the same for both: half of what the slower one reached. At a fixed rate the latency counts from "
        "the moment at which a request was due, so a pause of the server is not hidden by requests that were never "
        f"sent. That run is cut into {SLICES} slices that take turns; the last rows have the worst of all. *Pause* is "
        "the longest time without any answer while requests were on their way."
    ),
    measure=measure,
    one_row_each=True,
    ratios=(("ckv", "Redis"),),
    ratio_figure="p99_us",
    columns=(
        Column("calls_per_second", "k/s", 1e-3),
        Column("p50_us", "p50 us", digits=0),
        Column("p99_us", "p99 us", digits=0),
        Column("p999_us", "p99.9 us", digits=0),
        Column("worst_us", "worst us", digits=0),
        Column("worst_pause_us", "pause us", digits=0),
    ),
    targets=(
        Target(
            "p99 at half load against Redis",
            _half,
            "ckv",
            "Redis",
            1.1,
            0.9,
            figure="p99_us",
            higher_is_better=False,
        ),
    ),
    plots=(
        Plot(
            "latency",
            "99 % of the answers came within",
            lambda c: True,
            column=Column("p99_us", "us"),
            axis="microseconds",
        ),
    ),
)
