"""What a record looks like in the table, which both tiers have alike: name, columns, and a value as two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ckv.glob import prefix_end
from ckv.persistent import Loaded
from ckv.values import ENCODING, ENCODING_ERRORS, MAX_EXPIRES, Value, to_bytes, to_text

TABLE: Final = "CelonisData"
"""The table; its columns ``kv_key`` and ``kv_value`` are those of the original program."""

TYPE_STR: Final = 0
"""``kv_type`` of a msgpack str; the default of the column, so rows without a type are strings."""

TYPE_BIN: Final = 1
"""``kv_type`` of a msgpack bin."""

ROWS_PER_STATEMENT: Final = 500
"""The most rows or keys in one statement. Throughput is best about here, in both directions; MariaDB rewrites an
``IN`` of more than 1,000 values into a subquery, and older SQLite takes 999 parameters."""

TYPE_EXPIRES: Final = 2
"""Is added to ``kv_type`` where ``kv_expires`` counts: the milliseconds of the epoch from which on there is no record.

A version of ckv that knows no such column leaves it as it was, but writes the type: so what it writes over a record
that expires does not expire.
"""

KIND: Final = (
    f"CASE WHEN kv_type IN ({TYPE_STR + TYPE_EXPIRES}, {TYPE_BIN + TYPE_EXPIRES})"
    f" AND kv_expires BETWEEN 1 AND {MAX_EXPIRES} THEN kv_type + 4 * kv_expires ELSE kv_type % {TYPE_EXPIRES} END"
)
"""The SQL of type and expiry as one number, for each column more would be paid for by every row that is loaded."""

EXPIRES: Final = (
    f"CASE WHEN kv_type IN ({TYPE_STR + TYPE_EXPIRES}, {TYPE_BIN + TYPE_EXPIRES})"
    f" AND kv_expires BETWEEN 1 AND {MAX_EXPIRES} THEN kv_expires ELSE 0 END"
)
"""The SQL of when a row expires; 0 for never."""

FEW_ROWS: Final = 10_000
"""Rows up to which they are counted one by one."""

PURGE_AFTER_MS: Final = 60_000
"""Milliseconds after its end at which a row is purged: no clock of a node is behind by as much, or is told of it."""

PURGED: Final = f"kv_type IN ({TYPE_STR + TYPE_EXPIRES}, {TYPE_BIN + TYPE_EXPIRES}) AND kv_expires BETWEEN 1 AND {{}}"
"""The SQL that a row has expired by then."""

PROBE_KEY: Final = b"\xff ckv probe \xff"
"""``kv_key`` of the row that a probe writes and takes back."""

Row = tuple[bytes, bytes, int]
"""``kv_key``, ``kv_value``, and ``kv_type`` or, where it is read, :data:`KIND`."""

ExpiringRow = tuple[bytes, bytes, int, int | None]
"""The same with ``kv_expires``, which is None for a record without."""


def sorted_rows(records: Iterable[tuple[str, Value]]) -> list[Row]:
    """The records as rows, one per key (the last one given), in the order of the keys' bytes. Every session locks rows
    in this one order, so two batches that share keys wait for each other, but not in a circle."""
    # As to_bytes(), which is not called: this is done for every record that leaves memory.
    return sorted(
        [
            (key.encode(ENCODING, ENCODING_ERRORS), value.encode(ENCODING, ENCODING_ERRORS), TYPE_STR)
            if isinstance(value, str)
            else (key.encode(ENCODING, ENCODING_ERRORS), value, TYPE_BIN)
            for key, value in dict(records).items()
        ]
    )


def sorted_expiring_rows(records: Iterable[tuple[str, Value]], expires: Mapping[str, int]) -> list[ExpiringRow]:
    """The same where some of the records expire; ``expires`` has these, and may have others."""
    at = {to_bytes(key): when for key, when in expires.items()}
    return [
        (key, value, kind + TYPE_EXPIRES, at[key]) if key in at else (key, value, kind, None)
        for key, value, kind in sorted_rows(records)
    ]


def sorted_keys(keys: Iterable[str]) -> list[bytes]:
    """The keys as bytes, each once, in the order in which :func:`sorted_rows` has them."""
    return sorted({to_bytes(key) for key in keys})


def key_bounds(after: str | None, prefix: bytes) -> tuple[str, list[bytes]]:
    """The SQL of a walk along the keys, with ``{}`` in the place of each bound, and the bounds.

    >>> key_bounds("a", b"b"), key_bounds(None, b"")
    (('kv_key > {} AND kv_key >= {} AND kv_key < {}', [b'a', b'b', b'c']), ('1 = 1', []))
    """
    bounds = [("kv_key > {}", to_bytes(after))] if after is not None else []
    if prefix:
        bounds.append(("kv_key >= {}", prefix))
        if (end := prefix_end(prefix)) is not None:
            bounds.append(("kv_key < {}", end))
    return " AND ".join(where for where, _ in bounds) or "1 = 1", [bound for _, bound in bounds]


def loaded(rows: Iterable[Row]) -> Loaded:
    """What rows hold, those included whose time is over. One whose value was left where it is has the length below zero
    as its type."""
    found: dict[str, Value] = {}
    larger: dict[str, int] = {}
    expires: dict[str, int] = {}
    for key, value, kind in rows:
        if (number := int(kind)) < 0:
            larger[to_text(key)] = -number
            continue
        if number > TYPE_BIN:
            number, expires[to_text(key)] = number % TYPE_EXPIRES, number // 4
        found[to_text(key)] = value if number == TYPE_BIN else to_text(value)
    return Loaded(found, larger, expires)
