"""Records that expire beside others: their GETs, and the rows of a table that has a column for it."""

from __future__ import annotations

from dataclasses import replace

from bench.data import record
from bench.database import FAR_AWAY, PLAIN, bulk_upserts, database, make_plain
from bench.generator import Load
from bench.part import CPU, THOUSAND_CALLS, Context, Part, Target
from bench.results import Cell, Sample
from bench.servers import Contender, Servers
from bench.turns import in_turn, prefill
from ckv import Client
from tests.support.mariadb import MariaDB

EXPIRING, OTHERS = "expiring", "others"
"""The contenders of the GETs: nodes whose records all expire, but not yet, and nodes whose records never do."""

BEFORE, UNUSED, USED = "no column", "column unused", "column used"
"""Those of the rows: a table without ``kv_expires``, one where it stays NULL, and one where each row has it."""

DEPTHS = (1, 16)
MUST_OF_GETS = 0.9
MUST_OF_ROWS = 0.85
MOST_ROWS, QUICK_ROWS = 400_000, 50_000
SECONDS_TIMES = 3.0
"""Rows are counted for this many times the usual length of a turn."""


def measure(context: Context) -> list[Cell]:
    """The GETs in both protocols, then the rows."""
    return [*_gets(context), _rows(context)]


def _gets(context: Context) -> list[Cell]:
    cells = []
    for protocol in ("msgpack", "resp"):
        loads = [Load(depth=depth, seconds=context.seconds) for depth in DEPTHS]
        settings = [(Cell({"what": "GET", "protocol": protocol, "depth": load.depth}), load) for load in loads]
        with Servers() as servers:
            contenders = [servers.secondary(name) for name in (EXPIRING, OTHERS)]
            prefill(contenders, loads[0])
            _have_expire(contenders[0], loads[0].keys)
            contenders = [replace(contender, protocol=protocol) for contender in contenders]
            in_turn(context, settings, contenders, context.rounds, f"expiring, {protocol}")
        cells += [cell for cell, _ in settings]
    return cells


def _have_expire(node: Contender, keys: int) -> None:
    """Puts all records of a load once more, with an end."""
    with Client("127.0.0.1", node.port) as client:
        for start in range(0, keys, 1000):
            with client.pipeline() as batch:
                for number in range(start, min(keys, start + 1000)):
                    batch.call("PUTEX", *record(number), FAR_AWAY)


def _rows(context: Context) -> Cell:
    cell = Cell({"what": "rows in bulk", "protocol": "SQL", "depth": 1})
    with database() as server, Servers() as servers:
        servers.secondary(persistent=server.address)  # which makes the table
        for number in range(context.rounds):
            context.say(f"expiring, rows: round {number + 1} of {context.rounds}")
            for name in (BEFORE, UNUSED, USED) if number % 2 == 0 else (USED, UNUSED, BEFORE):
                cell.add(name, _written(server, name, context))
    return cell


def _written(server: MariaDB, name: str, context: Context) -> Sample:
    make_plain(server)
    if name == BEFORE:
        server.query(f"ALTER TABLE {PLAIN}.CelonisData DROP COLUMN kv_expires")
    most = QUICK_ROWS if context.quick else MOST_ROWS
    written = bulk_upserts(server, context.seconds * SECONDS_TIMES, most, expiring=name == USED)
    return {"calls_per_second": written["rows_per_second"]}


def _is_get(cell: Cell) -> bool:
    return cell.matches(what="GET")


PART = Part(
    name="expiring",
    title="Records that expire",
    text=(
        "GETs of a secondary whose 100,000 records all expire one day, beside one whose records do not. And rows a "
        "second that MariaDB takes in bulk, in thousands: into a table as it was before there was a column for the "
        "expiry, with that column, and where every row has one."
    ),
    measure=measure,
    columns=(THOUSAND_CALLS, CPU),
    ratios=((EXPIRING, OTHERS), (UNUSED, BEFORE), (USED, BEFORE)),
    targets=(
        Target("a GET of what expires against others", _is_get, EXPIRING, OTHERS, MUST_OF_GETS, 1.0),
        *(
            Target(f"rows, {name}", lambda c: not _is_get(c), name, BEFORE, MUST_OF_ROWS, 1.0)
            for name in (UNUSED, USED)
        ),
    ),
)
