"""A secondary beside Redis and memcached."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from bench.generator import Load
from bench.original import SECONDARY, redis_over
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Plot, Target
from bench.results import Cell
from bench.servers import Servers
from bench.turns import in_turn, prefill

OPS = ("put", "get", "mixed")
DEPTHS = (1, 16, 64)
BASE = Load()

CONNECTIONS = (1, 500)
VALUE_BYTES = (16, 1 << 10, 64 << 10, 1 << 20)
KEYS = (10_000, 1_000_000)
ALL_KEYS = (10_000, 1_000_000, 3_000_000)
ZIPF = 0.99
SIDE_DEPTH = 16
"""The depth at which the other axes are measured unless all are wanted."""

AGAINST_REDIS = "a secondary against Redis"
MUST_SINGLE, MUST_PIPELINED, AIM = 0.85, 0.65, 1.0
"""At depth 1, at the other depths, and what is aimed at in both."""

MAX_DATA_BYTES = 256 << 20
"""Larger values mean fewer keys, so that the data stay below this."""


def axes(load: Load) -> dict[str, str | int | float]:
    """What a table shows of a load."""
    return {
        "op": load.op,
        "depth": load.depth,
        "connections": load.connections,
        "value_bytes": load.value_bytes,
        "keys": load.keys,
        "zipf": load.zipf,
    }


def base_loads() -> list[Load]:
    """The settings that targets are set on."""
    return [replace(BASE, op=op, depth=depth) for depth in DEPTHS for op in OPS]


def side_loads(full: bool) -> list[Load]:
    """Each other axis on its own."""
    loads = []
    for op in OPS if full else ("put", "get"):
        for depth in DEPTHS if full else (SIDE_DEPTH,):
            base = replace(BASE, op=op, depth=depth)
            loads += [replace(base, connections=connections) for connections in CONNECTIONS]
            loads += [replace(base, zipf=ZIPF)]
            loads += [replace(base, keys=keys) for keys in (ALL_KEYS if full else KEYS)]
            loads += [
                replace(base, value_bytes=size, keys=min(BASE.keys, MAX_DATA_BYTES // size), depth=deep)
                for size in VALUE_BYTES
                for deep in [replace(base, value_bytes=size).depth_for(depth)]
            ]
    return list(dict.fromkeys(loads))  # a large value brings several depths down to the same one


def measure(context: Context) -> list[Cell]:
    """Servers are started anew for every set of data; the base settings come first."""
    base = [(Cell(axes(load)), replace(load, seconds=context.seconds)) for load in base_loads()]
    side = [(Cell(axes(load)), replace(load, seconds=context.seconds)) for load in side_loads(context.full)]
    if context.quick:
        side = [(cell, load) for cell, load in side if load.keys <= BASE.keys]
    _measure(context, base, context.rounds, "depths")
    by_data: defaultdict[tuple[int, int], list[tuple[Cell, Load]]] = defaultdict(list)
    for cell, load in side:
        by_data[load.keys, load.value_bytes].append((cell, load))
    for (keys, value_bytes), settings in by_data.items():
        _measure(context, settings, context.side_rounds, f"{keys} keys, {value_bytes} bytes")
    return [cell for cell, _ in base + side]


def _measure(context: Context, settings: list[tuple[Cell, Load]], rounds: int, what: str) -> None:
    with Servers() as servers:
        capacity = max(load.keys for _, load in settings)
        contenders = [servers.secondary(capacity=capacity), servers.redis(), servers.memcached()]
        prefill(contenders, settings[0][1])
        in_turn(context, settings, contenders, rounds, f"secondary, {what}")


def _is_base(cell: Cell) -> bool:
    return cell.matches(connections=BASE.connections, value_bytes=BASE.value_bytes, keys=BASE.keys, zipf=BASE.zipf)


def _is_side(cell: Cell) -> bool:
    return not _is_base(cell)


def _must(cell: Cell) -> float:
    return MUST_SINGLE if cell.matches(depth=1) else MUST_PIPELINED


PART = Part(
    name="secondary",
    title="A secondary beside Redis and memcached",
    text=(
        "PUT, GET, and nine GETs to one PUT (`mixed`). First the depths (requests in flight on each connection), then "
        "the other axes one at a time. Larger values come with fewer keys (256 MiB of data at most) and with at most "
        "1 MiB of values in flight on a connection. memcached has one thread and speaks its text protocol, in which "
        "it answers requests that were sent ahead one by one."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=(("ckv", "Redis"), ("ckv", "memcached")),
    targets=(
        Target(AGAINST_REDIS, lambda c: _is_base(c) and c.matches(depth=1), "ckv", "Redis", MUST_SINGLE, AIM),
        Target(AGAINST_REDIS, lambda c: _is_base(c) and not c.matches(depth=1), "ckv", "Redis", MUST_PIPELINED, AIM),
        Target(
            "a secondary against the original",
            lambda c: _is_base(c) and not c.matches(op="mixed"),
            "ckv",
            "Redis",
            1.0,
            2.0,
            factor=lambda c: redis_over(SECONDARY, c),
        ),
    ),
    plots=(
        Plot("secondary", "Calls a second, 50 connections, values of 64 bytes, 100,000 keys", _is_base),
        Plot(
            "secondary-ratio",
            "A secondary against Redis (Redis = 1)",
            _is_base,
            against="Redis",
            contenders=("ckv", "memcached"),
            must=_must,
            aim=lambda c: AIM,
        ),
        Plot(
            "secondary-axes",
            "A secondary against Redis (Redis = 1), each other axis on its own",
            _is_side,
            against="Redis",
            contenders=("ckv", "memcached"),
            usual=tuple(axes(replace(BASE, op="", depth=0)).items()),
        ),
    ),
)
