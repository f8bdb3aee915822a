"""Ten times more data than memory: ckv beside Redis with cache-aside code over the same MariaDB."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace

from bench.applications import Work, figures, run_applications
from bench.database import database, info, make_plain, wait_saved
from bench.generator import Load, run
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell, Sample
from bench.servers import Contender, Servers
from bench.turns import sample

RECORDS, QUICK_RECORDS = 1_000_000, 50_000
TIMES_MEMORY = 10
GET_PERCENT = 90
ZIPF = 0.99
PROCESSES, GREENLETS = 2, 25
POOL_SIZE = 4
SECONDS_TIMES = 5.0
ROOM_FOR_BUFFERS = 4 << 20
"""Bytes that Redis may take for its clients at first."""
TRIES = 3
"""Corrections of that, by the number of records that stay."""
MODES = ("evict", "behind", "through")
ASIDE = "Redis, cache-aside"

PYTHON, GENERATOR = "Python", "load generator"
"""What calls the store."""


@dataclass(frozen=True)
class Setup:
    """One way to keep the data, and how to call it."""

    name: str
    kind: str
    ports: tuple[int, ...]
    node: Contender | None = None
    """For ckv: the node, whose own figures tell the hits."""


def measure(context: Context) -> list[Cell]:
    """All setups stay up, and have their turns; each is warm before the first one."""
    records = QUICK_RECORDS if context.quick else RECORDS
    capacity = records // TIMES_MEMORY
    seconds = context.seconds * SECONDS_TIMES
    mixed = Load(op="mixed", keys=records, zipf=ZIPF, get_percent=GET_PERCENT)
    by_python = Cell({"client": PYTHON})
    by_generator = Cell({"client": GENERATOR})
    with database() as server, Servers() as servers:
        nodes = {}
        for mode in MODES:
            node = nodes[mode] = servers.secondary(
                f"ckv, {mode}",
                persistent=server.address,
                capacity=capacity,
                pool_size=POOL_SIZE,
                options=[f"--write-mode={mode}"],
            )
            if mode == MODES[0]:
                context.say(f"tiers: putting {records:,} records")
                run(Load(keys=records).prefill(), node.protocol, node.port)
                # Reads push what was put last out of memory: all rows are in the table then.
                run(Load(keys=records, calls=2 * capacity, depth=16, sequential=True), node.protocol, node.port)
                wait_saved(node)
                make_plain(server, with_rows=True)
        cache = _cache(servers, records, capacity)
        setups = [Setup(node.name, "ckv", (node.port,), node=node) for node in nodes.values()]
        setups.append(Setup(ASIDE, "cache-aside", (cache.port, server.port)))
        context.say("tiers: warming up")
        for node in nodes.values():
            # As many calls as filled the cache.
            run(replace(mixed, depth=4, calls=records), node.protocol, node.port)
            wait_saved(node)
        for number in range(context.side_rounds):
            context.say(f"tiers: round {number + 1} of {context.side_rounds}")
            for setup in setups:
                by_python.add(setup.name, _turn(setup, records, seconds, number))
                if setup.node is not None:
                    wait_saved(setup.node)
            for node in nodes.values():
                by_generator.add(node.name, _fast_turn(node, replace(mixed, seconds=seconds, seed=number + 1)))
                wait_saved(node)
    return [by_python, by_generator]


def _cache(servers: Servers, records: int, capacity: int) -> Contender:
    """A Redis with memory for as many records as ckv may hold, and warm."""
    cache = servers.redis(ASIDE)
    empty = _used_memory(cache.port)
    run(Load(keys=capacity).prefill(), cache.protocol, cache.port)
    limit: float = _used_memory(cache.port)
    each = (limit - empty) / capacity
    _redis(cache.port, "CONFIG SET maxmemory-policy allkeys-lru")
    # Buffers of clients count too, and nobody knows how large they get. So it is tried out.
    limit += ROOM_FOR_BUFFERS
    for _ in range(TRIES):
        _redis(cache.port, f"CONFIG SET maxmemory {int(limit)}")
        # Values follow from their keys, so the cache can be filled without the database. Popular records stay.
        run(Load(op="put", keys=records, zipf=ZIPF, calls=records), cache.protocol, cache.port)
        limit += (capacity - int(_redis(cache.port, "DBSIZE"))) * each
    return cache


def _used_memory(port: int) -> int:
    return int(_redis(port, "INFO memory").split("used_memory:")[1].split()[0])


def _redis(port: int, command: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as answer:
        connection.sendall(command.encode() + b"\r\n")
        line: bytes = answer.readline()
        if line.startswith(b"$"):
            return answer.read(int(line[1:])).decode()
        if not line.startswith((b"+", b":")):
            raise AssertionError(f"{command}: {line!r}")
        return line[1:].decode()


def _memory_hits(node: Contender | None) -> tuple[float, float]:
    """GETs that memory answered, and all that found a record."""
    if node is None:
        return 0.0, 0.0
    figures = info(node)
    return float(figures["hits_memory"]), float(figures["keyspace_hits"])


def _fast_turn(node: Contender, load: Load) -> Sample:
    hits, gets = _memory_hits(node)
    measured = sample(node, load)
    new_hits, new_gets = _memory_hits(node)
    return {**measured, "hit_percent": (new_hits - hits) / (new_gets - gets) * 100}


def _records(setup: Setup) -> float:
    """How many records are in memory."""
    if setup.node is None:
        return float(_redis(setup.ports[0], "DBSIZE"))
    return float(info(setup.node)["records"])


def _turn(setup: Setup, records: int, seconds: float, number: int) -> Sample:
    before = _memory_hits(setup.node)
    work = Work(records, GET_PERCENT, ZIPF, GREENLETS, seconds, seed=1 + number * PROCESSES)
    reports = run_applications(setup.kind, setup.ports, work, PROCESSES)
    after = _memory_hits(setup.node)
    hits, gets = sum(report["hits"] for report in reports), sum(report["gets"] for report in reports)
    if setup.node is not None:
        hits, gets = after[0] - before[0], after[1] - before[1]
    return {
        "records": _records(setup),
        **figures(reports),
        "hit_percent": hits / gets * 100,
    }


PART = Part(
    name="tiers",
    title="Ten times more data than memory",
    text=(
        f"{RECORDS:,} records in MariaDB, memory for a tenth of them, Zipf {ZIPF}, nine reads to one write. The usual "
        "way: Redis as a cache (`allkeys-lru`, `maxmemory` set to what it takes for as many records as ckv may hold) "
        "and code that reads the database on a miss, fills the cache, and writes to both. Both are called by the same "
        f"Python program: {PROCESSES} processes of {GREENLETS} greenlets. In each process these share a "
        "`ckv.Client`, which has one connection for all of them; beside it each greenlet has connections of its own, "
        "of redis-py with hiredis and of PyMySQL. So the price of that code is part of the figure, as it is for those "
        "who run "
        f"it. ckv has a `thread-pool-size` of {POOL_SIZE}. Mind what a write means: cache-aside and `through` have it "
        "on the disk when it is answered, `behind` and `evict` do not. The last row is ckv when a fast client calls "
        "it, 50 connections at depth 1."
    ),
    measure=measure,
    one_row_each=True,
    ratios=tuple((f"ckv, {mode}", ASIDE) for mode in MODES),
    columns=(
        Column("calls_per_second", "k/s", 1e-3),
        Column("hit_percent", "hit %", digits=0),
        Column("records", "k records", 1e-3),
        Column("p50_us", "p50 ms", 1e-3),
        Column("p99_us", "p99 ms", 1e-3),
    ),
    targets=tuple(
        Target(
            f"ten times more data than memory, {mode}, against cache-aside",
            lambda c: c.matches(client=PYTHON),
            f"ckv, {mode}",
            ASIDE,
            2.0,
            3.0,
        )
        for mode in ("evict", "through")
    ),
    plots=(Plot("tiers", "Calls a second with ten times more data than memory, by client", lambda c: True),),
)
