"""Every PUT evicts a record into MariaDB."""

from __future__ import annotations

from dataclasses import replace

from bench.database import bulk_upserts, database, info, make_plain, single_upserts, wait_saved
from bench.generator import Load, run
from bench.part import Column, Context, Part, Plot, Target
from bench.results import Cell, Sample
from bench.servers import Contender, Servers
from tests.support.mariadb import MariaDB

MODES = ("evict", "behind", "through")
POOL_SIZES = (1, 2, 4)
JUDGED_POOL = 4
"""On which targets are set: what docs/configuration.md tells to set where the database is the bound."""
DEPTHS = (1, 16)
CAPACITY = 1000
PENDING_MAX = 20_000
"""Small beside the number of rows, so that PUTs go as fast as the database takes rows, and not into a long queue."""
WARM_UP = 3 * CAPACITY
SECONDS_TIMES = 3.0
"""Rows are counted for this many times the usual length of a turn."""
MOST_ROWS, QUICK_ROWS = 400_000, 50_000
SINGLE, BULK = "single-row upserts", "bulk upserts"


def measure(context: Context) -> list[Cell]:
    """Each mode with each pool; the plain statements have their turn in every round."""
    cells = [
        Cell({"mode": mode, "pool": pool, "depth": depth})
        for mode in MODES
        for pool in POOL_SIZES
        for depth in DEPTHS
        if context.full or depth in _depths(mode)
    ]
    seconds = context.seconds * SECONDS_TIMES
    rounds = context.side_rounds
    with database() as server:
        for number in range(rounds):
            for mode in MODES:
                context.say(f"evict, {mode}: round {number + 1} of {rounds}")
                chosen = [cell for cell in cells if cell.matches(mode=mode)]
                for cell in chosen:
                    server.empty()
                    cell.add("ckv", _ckv(server, cell, seconds))
                # Once for all pools, right behind them.
                for name, sample in _plain(server, seconds, QUICK_ROWS if context.quick else MOST_ROWS).items():
                    for cell in chosen:
                        cell.add(name, sample)
    return cells


def _depths(mode: str) -> tuple[int, ...]:
    """``through`` is asked about at depth 1 too: there a PUT waits for the database, and the next one for it."""
    return DEPTHS if mode == "through" else (16,)


def _ckv(server: MariaDB, cell: Cell, seconds: float) -> Sample:
    options = [f"--write-mode={cell.axes['mode']}", f"--pending-max={PENDING_MAX}", "--pending-wait=30s"]
    pool = int(cell.axes["pool"])
    load = Load(op="put", sequential=True, depth=int(cell.axes["depth"]), keys=1 << 31, seconds=seconds)
    with Servers() as servers:
        node = servers.secondary(persistent=server.address, capacity=CAPACITY, pool_size=pool, options=options)
        run(replace(load, calls=WARM_UP), node.protocol, node.port)
        wait_saved(node)
        return _rows(node, replace(load, first_key=WARM_UP))


def _rows(node: Contender, load: Load) -> Sample:
    """What the database had committed by the end of the load, not what ckv had accepted."""
    before = info(node)["flushed_rows"]
    report = run(load, node.protocol, node.port)
    rows = info(node)["flushed_rows"] - before
    return {
        "rows_per_second": rows / report["seconds"],
        "calls_per_second": report["calls_per_second"],
        "p99_us": report["p99_us"],
        "worst_us": report["worst_us"],
    }


def _plain(server: MariaDB, seconds: float, most: int) -> dict[str, Sample]:
    make_plain(server)
    single = single_upserts(server, seconds)
    make_plain(server)
    return {SINGLE: single, BULK: bulk_upserts(server, seconds, most)}


PART = Part(
    name="evict",
    title="Every PUT evicts",
    text=(
        f"A secondary with room for {CAPACITY:,} records is given new ones only, from 50 connections, so each PUT "
        "moves one to MariaDB (`innodb_flush_log_at_trx_commit=1`: a commit is on the disk). Counted are rows that "
        f"were committed by the end of the load; at most {PENDING_MAX:,} may wait. *Pool* is `thread-pool-size`. "
        "Beside it, by PyMySQL over one connection into a table like ckv's: single-row upserts in auto-commit mode, "
        "and upserts of 500 rows prepared as literals. Nothing that PyMySQL can do is faster than the latter, and it "
        "has the machine to itself, while ckv's figure includes taking the requests."
    ),
    measure=measure,
    ratios=(("ckv", SINGLE), ("ckv", BULK)),
    ratio_figure="rows_per_second",
    columns=(
        Column("rows_per_second", "k rows/s", 1e-3),
        Column("p99_us", "p99 ms", 1e-3),
    ),
    targets=(
        Target(
            "eviction-bound PUT against single-row upserts",
            lambda c: c.matches(mode="evict", depth=16, pool=JUDGED_POOL),
            "ckv",
            SINGLE,
            15.0,
            15.0,
            figure="rows_per_second",
        ),
        Target(
            "eviction-bound PUT against the bulk limit",
            lambda c: c.matches(mode="evict", depth=16, pool=JUDGED_POOL),
            "ckv",
            BULK,
            0.8,
            0.9,
            figure="rows_per_second",
        ),
        Target(
            "PUT in the mode through against single-row upserts",
            lambda c: c.matches(mode="through", depth=16, pool=JUDGED_POOL),
            "ckv",
            SINGLE,
            8.0,
            15.0,
            figure="rows_per_second",
        ),
    ),
    plots=(
        Plot(
            "evict",
            "Rows that are committed to MariaDB when every PUT evicts",
            lambda c: True,
            column=Column("rows_per_second", "k rows/s", 1e-3),
            axis="thousand rows a second",
        ),
    ),
)
