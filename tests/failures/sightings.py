"""A look into the database's table, ten times a second: what stands there must not be lost by any crash."""

from __future__ import annotations

import threading
import time
from typing import Final

import pymysql

from ckv.persistent.rows import loaded
from ckv.values import Value
from tests.failures.linearizability import Call, Kind
from tests.support.mariadb import DATABASE, MariaDB

EVERY: Final = 0.1
"""Seconds between two looks."""


def table(mariadb: MariaDB) -> dict[str, Value]:
    """Every record in the table, with its type."""
    rows = mariadb.query(f"SELECT kv_key, kv_value, kv_type FROM {DATABASE}.CelonisData")
    return loaded(rows).found


class Sightings:
    """Looks until it is stopped, and writes down what has changed for each key."""

    def __init__(self, mariadb: MariaDB) -> None:
        self.calls: list[Call] = []
        self._mariadb = mariadb
        self._last: dict[str, Value] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            begin = time.monotonic()
            try:
                rows = table(self._mariadb)
            except (pymysql.MySQLError, OSError):
                continue  # the server is away, or the table is not there yet
            end = time.monotonic()
            for key in rows.keys() | self._last.keys():
                # Only what differs from the last time says anything new: a table never goes back.
                if rows.get(key) != self._last.get(key):
                    self.calls.append(Call(key, Kind.SEEN, begin, end, answer=rows.get(key)))
            self._last = rows
