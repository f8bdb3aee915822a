"""What it costs a write that the database checks whose name a node has, beside the same write without that."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

from bench.data import record
from bench.database import BATCH, database
from bench.part import Column, Context, Part, Target
from bench.results import Cell, Sample
from ckv.persistent.mysql.tier import MySQLTier
from ckv.persistent.opening import open_tier
from tests.support.mariadb import MariaDB
from tests.support.products import PASSWORD, USER

FENCED, PLAIN = "with the fence", "without"
ROWS = (BATCH, 20, 1)
"""Of one transaction: a full one, a small one, and that of a writer in the mode ``through`` who waits for each."""
MUST = {BATCH: (0.92, 0.97), 1: (0.8, 0.9)}
"""And what would be good."""
TURN_TIMES = 0.25
ROUNDS_TIMES = 8
KEYS = 100_000


def measure(context: Context) -> list[Cell]:
    """Two sessions of one process take turns with the same rows, again and again."""
    cells = [Cell({"rows": rows}) for rows in ROWS]
    with database() as server:
        guarded, plain = _tier(server), _tier(server)
        fence = guarded.fence("bench:1", "bench")
        if fence.claim() is not None:
            raise AssertionError("somebody else has the name")
        with closing(fence), closing(_Way(guarded)) as one, closing(_Way(plain)) as other:
            ways = ((FENCED, one), (PLAIN, other))
            for number in range(ROUNDS_TIMES * context.rounds):
                if number % ROUNDS_TIMES == 0:
                    context.say(f"fence: round {number // ROUNDS_TIMES + 1} of {context.rounds}")
                for cell, rows in zip(cells, ROWS, strict=True):
                    for name, way in ways if number % 2 == 0 else ways[::-1]:
                        cell.add(name, way.turn(rows, context.seconds * TURN_TIMES))
    return cells


def _tier(server: MariaDB) -> MySQLTier:
    tier = open_tier(f"mysql://{USER}:{PASSWORD}@{server.address}", environ={})
    assert isinstance(tier, MySQLTier)
    return tier


class _Way:
    """One session, and where it is among the keys."""

    def __init__(self, tier: MySQLTier) -> None:
        self._session = tier.connect()
        self._next = self._saved = 0
        self._records = [record(number) for number in range(KEYS)]

    def close(self) -> None:
        self._session.close()

    def turn(self, rows: int, seconds: float) -> Sample:
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            # Others each time: a row that is as it was costs the database hardly anything.
            self._saved += 1
            some = self._records[self._next : self._next + rows]
            self._session.save_many([(key, f"{self._saved:08}{value[8:]}") for key, value in some])
            self._next = (self._next + rows) % (KEYS - BATCH)
            done += rows
        return {"rows_per_second": done / (time.perf_counter() - began)}


def _of(rows: int) -> Callable[[Cell], bool]:
    return lambda cell: cell.matches(rows=rows)


PART = Part(
    name="fence",
    title="The fence",
    text=(
        "Rows a second that one session of ckv writes into MariaDB, so many in a transaction, which fails if the name "
        "of the node has gone to another process; beside the same without that condition. Turns are short and many, "
        "one right after the other."
    ),
    measure=measure,
    columns=(Column("rows_per_second", "k rows/s", 1e-3),),
    ratios=((FENCED, PLAIN),),
    ratio_figure="rows_per_second",
    targets=tuple(
        Target(f"what the fence leaves of {rows} rows at once", _of(rows), FENCED, PLAIN, *bounds, "rows_per_second")
        for rows, bounds in MUST.items()
    ),
)
