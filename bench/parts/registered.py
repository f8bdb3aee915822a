"""A cluster that secondaries have joined, in which nothing moves, beside one with a list."""

from __future__ import annotations

from dataclasses import replace

from bench.generator import Load
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Target
from bench.parts.secondary import SIDE_DEPTH, SIDE_OPS, axes
from bench.results import Cell
from bench.servers import REGISTERED, Servers
from bench.turns import in_turn, prefill

LIST, SAME = "ckv, a list", "ckv, the same list again"
"""A cluster with a list, and another one that is no different: how far they are apart is how far the eye reaches."""

TIMES = 3
"""So many times the usual rounds, for a difference of some percent is looked for."""

MUST, AIM = 1.1, 1.0
"""Two clusters with a list were up to 1.11 apart, as the median of 30 turns of half a second."""


def measure(context: Context) -> list[Cell]:
    """The three in turn."""
    loads = [replace(Load(), op=op, depth=SIDE_DEPTH, seconds=context.seconds) for op in SIDE_OPS]
    settings = [(Cell(axes(load)), load) for load in loads]
    with Servers() as servers:
        contenders = [servers.registered(), servers.cluster(LIST), servers.cluster(SAME)]
        prefill(contenders, loads[0])
        in_turn(context, settings, contenders, context.rounds * TIMES, "registered")
    return [cell for cell, _ in settings]


PART = Part(
    name="registered",
    title="A registered cluster in which nothing moves",
    text=(
        "A primary without a list, which two secondaries have joined, beside one with a list of two; and the latter a "
        "second time, which shows how much of a difference is chance."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=((REGISTERED, LIST), (SAME, LIST)),
    ratio_figure="server_cpu_us",
    targets=(
        Target(
            "processor time of a call in a settled registered cluster against one with a list",
            lambda _cell: True,
            REGISTERED,
            LIST,
            MUST,
            AIM,
            figure="server_cpu_us",
            higher_is_better=False,
        ),
    ),
)
