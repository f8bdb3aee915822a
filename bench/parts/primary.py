"""A primary with two secondaries beside nutcracker with two Redis."""

from __future__ import annotations

from dataclasses import replace

from bench.generator import Load
from bench.original import PRIMARY, redis_over
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Plot, Target
from bench.parts.secondary import DEPTHS, OPS, axes
from bench.results import Cell
from bench.servers import Servers
from bench.turns import in_turn, prefill

MUST_AND_AIM = {1: (1.2, 1.4), 16: (2.5, 4.0), 64: (3.5, 5.5)}
"""Against nutcracker, by depth."""


def _any(cell: Cell) -> bool:
    return True


def _target(depth: int) -> Target:
    must, aim = MUST_AND_AIM[depth]
    return Target(
        "through a primary against nutcracker", lambda c: c.matches(depth=depth), "ckv", "nutcracker", must, aim
    )


def measure(context: Context) -> list[Cell]:
    """All depths and operations; Redis alone is there for the way to the original program."""
    loads = [replace(Load(), op=op, depth=depth, seconds=context.seconds) for depth in DEPTHS for op in OPS]
    settings = [(Cell(axes(load)), load) for load in loads]
    with Servers() as servers:
        behind = [servers.redis(), servers.redis()]
        contenders = [servers.cluster(), servers.nutcracker(behind), servers.redis()]
        prefill(contenders, loads[0])
        in_turn(context, settings, contenders, context.rounds, "primary")
    return [cell for cell, _ in settings]


PART = Part(
    name="primary",
    title="Through a primary, beside nutcracker",
    text=(
        "A ckv primary before two secondaries, and nutcracker (twemproxy) before two Redis, with one connection to "
        "each, as it is usually run. Redis without anything before it is there as a yardstick."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=(("ckv", "nutcracker"), ("ckv", "Redis")),
    targets=(
        *map(_target, DEPTHS),
        Target(
            "through a primary against the original",
            lambda c: c.matches(depth=1) and not c.matches(op="mixed"),
            "ckv",
            "Redis",
            9.0,
            20.0,
            factor=lambda c: redis_over(PRIMARY, c),
        ),
    ),
    plots=(
        Plot("primary", "Calls a second through a router with two nodes, 50 connections, values of 64 bytes", _any),
        Plot(
            "primary-ratio",
            "A primary against nutcracker (nutcracker = 1)",
            _any,
            against="nutcracker",
            contenders=("ckv",),
            must=lambda c: MUST_AND_AIM[int(c.axes["depth"])][0],
            aim=lambda c: MUST_AND_AIM[int(c.axes["depth"])][1],
        ),
    ),
)
