"""A private MariaDB with the memory of a server that has work to do, and what its rows cost without ckv."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pymysql

from bench.data import record
from bench.results import Sample
from bench.servers import Contender
from ckv import Client
from ckv.persistent.mysql.statements import INSERT_EXPIRING, UPSERT_EXPIRING
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.products import MariaDBProduct, make_template

OPTIONS: Final = (
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=512M",
    "--innodb-log-buffer-size=16M",
    "--max-connections=1000",
)
"""Besides what tests/support/products.py sets, which has innodb_flush_log_at_trx_commit=1: a commit is on the disk."""

PLAIN: Final = "plain"
"""The database of those who do without ckv. Its table is like ckv's own."""

BATCH: Final = 500
"""Rows of one statement, where many go into one: measured, MariaDB takes and gives most rows a second with it."""

SINGLE_ROWS: Final = 60_000
"""More than anybody can upsert one by one in a turn."""

DRAIN_TIMEOUT: Final = 120.0

FAR_AWAY: Final = 4_102_444_800_000
"""When records of a benchmark expire: 2100, in milliseconds of the epoch."""

_UPSERT = "INSERT INTO CelonisData (kv_key, kv_value, kv_type) VALUES "
_UPDATE = " ON DUPLICATE KEY UPDATE kv_value = VALUES(kv_value), kv_type = VALUES(kv_type)"
ONE_UPSERT: Final = _UPSERT + "(%s, %s, 0)" + _UPDATE
ONE_SELECT: Final = "SELECT kv_value FROM CelonisData WHERE kv_key = %s"


@contextmanager
def database() -> Iterator[MariaDB]:
    """A running server, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ckv-bench-") as folder:
        empty = Path(folder) / "server"
        empty.mkdir()
        server = MariaDB(empty, make_template(Path(folder), MariaDBProduct()), OPTIONS)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def info(contender: Contender) -> dict[str, Any]:
    """The figures of a ckv node."""
    with Client("127.0.0.1", contender.port) as client:
        figures = client.call("INFO")
    assert isinstance(figures, dict)
    return figures


def wait_saved(contender: Contender) -> None:
    """Wait until a secondary has written all that was on its way to the database."""
    eventually(
        lambda: info(contender)["pending_records"] == 0 and info(contender)["database_connected"] == 1,
        DRAIN_TIMEOUT,
        f"{contender.name} has saved everything",
    )


def make_plain(server: MariaDB, *, with_rows: bool = False) -> None:
    """An empty table like ckv's, which has to be there; ``with_rows`` copies what is in it."""
    server.query(f"DROP DATABASE IF EXISTS {PLAIN}")
    server.query(f"CREATE DATABASE {PLAIN}")
    server.query(f"CREATE TABLE {PLAIN}.CelonisData LIKE {DATABASE}.CelonisData")
    if with_rows:
        server.query(f"INSERT INTO {PLAIN}.CelonisData SELECT * FROM {DATABASE}.CelonisData")


def single_upserts(server: MariaDB, seconds: float) -> Sample:
    """New rows, one statement and one commit each, over one connection."""
    rows = _records(SINGLE_ROWS)
    with server.connect(PLAIN) as connection, connection.cursor() as cursor:
        return _rate(seconds, lambda number: cursor.execute(ONE_UPSERT, rows[number]), 1, len(rows))


@lru_cache(maxsize=1)
def _records(count: int) -> list[tuple[str, str]]:
    return [record(number) for number in range(count)]


def bulk_upserts(server: MariaDB, seconds: float, most: int, *, expiring: bool = False) -> Sample:
    """New rows, 500 to a statement and a commit. The statements are made beforehand, sorted, as literals: no way of
    writing rows through PyMySQL is faster. It ends after ``most`` rows if the time is not up before. ``expiring``: they
    say when their row expires.
    """
    statements = _bulk_statements(most, expiring)
    with server.connect(PLAIN) as connection:
        return _rate(seconds, lambda number: connection.query(statements[number]), BATCH, len(statements))


@lru_cache(maxsize=2)
def _bulk_statements(most: int, expiring: bool) -> list[bytes]:
    insert, update, more = (INSERT_EXPIRING, UPSERT_EXPIRING, f",{FAR_AWAY}") if expiring else (_UPSERT, _UPDATE, "")
    statements = []
    for start in range(0, most, BATCH):
        rows = sorted(record(number) for number in range(start, start + BATCH))
        literals = (f"('{key}','{value}',0{more})" for key, value in rows)
        statements.append((insert + ",".join(literals) + update).encode())
    return statements


def single_reads(server: MariaDB, seconds: float, numbers: Sequence[int]) -> Sample:
    """Point reads, one at a time over one connection, each verified."""
    rows = [(key, ((value.encode(),),)) for key, value in map(record, numbers)]
    with server.connect(PLAIN) as connection, connection.cursor() as cursor:

        def read(number: int) -> None:
            key, wanted = rows[number % len(rows)]
            cursor.execute(ONE_SELECT, (key,))
            _check(cursor.fetchall() == wanted, key)

        return _rate(seconds, read, 1)


def bulk_reads(server: MariaDB, seconds: float, numbers: Sequence[int]) -> Sample:
    """Point reads, 500 keys to a statement, each verified."""
    batches = [
        dict(record(number) for number in numbers[start : start + BATCH])
        for start in range(0, len(numbers) - BATCH + 1, BATCH)
    ]
    statements = [
        "SELECT kv_key, kv_value FROM CelonisData WHERE kv_key IN (" + ",".join(f"'{key}'" for key in batch) + ")"
        for batch in batches
    ]
    wanted = [{key.encode(): value.encode() for key, value in batch.items()} for batch in batches]
    with server.connect(PLAIN) as connection, connection.cursor() as cursor:

        def read(number: int) -> None:
            at = number % len(batches)
            cursor.execute(statements[at])
            _check(dict(cursor.fetchall()) == wanted[at], "a batch")

        return _rate(seconds, read, BATCH)


def _check(right: bool, what: str) -> None:
    if not right:
        raise pymysql.DataError(f"the database answered wrongly about {what}")


def _rate(seconds: float, step: Callable[[int], object], rows: int, most: int | None = None) -> Sample:
    started = time.perf_counter()
    steps = 0
    while time.perf_counter() - started < seconds and steps != most:
        step(steps)
        steps += 1
    return {"rows_per_second": steps * rows / (time.perf_counter() - started)}
