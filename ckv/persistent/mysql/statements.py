"""The statements of the tier in MySQL. Values travel as hexadecimal literals (``X'6b6579'``): any bytes, in any
``sql_mode`` and character set, and built faster than PyMySQL builds statements with parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ckv import core
from ckv.errors import RowsRefused
from ckv.persistent.rows import (
    EXPIRES,
    FEW_ROWS,
    KIND,
    ROWS_PER_STATEMENT,
    TABLE,
    key_bounds,
    sorted_expiring_rows,
    sorted_rows,
)
from ckv.values import MAX_EXPIRES, MAX_KEY_BYTES, Value

PROBE: Final = f"SELECT kv_key, kv_value, {KIND} FROM {TABLE} LIMIT 0"
SELECT: Final = f"SELECT kv_key, kv_value, {KIND} FROM {TABLE} WHERE kv_key IN ("
# A node that is killed may leave a COMMIT behind that a stalled server carries out later. The row is locked until then:
# a plain read would see what was there before, and the node that was started again would take it for the truth.
LOCKING: Final = ") LOCK IN SHARE MODE"
# Not so long a wait for one row, as long as there are others to answer. MariaDB knows a wait of 0 s (and with NOWAIT
# would not wait for the table either); MySQL 8 has NOWAIT for rows alone, and before it 1 s is the least.
NOT_WAITING: Final = ") FOR SHARE NOWAIT"
LOCK_NOWAIT: Final = 3572  # PyMySQL has no name for it
# By the index, key by key: the server may find it cheaper to read a whole small table, and would then lock, and wait
# for, rows that nobody asked for.
BY_KEY: Final = f"FROM {TABLE} FORCE INDEX (PRIMARY) WHERE kv_key IN ("
DELETE: Final = f"DELETE FROM {TABLE} WHERE kv_key IN ("
INSERT: Final = f"INSERT INTO {TABLE} (kv_key, kv_value, kv_type) VALUES "
# VALUES() rather than MySQL 8's row alias, which MySQL 5.7 and MariaDB do not know.
UPSERT: Final = " ON DUPLICATE KEY UPDATE kv_value = VALUES(kv_value), kv_type = VALUES(kv_type)"
# These name the column that they need, and the others do not: where nothing expires it costs nothing.
INSERT_EXPIRING: Final = f"INSERT INTO {TABLE} (kv_key, kv_value, kv_type, kv_expires) VALUES "
UPSERT_EXPIRING: Final = f"{UPSERT}, kv_expires = VALUES(kv_expires)"

COUNT_FEW: Final = f"SELECT COUNT(*) FROM (SELECT 1 FROM {TABLE} LIMIT {FEW_ROWS + 1}) AS some"
ROWS_BY_STATISTICS: Final = (
    f"SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{TABLE}'"
)


def longest_row(value_bytes: int) -> int:
    """The bytes of a statement that writes one row with the longest key and a value of so many bytes."""
    row = f"(X'',X'',0,{MAX_EXPIRES})"
    return len(INSERT_EXPIRING) + len(UPSERT_EXPIRING) + len(row) + 2 * (MAX_KEY_BYTES + value_bytes)


def literal(data: bytes) -> str:
    """The bytes as they stand in a statement."""
    return f"X'{data.hex()}'"


def next_keys(after: str | None, count: int, prefix: bytes) -> str:
    """The statement of a walk along the keys, in the order of the index. A plain read: it asks for no lock."""
    where, bounds = key_bounds(after, prefix)
    within = where.format(*map(literal, bounds))
    return f"SELECT kv_key, {EXPIRES} FROM {TABLE} FORCE INDEX (PRIMARY) WHERE {within} ORDER BY kv_key LIMIT {count}"


def statements(head: str, items: Sequence[str], tail: str, max_bytes: int) -> list[str]:
    """The items, with commas between them, in as few statements as their bounds allow. No item is too large for one."""
    if 0 < len(items) <= ROWS_PER_STATEMENT and len(statement := head + ",".join(items) + tail) <= max_bytes:
        return [statement]
    batches: list[list[str]] = []
    size = 0
    for item in items:
        size += len(item) + 1
        if not batches or len(head) + size + len(tail) > max_bytes or len(batches[-1]) == ROWS_PER_STATEMENT:
            batches.append([])
            size = len(item) + 1
        batches[-1].append(item)
    return [head + ",".join(batch) + tail for batch in batches]


def literals_in_python(rows: Sequence[tuple[str, Value]], expires: Mapping[str, int]) -> str:
    """The rows as they stand in a statement, with commas between them, one per key, in the order of the keys' bytes.
    With ``expires``, which has those that do, each says when it expires, or that it does not."""
    return ",".join(_each(rows, expires))


if core.COMPILED:
    from ckv.core.literals import literals as literals
else:
    literals = literals_in_python


def _each(rows: Sequence[tuple[str, Value]], expires: Mapping[str, int]) -> list[str]:
    if not expires:
        return [f"(X'{key.hex()}',X'{value.hex()}',{kind})" for key, value, kind in sorted_rows(rows)]
    return [
        f"(X'{key.hex()}',X'{value.hex()}',{kind},{when or 'NULL'})"
        for key, value, kind, when in sorted_expiring_rows(rows, expires)
    ]


def upserts(rows: Sequence[tuple[str, Value]], expires: Mapping[str, int], max_bytes: int) -> list[str]:
    """The statements that write the rows. Raises RowsRefused for one that is too long for any."""
    # One form for all of them, as the rows of a transaction have one order.
    insert, upsert = (INSERT_EXPIRING, UPSERT_EXPIRING) if expires else (INSERT, UPSERT)
    if 0 < len(rows) <= ROWS_PER_STATEMENT:
        statement = f"{insert}{literals(rows, expires)}{upsert}"
        if len(statement) <= max_bytes:
            return [statement]
    room = max_bytes - len(insert) - len(upsert)
    tuples = _each(rows, expires)
    longest = max(map(len, tuples), default=0)
    if longest > room:
        # Not left to the server, which closes the connection over such a statement.
        key, value, _ = sorted_rows(rows)[list(map(len, tuples)).index(longest)]
        raise RowsRefused(
            f"max_allowed_packet of the server leaves {room} bytes for a row, and the one with a key of"
            f" {len(key)} and a value of {len(value)} bytes takes {longest}"
        )
    return statements(insert, tuples, upsert, max_bytes)
