"""A primary with two secondaries beside nutcracker with two Redis."""

from __future__ import annotations

from dataclasses import replace

from bench.generator import Load
from bench.original import PRIMARY, redis_over
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Plot, Target
from bench.parts.secondary import DEPTHS, OPS, axes
from bench.results import Cell
from bench.servers import IN_RESP, Servers
from bench.turns import in_turn, prefill

MUST_AND_AIM = {1: (1.2, 1.4), 16: (2.5, 4.0), 64: (3.5, 5.5)}
RESP_MUST_AND_AIM = {1: (1.1, 1.4), 16: (2.0, 4.0), 64: (3.0, 5.5)}
"""Against nutcracker, by depth; the second for clients that speak RESP to both."""


def _any(cell: Cell) -> bool:
    return True


def _targets(depth: int) -> list[Target]:
    def is_of_depth(cell: Cell) -> bool:
        return cell.matches(depth=depth)

    return [
        Target("through a primary against nutcracker", is_of_depth, "ckv", "nutcracker", *MUST_AND_AIM[depth]),
        Target("RESP: through a primary", is_of_depth, IN_RESP, "nutcracker", *RESP_MUST_AND_AIM[depth]),
    ]


def measure(context: Context) -> list[Cell]:
    """All depths and operations; Redis alone is there for the way to the original program."""
    loads = [replace(Load(), op=op, depth=depth, seconds=context.seconds) for depth in DEPTHS for op in OPS]
    settings = [(Cell(axes(load)), load) for load in loads]
    with Servers() as servers:
        behind = [servers.redis(), servers.redis()]
        cluster = servers.cluster()
        in_resp = replace(cluster, name=IN_RESP, protocol="resp")
        contenders = [cluster, servers.nutcracker(behind), in_resp, servers.redis()]
        prefill(contenders, loads[0])
        in_turn(context, settings, contenders, context.rounds, "primary")
    return [cell for cell, _ in settings]


PART = Part(
    name="primary",
    title="Through a primary, beside nutcracker",
    text=(
        "A ckv primary before two secondaries, and nutcracker (twemproxy) before two Redis, with one connection to "
        "each, as it is usually run. *RESP* is the same primary, asked as Redis is. Redis without anything before it "
        "is there as a yardstick."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=(("ckv", "nutcracker"), (IN_RESP, "nutcracker"), ("ckv", "Redis"), (IN_RESP, "Redis")),
    targets=(
        *(target for depth in DEPTHS for target in _targets(depth)),
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
            contenders=("ckv", IN_RESP),
            must=lambda c: MUST_AND_AIM[int(c.axes["depth"])][0],
            aim=lambda c: MUST_AND_AIM[int(c.axes["depth"])][1],
        ),
    ),
)
