"""What the persistent tier has still to learn: values and tombstones on their way, one row per key.

A row that is added again before it was written takes the new value and keeps its place (it is *coalesced*). A batch
takes a snapshot of its rows; a row leaves only when the snapshot was committed and nothing was added meanwhile
(invariant I3), and until then it is in no second batch, so that per key the writes reach the persistent tier in the
order in which they were accepted (I4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, KeysView, Sequence
from sys import getsizeof
from typing import Final, NamedTuple

from ckv.errors import CkvError
from ckv.values import Value

TOMBSTONE: Final = None
"""The value of a row whose key was deleted."""

ROW_OVERHEAD_BYTES: Final = 200
"""What a row takes besides its key and value: its object, a place in the dict and one in the queue."""


class Row:
    """One key's latest write."""

    __slots__ = ("flushing", "held", "queued", "refused", "since", "size", "taken", "value", "version")

    def __init__(self, value: Value | None, since: float, size: int) -> None:
        self.value = value
        self.size = size
        """Bytes of memory that it takes, with its key and value."""
        self.version = 0
        """Counts the writes that were coalesced into this row."""
        self.taken = -1
        """The version of the last snapshot; -1 without one that counts."""
        self.since = since
        """When the oldest write was accepted that no snapshot has."""
        self.queued = False
        """Waits in the queue for a batch."""
        self.flushing = False
        """A snapshot of it is in a batch that is under way."""
        self.held = False
        """Must not be written yet; see :meth:`Pending.hold`."""
        self.refused: CkvError | None = None
        """Parked: the persistent tier refused this value. It stays readable, and is tried again when it changes."""


class Write(NamedTuple):
    """A snapshot of a row in a batch."""

    key: str
    value: Value | None
    version: int


class Pending:
    """The rows that wait, bounded in records and bytes."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        """``max_bytes`` counts the memory that keys, values and rows take, not their bytes on the wire."""
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._rows: dict[str, Row] = {}
        self._queue: deque[str] = deque()
        self._flushing = 0
        self._parked = 0
        self.bytes = 0
        self.full = False
        """Whether the bound is reached: the store then adds nothing of its own accord."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        return iter(self._rows.items())

    def keys(self) -> KeysView[str]:
        """The keys of all rows."""
        return self._rows.keys()

    @property
    def queued(self) -> int:
        """Rows that a batch could take now."""
        return len(self._queue)

    @property
    def parked(self) -> int:
        """Rows that the persistent tier refused."""
        return self._parked

    def find(self, key: str) -> Row | None:
        """The row of a key."""
        return self._rows.get(key)

    @property
    def oldest(self) -> float | None:
        """When the first row in the queue came; None when the queue is empty."""
        return self._rows[self._queue[0]].since if self._queue else None

    @property
    def waiting_since(self) -> float | None:
        """When the oldest write was accepted that is on its way or waits for it; None when there is none.

        Unlike :attr:`oldest` it counts the rows in flight, which a hanging database has for long; a parked one waits
        for nothing.
        """
        since: float | None = None
        for row in self._rows.values():
            if row.refused is None:
                since = row.since if since is None else min(since, row.since)
                if row.taken < 0:
                    # It was never in a batch, so it waits since it was added; those behind it were added later.
                    break
        return since

    def add(self, key: str, value: Value | None, now: float) -> int:
        """Notes the latest write of a key; returns the version of its row.

        It is never refused: whoever calls has looked at :attr:`full`.
        """
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(value, now, _size(key, value))
            self.bytes += row.size
        else:
            size = _size(key, value)
            self.bytes += size - row.size
            row.size = size
            if row.version == row.taken:
                row.since = now
            row.value = value
            row.version += 1
            if row.refused is not None:
                row.refused = None
                self._parked -= 1
        self._enqueue(key, row)
        self._measure()
        return row.version

    def hold(self, key: str, now: float) -> int:
        """Notes a tombstone for a key without a row, and keeps the key out of every batch until :meth:`release`.

        A DEL of a key that only the persistent tier may have takes effect at once, but its answer needs to know
        whether there was a row. It must stay there until it has been looked for, whatever is written to the key
        meanwhile: otherwise the search would find our own later write.
        """
        row = self._rows[key] = Row(TOMBSTONE, now, _size(key, TOMBSTONE))
        row.held = True
        self.bytes += row.size
        self._measure()
        return row.version

    def release(self, key: str, *, absent: bool) -> bool:
        """Ends a hold. With ``absent`` there is nothing to delete: returns whether the tombstone was dropped for it."""
        row = self._rows[key]
        row.held = False
        if absent and row.value is TOMBSTONE:
            self._drop(key, row)
            return True
        self._enqueue_first(key, row)
        return False

    def take(self, max_records: int, max_bytes: int) -> list[Write]:
        """A batch of the oldest rows that are free to go; empty when there are none.

        At least one row, however large it is.
        """
        batch: list[Write] = []
        size = 0
        while self._queue and len(batch) < max_records and size < max_bytes:
            key = self._queue.popleft()
            row = self._rows[key]
            row.queued = False
            row.flushing = True
            row.taken = row.version
            size += row.size
            batch.append(Write(key, row.value, row.version))
        self._flushing += len(batch)
        return batch

    def committed(self, batch: Sequence[Write]) -> list[Write]:
        """The batch was committed; returns the writes that were still the latest, whose rows have left."""
        latest: list[Write] = []
        for write in batch:
            row = self._landed(write.key)
            if row.version == write.version:
                self._drop(write.key, row)
                latest.append(write)
            else:
                self._enqueue(write.key, row)
        return latest

    def failed(self, batch: Sequence[Write]) -> None:
        """The batch may or may not have been committed: its rows go first in the next ones."""
        for write in reversed(batch):
            self._enqueue_first(write.key, self._landed(write.key))

    def park(self, write: Write, error: CkvError) -> None:
        """The persistent tier refuses this row: it stays here, readable, and blocks no other."""
        row = self._landed(write.key)
        if row.version == write.version:
            row.refused = error
            self._parked += 1
        else:
            self._enqueue(write.key, row)

    def forget(self, write: Write) -> None:
        """The persistent tier refuses this row, and it was not accepted yet: it goes, unless it was written again."""
        row = self._landed(write.key)
        if row.version == write.version:
            self._drop(write.key, row)
        else:
            self._enqueue(write.key, row)

    def distrust(self) -> None:
        """The persistent tier may have become another one: no snapshot that is under way counts (:meth:`trusts`)."""
        for row in self._rows.values():
            if row.flushing:
                row.taken = -1

    def trusts(self, batch: Sequence[Write]) -> bool:
        """Whether the persistent tier is still the one of when this batch was taken."""
        # One of them speaks for all, as they were taken together.
        return not batch or self._rows[batch[0].key].taken == batch[0].version

    def unpark(self) -> int:
        """Puts all parked rows back into the queue; returns how many."""
        count = 0
        for key, row in self._rows.items():
            if row.refused is not None:
                row.refused = None
                count += 1
                self._enqueue(key, row)
        self._parked = 0
        return count

    def check(self) -> None:
        """Audits the bookkeeping; raises AssertionError."""
        queued = list(self._queue)
        assert len(set(queued)) == len(queued), "a key is queued twice"
        assert all(self._rows[key].queued for key in queued), "a key is in the queue unknowingly"
        for key, row in self._rows.items():
            states = row.queued + (row.refused is not None) + (row.flushing or row.held)
            assert states == 1, f"{key!r}: queued, parked, or in flight or held, and only one of them: {states}"
        assert len(queued) == sum(row.queued for row in self._rows.values()), "a key is not in the queue"
        assert self._flushing == sum(row.flushing for row in self._rows.values()), "flushing is miscounted"
        assert self._parked == sum(row.refused is not None for row in self._rows.values()), "parked is miscounted"
        assert self.bytes == sum(_size(key, row.value) for key, row in self._rows.items()), "bytes are miscounted"

    def _landed(self, key: str) -> Row:
        row = self._rows[key]
        row.flushing = False
        self._flushing -= 1
        return row

    def _enqueue(self, key: str, row: Row) -> None:
        if not (row.queued or row.flushing or row.held):
            row.queued = True
            self._queue.append(key)

    def _enqueue_first(self, key: str, row: Row) -> None:
        row.queued = True
        self._queue.appendleft(key)

    def _drop(self, key: str, row: Row) -> None:
        del self._rows[key]
        self.bytes -= row.size
        self._measure()

    def _measure(self) -> None:
        self.full = len(self._rows) >= self._max_records or self.bytes >= self._max_bytes


def _size(key: str, value: Value | None) -> int:
    return getsizeof(key) + getsizeof(value) + ROW_OVERHEAD_BYTES
