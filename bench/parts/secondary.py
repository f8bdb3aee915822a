"""A secondary beside Redis, Valkey and memcached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench import newest
from bench.generator import Load
from bench.original import SECONDARY, redis_over
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Plot, Target
from bench.results import Axes, Cell
from bench.servers import IN_RESP, INTERPRETED, Contender, Servers
from bench.turns import in_turn, prefill

OPS = ("put", "get", "mixed")
SIDE_OPS = ("put", "get")
DEPTHS = (1, 16, 64)
BASE = Load()

CONNECTIONS = (1, 500)
VALUE_BYTES = (16, 1 << 10, 64 << 10, 1 << 20)
KEYS = (10_000, 1_000_000, 3_000_000)
ZIPF = 0.99
MISS_PERCENT = 20
SIDE_DEPTH = 16
"""The depth at which the other axes are measured unless all are wanted."""

TOGETHER = replace(BASE, op="mixed", depth=SIDE_DEPTH, connections=500, keys=max(KEYS), zipf=ZIPF)
"""What is known to be hard, all at once."""

MAX_DATA_BYTES = 256 << 20
"""Larger values mean fewer keys, so that the data stay below this."""

MUST_AND_AIM = {1: (1.05, 1.25), 16: (1.7, 2.4), 64: (2.3, 4.0)}
VALKEY_MUST_AND_AIM = {1: (1.0, 1.15), 16: (1.5, 2.0), 64: (2.2, 3.5)}
RESP_MUST_AND_AIM = {1: (1.0, 1.25), 16: (1.5, 2.4), 64: (2.3, 4.0)}
RESP_VALKEY_MUST_AND_AIM = {1: (0.95, 1.15), 16: (1.2, 2.0), 64: (1.7, 3.5)}
"""The same for clients that speak RESP to both."""

MIXED = 1.5, 2.0
"""Of a mixed load at :data:`SIDE_DEPTH`, and of each other axis on which nothing else is said."""


def axes(load: Load) -> Axes:
    """What a table shows of a load."""
    return {
        "op": load.op,
        "depth": load.depth,
        "connections": load.connections,
        "value_bytes": load.value_bytes,
        "keys": load.keys,
        "zipf": load.zipf,
        **({"miss_percent": load.miss_percent} if load.miss_percent else {}),
    }


def base_loads(depths: Sequence[int] = DEPTHS) -> list[Load]:
    """The settings of the first table: the depths."""
    return [replace(BASE, op=op, depth=depth) for depth in depths for op in OPS]


def side_loads(full: bool) -> list[Load]:
    """Each other axis on its own, and some together."""
    loads = []
    for op in OPS if full else SIDE_OPS:
        for depth in DEPTHS if full else (SIDE_DEPTH,):
            base = replace(BASE, op=op, depth=depth)
            loads += [replace(base, connections=connections) for connections in CONNECTIONS]
            loads += [replace(base, zipf=ZIPF)]
            loads += [replace(base, miss_percent=MISS_PERCENT)] if op != "put" else []
            loads += [replace(base, keys=keys) for keys in KEYS]
            loads += [with_values(base, size) for size in VALUE_BYTES]
    return list(dict.fromkeys([*loads, TOGETHER]))  # a large value brings several depths down to the same one


def with_values(load: Load, size: int) -> Load:
    """The load with values of that many bytes, and with fewer keys and less depth where that is needed."""
    large = replace(load, value_bytes=size, keys=min(BASE.keys, MAX_DATA_BYTES // size))
    return replace(large, depth=large.depth_for(load.depth))


def measure(context: Context) -> list[Cell]:
    """Servers are started anew for every set of data; the base settings come first."""
    base = [(Cell(axes(load)), replace(load, seconds=context.seconds)) for load in base_loads()]
    side = [(Cell(axes(load)), replace(load, seconds=context.seconds)) for load in side_loads(context.full)]
    if context.quick:
        side = [(cell, load) for cell, load in side if load.keys <= BASE.keys]
    with Servers() as servers:
        everybody = _everybody(servers)
        prefill(everybody, base[0][1])
        for depth in DEPTHS:
            rounds = context.shallow_rounds if depth == 1 else context.rounds
            settings = [(cell, load) for cell, load in base if load.depth == depth]
            in_turn(context, settings, everybody, rounds, f"secondary, depth {depth}")
    by_data: defaultdict[tuple[int, int], list[tuple[Cell, Load]]] = defaultdict(list)
    for cell, load in side:
        by_data[load.keys, load.value_bytes].append((cell, load))
    for (keys, value_bytes), settings in by_data.items():
        with Servers() as servers:
            contenders = _most(servers, keys)
            prefill(contenders, settings[0][1])
            what = f"secondary, {keys} keys, {value_bytes} bytes"
            in_turn(context, settings, contenders, context.side_rounds, what)
    return [cell for cell, _ in base + side]


def _everybody(servers: Servers) -> list[Contender]:
    others = servers.newest(newest.REDIS, newest.MEMCACHED)
    return [*_most(servers, BASE.keys), servers.in_resp(BASE.keys), *others, *servers.interpreted(BASE.keys)]


def _most(servers: Servers, capacity: int) -> list[Contender]:
    """In this order, for a ratio is that of turns which follow each other."""
    return [
        servers.secondary(capacity=capacity),
        servers.redis(),
        *servers.newest(newest.VALKEY),
        servers.memcached(),
    ]


def _is(*loads: Load) -> Callable[[Cell], bool]:
    """The cells of these loads."""
    wanted = [axes(load) for load in loads]
    return lambda cell: cell.axes in wanted


_is_base = _is(*base_loads())


def _is_side(cell: Cell) -> bool:
    return not _is_base(cell)


def _each(**axis: int | float) -> Callable[[Cell], bool]:
    """The cells of an axis on its own."""
    return _is(*(replace(BASE, op=op, depth=SIDE_DEPTH, **axis) for op in SIDE_OPS))  # type: ignore[arg-type]


def _values(size: int, *ops: str) -> Callable[[Cell], bool]:
    return _is(*(with_values(replace(BASE, op=op, depth=SIDE_DEPTH), size) for op in ops))


def _against_redis(what: str, cell: Callable[[Cell], bool], must: float, aim: float) -> Target:
    return Target(f"a secondary against Redis{what}", cell, "ckv", "Redis", must, aim)


def _bounds(cell: Cell) -> tuple[float, float]:
    """What is set on a base cell, against Redis."""
    return MIXED if cell.matches(op="mixed", depth=SIDE_DEPTH) else MUST_AND_AIM[int(cell.axes["depth"])]


def _base_targets(depth: int) -> list[Target]:
    loads = base_loads([depth])
    by_bounds: defaultdict[tuple[float, float], list[Load]] = defaultdict(list)
    for load in loads:
        by_bounds[_bounds(Cell(axes(load)))].append(load)
    return [
        *(_against_redis("", _is(*alike), *bounds) for bounds, alike in by_bounds.items()),
        Target("a secondary against Valkey", _is(*loads), "ckv", newest.VALKEY, *VALKEY_MUST_AND_AIM[depth]),
        Target("RESP: a secondary against Redis", _is(*loads), IN_RESP, "Redis", *RESP_MUST_AND_AIM[depth]),
        Target("RESP: against Valkey", _is(*loads), IN_RESP, newest.VALKEY, *RESP_VALKEY_MUST_AND_AIM[depth]),
    ]


PART = Part(
    name="secondary",
    title="A secondary beside Redis, Valkey and memcached",
    text=(
        "PUT, GET, and nine GETs to one PUT (`mixed`). First the depths (requests in flight on each connection), then "
        f"the other axes one at a time, and together: mixed, Zipf, {max(KEYS):,} keys and 500 connections. Larger "
        "values come with fewer keys (256 MiB of data at most) and with at most 1 MiB of values in flight on a "
        f"connection. Where GETs miss, {MISS_PERCENT} % of them are of keys that nobody has put, and have to find "
        "nothing. All servers have one thread for requests. memcached speaks its text protocol, in which it answers "
        "requests that were sent ahead one by one. *Newest* are Debian's unstable packages, run with their own "
        "libraries (`.ci/newest-servers`). *RESP* is a secondary that is asked as Redis is. *Interpreted* is one "
        "without anything of it that is compiled."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    one_row_each=True,
    ratios=(
        *(("ckv", other) for other in ("Redis", newest.VALKEY, newest.REDIS, "memcached", newest.MEMCACHED)),
        *((IN_RESP, other) for other in ("Redis", newest.VALKEY)),
        (INTERPRETED, "Redis"),
    ),
    targets=(
        *(target for depth in DEPTHS for target in _base_targets(depth)),
        _against_redis(
            ", a fifth finds nothing", _is(replace(BASE, depth=SIDE_DEPTH, miss_percent=MISS_PERCENT)), 1.0, 2.0
        ),
        _against_redis(", 1,000,000 keys", _each(keys=1_000_000), 2.2, 3.2),
        _against_redis(", 3,000,000 keys", _each(keys=3_000_000), *MIXED),
        _against_redis(", Zipf", _each(zipf=ZIPF), *MIXED),
        _against_redis(", 500 connections", _each(connections=500), *MIXED),
        _against_redis(", mixed, Zipf, 3,000,000 keys, 500 connections", _is(TOGETHER), *MIXED),
        _against_redis(", PUT of 1 KiB", _values(1 << 10, "put"), 1.5, 2.5),
        _against_redis(", GET of 1 KiB", _values(1 << 10, "get"), 1.1, 1.5),
        _against_redis(", values of 64 KiB", _values(64 << 10, *SIDE_OPS), 1.0, 1.2),
        _against_redis(", values of 1 MiB", _values(1 << 20, *SIDE_OPS), 0.9, 1.1),
        Target(
            "a secondary without anything compiled against Redis",
            _is(*base_loads([SIDE_DEPTH])),
            INTERPRETED,
            "Redis",
            0.5,
            0.5,
        ),
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
            "Everybody against Redis (Redis = 1)",
            _is_base,
            against="Redis",
            contenders=("ckv", IN_RESP, newest.VALKEY, newest.REDIS, "memcached", newest.MEMCACHED, INTERPRETED),
            must=lambda c: _bounds(c)[0],
            aim=lambda c: _bounds(c)[1],
        ),
        Plot(
            "secondary-axes",
            "Everybody against Redis (Redis = 1), each other axis on its own",
            _is_side,
            against="Redis",
            contenders=("ckv", newest.VALKEY, "memcached"),
            usual=tuple(axes(replace(BASE, op="", depth=0)).items()),
        ),
    ),
)
