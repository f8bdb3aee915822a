"""The purge in MySQL: which rows have expired, and that one session at a time looks for them."""

from __future__ import annotations

from typing import Final

from ckv.persistent.mysql.clock import NOW_MICROS
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.schema import lock_name
from ckv.persistent.mysql.statements import literal
from ckv.persistent.rows import PURGE_AFTER_MS, PURGED, TABLE

_STATEMENTS_LOGGED: Final = 1665  # the binary log has statements, which need REPEATABLE READ


def take_lock(connection: Connection) -> bool:
    """Takes the lock that one connection at a time has, until its end; whether it was free, or ours already."""
    ((name,),) = connection.run("SELECT DATABASE()")
    return connection.run(f"SELECT GET_LOCK('{lock_name(name)}.purge', 0)") == ((b"1",),)


def purge(connection: Connection, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
    """See :meth:`ckv.persistent.Session.purge`. Raises StatementFailed."""
    behind = f"kv_key > {literal(after)}" if after is not None else "TRUE"
    page = f"SELECT kv_key, kv_type, kv_expires FROM {TABLE} WHERE {behind} ORDER BY kv_key LIMIT {count}"
    limit = f"LEAST({now_ms}, {NOW_MICROS} DIV 1000) - {PURGE_AFTER_MS}"
    # Locks nothing, and where nothing has expired it is all that is done.
    ((last, rows, expired, before),) = connection.run(
        f"{connection.before_select}SELECT MAX(kv_key), COUNT(*), SUM({PURGED.format('before_ms')}), MAX(before_ms)"
        f" FROM ({page}) AS page, (SELECT {limit} AS before_ms) AS clocks"
    )
    deleted = 0
    if int(rows) and int(expired):
        deleted = _delete(connection, f"{behind} AND kv_key <= {literal(last)} AND {PURGED.format(int(before))}")
    return (last if int(rows) == count else None), deleted


def _delete(connection: Connection, which: str) -> int:
    """One statement, which commits by itself: should it come late, it still deletes only what has expired."""
    delete = f"DELETE FROM {TABLE} WHERE {which}"
    try:
        # Keeps no lock of a row that it does not delete, nor of the gaps between them.
        connection.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", delete)
    except StatementFailed as error:
        if error.code != _STATEMENTS_LOGGED:
            raise
        connection.run(delete)
    return int(connection.run("SELECT ROW_COUNT()")[0][0])
