"""Every GET misses memory and is answered from MariaDB."""

from __future__ import annotations

import random
from dataclasses import replace

from bench.database import bulk_reads, database, make_plain, single_reads, wait_saved
from bench.generator import Load, run
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell
from bench.servers import Servers
from bench.turns import sample

POOL_SIZES = (1, 4)
JUDGED_POOL, JUDGED_DEPTH = 4, 16
"""On which the target is set: the pool that docs/configuration.md tells to set where the database is the bound."""
CAPACITY = 1000
KEYS, QUICK_KEYS = 300_000, 30_000
SECONDS_TIMES = 2.0
READ_NUMBERS = 50_000
"""Random keys that the plain statements read, over and over."""
SINGLE, BULK = "single point reads", "IN of 500"


def measure(context: Context) -> list[Cell]:
    """All pools over one table."""
    keys = QUICK_KEYS if context.quick else KEYS
    seconds = context.seconds * SECONDS_TIMES
    cells = [
        Cell({"connections": connections, "depth": depth, "pool": pool})
        for pool in POOL_SIZES
        for connections, depth in ((1, 1), (50, 1), (50, JUDGED_DEPTH), (500, 1))
    ]
    with database() as server, Servers() as servers:
        nodes = {
            pool: servers.secondary(persistent=server.address, capacity=CAPACITY, pool_size=pool) for pool in POOL_SIZES
        }
        first = nodes[POOL_SIZES[0]]
        run(Load(keys=keys).prefill(), first.protocol, first.port)
        # Reads push what was put last out of memory, so that all nodes find all rows.
        run(Load(keys=keys, calls=4 * CAPACITY, sequential=True), first.protocol, first.port)
        wait_saved(first)
        make_plain(server, with_rows=True)
        for number in range(context.rounds):
            context.say(f"miss: round {number + 1} of {context.rounds}")
            numbers = random.Random(number).choices(range(keys), k=min(READ_NUMBERS, keys // 2))
            single, bulk = single_reads(server, seconds, numbers), bulk_reads(server, seconds, numbers)
            for cell in cells:
                load = Load(
                    keys=keys,
                    connections=int(cell.axes["connections"]),
                    depth=int(cell.axes["depth"]),
                    seed=number + 1,
                )
                measured = sample(nodes[int(cell.axes["pool"])], replace(load, seconds=seconds))
                cell.add("ckv", {**measured, "rows_per_second": measured["calls_per_second"]})
                cell.add(SINGLE, single)
                cell.add(BULK, bulk)
    return cells


PART = Part(
    name="miss",
    title="Every GET misses",
    text=(
        f"A secondary with room for {CAPACITY:,} records answers GETs of uniformly chosen keys; "
        "nearly all of them are in MariaDB alone. *Pool* is `thread-pool-size`. Beside it: point reads by "
        "PyMySQL over one connection, one key to a statement and 500 to a statement."
    ),
    measure=measure,
    ratios=(("ckv", SINGLE), ("ckv", BULK)),
    ratio_figure="rows_per_second",
    columns=(Column("rows_per_second", "k/s", 1e-3), Column("p99_us", "p99 ms", 1e-3)),
    targets=(
        Target(
            "miss-bound GET against single point reads",
            lambda c: c.matches(connections=50, depth=JUDGED_DEPTH, pool=JUDGED_POOL),
            "ckv",
            SINGLE,
            4.0,
            10.0,
            figure="rows_per_second",
        ),
    ),
    plots=(
        Plot(
            "miss",
            "Records that are read from MariaDB when every GET misses",
            lambda c: True,
            column=Column("rows_per_second", "k/s", 1e-3),
            axis="thousand records a second",
        ),
    ),
)
