"""How a batch is written: which statements, and what is done about rows that the persistent tier does not take."""

from __future__ import annotations

from collections.abc import Sequence

from ckv.errors import CkvError, RowsRefused
from ckv.persistent import Session
from ckv.store.pending import TOMBSTONE, Write
from ckv.values import Value


def write_batch(session: Session, batch: Sequence[Write]) -> dict[str, CkvError]:
    """Writes the rows of a batch and deletes its tombstones; returns the rows that the tier refuses, by key."""
    tombstones = [write.key for write in batch if write.value is TOMBSTONE]
    if tombstones:
        session.delete_many(tombstones)
    rows = [(write.key, write.value) for write in batch if write.value is not TOMBSTONE]
    return _save(session, rows) if rows else {}


def _save(session: Session, rows: Sequence[tuple[str, Value]]) -> dict[str, CkvError]:
    """Saves the rows, by halves when the tier refuses some of them, so that one bad row blocks no other (I5)."""
    try:
        session.save_many(rows)
    except RowsRefused as error:
        if len(rows) == 1:
            return {rows[0][0]: error}
        middle = len(rows) // 2
        return _save(session, rows[:middle]) | _save(session, rows[middle:])
    return {}
