"""What memory has of traces under each eviction policy, beside Redis."""

from __future__ import annotations

from typing import Final

from bench import redis_cache
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell
from bench.servers import Servers
from bench.traces import TRACES
from ckv.store.memory import POLICIES, Memory

KEYS, QUICK_KEYS = 20_000, 2_000
CALLS_PER_KEY: Final = 15
PARTS_IN_MEMORY: Final = (1, 10, 50)
"""Records that memory holds, in percent of the keys."""

REDIS: Final = "Redis, allkeys-lfu"


def measure(context: Context) -> list[Cell]:
    """Traces of one seed for each round."""
    keys = QUICK_KEYS if context.quick else KEYS
    cells = [Cell({"trace": name, "memory": f"{part} %"}) for name in TRACES for part in PARTS_IN_MEMORY]
    with Servers() as servers:
        redis = servers.redis(REDIS, "--maxmemory-policy", "allkeys-lfu")
        for number in range(context.side_rounds):
            context.say(f"policies: round {number + 1} of {context.side_rounds}")
            traces = {name: make(keys, CALLS_PER_KEY * keys, 100 * number) for name, make in TRACES.items()}
            for cell in cells:
                trace = traces[str(cell.axes["trace"])]
                records = keys * int(str(cell.axes["memory"]).split()[0]) // 100
                for policy, table in POLICIES.items():
                    _add(cell, policy, hit_ratio(table(records), trace))
                _add(cell, redis.name, redis_cache.hit_ratio(redis, records, trace))
    return cells


def _add(cell: Cell, contender: str, ratio: float) -> None:
    cell.add(contender, {"hit_percent": 100 * ratio, "miss_percent": 100 * (1 - ratio)})


def hit_ratio(memory: Memory, trace: list[str]) -> float:
    """Of a node that loads what it misses: the part of the calls that found their key here."""
    for key in trace:
        if memory.get(key) is None and not memory.put(key, "v"):
            memory.evict()
            memory.put(key, "v")
    return memory.hits / len(trace)


PART = Part(
    name="policies",
    title="Eviction policies",
    text=(
        f"Hits in percent of the calls: {KEYS:,} keys, {KEYS * CALLS_PER_KEY:,} calls, by the table of records itself, "
        "in one process without sockets; what is missing is put. *Memory* is how many of the keys it holds; Redis has "
        "as much `maxmemory` as it takes for them. Traces (`bench/traces.py`) are Zipf's law with three exponents; a "
        "third of the calls as scans of keys that are asked for once, between calls by Zipf 1.0; all keys in turn; and "
        "Zipf 1.0 with other popular keys after each tenth. A trace is over in seconds, and what is hot cools by the "
        "minute in Redis (`lfu-decay-time`). Ratios are of misses."
    ),
    measure=measure,
    ratios=(("s3fifo", "lru"), ("s3fifo", REDIS)),
    ratio_figure="miss_percent",
    columns=(Column("hit_percent", "hits %"),),
    targets=(
        Target(
            "misses of s3fifo against lru, with scans",
            lambda c: c.matches(trace="scans"),
            "s3fifo",
            "lru",
            0.9,
            0.8,
            figure="miss_percent",
            higher_is_better=False,
        ),
    ),
    plots=(
        Plot(
            "policies",
            "Hits where memory holds a tenth of the keys",
            lambda c: c.matches(memory="10 %") and not c.matches(trace="loop"),
            column=Column("hit_percent", "hits %"),
            axis="percent of the calls",
        ),
    ),
)
