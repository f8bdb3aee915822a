"""A database that refuses some rows."""

from __future__ import annotations

from tests.support.mariadb import MariaDB


def accept_up_to(mariadb: MariaDB, length: int) -> None:
    """From now on the table takes values of so many bytes at most."""
    # A check, for a column of another type would be put right by the next connection.
    mariadb.query(
        "ALTER TABLE CelonisData DROP CONSTRAINT IF EXISTS fits,"
        f" ADD CONSTRAINT fits CHECK (LENGTH(kv_value) <= {length})",
        database="celonis",
    )
