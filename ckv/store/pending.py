"""What the persistent tier has still to learn: values and tombstones on their way, one row per key.

A row that is added again before it was written takes the new value and keeps its place (it is *coalesced*). A batch
takes a snapshot of its rows; a row leaves only when the snapshot was committed and nothing was added meanwhile
(invariant I3), and until then it is in no second batch, so that per key the writes reach the persistent tier in the
order in which they were accepted (I4).

What is done about batches that fail ends in one row that blocks no other (I5), whatever the reason is. The next batch
is half as large, and so on, until one passes; then they grow again, slowly (as the window of TCP's congestion control
does). A row that failed in a batch of its own is in no other batch from then on. It is written
right after a probe that showed that the persistent tier takes writes; when it fails nevertheless it is *set aside*, for
longer each time, and the others go on. It is *parked* only when the fault is sure to be its own: see
:meth:`Pending.failed`. While nothing can be written no probe passes, so an outage sets nothing aside and parks nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, KeysView, Sequence
from heapq import heappop, heappush
from sys import getsizeof
from typing import Final, NamedTuple

from ckv.errors import CkvError, SessionLost, WriteFailed
from ckv.values import Value

TOMBSTONE: Final = None
"""The value of a row whose key was deleted."""

ROW_OVERHEAD_BYTES: Final = 200
"""What a row takes besides its key and value: its object, a place in the dict and one in the queue."""

GROWTH: Final = 25
"""After a batch that failed, each one that was committed lets the next be larger by one part of so many: a size that is
too large is tried again after 18 that passed. By one row at least."""

STRIKES: Final = 3
"""Times that a row is to blame for its failure until it is parked."""

FIRST_ASIDE: Final = 0.5
LONGEST_ASIDE: Final = 30.0
"""Seconds for which a row is set aside: doubled each time, from the first to the longest."""


class Trouble:
    """What is remembered of a row that was in a batch that failed."""

    __slots__ = ("alone", "commits", "doubtful", "failures", "strikes")

    def __init__(self) -> None:
        self.alone = False
        """It failed in a batch of its own. Until it is committed it is in no batch with others."""
        self.failures = 0
        """How often that happened right after a probe that passed."""
        self.strikes = 0
        """How many of these the row itself is to blame for."""
        self.commits = -1
        """The number of commits at the last of these."""
        self.doubtful = False
        """Some version of it may have been committed by an attempt whose end nobody saw."""


class Row:
    """One key's latest write."""

    __slots__ = (
        "aside",
        "flushing",
        "held",
        "queued",
        "refused",
        "since",
        "size",
        "taken",
        "trouble",
        "value",
        "version",
    )

    def __init__(self, value: Value | None, since: float, size: int, version: int) -> None:
        self.value = value
        self.size = size
        """Bytes of memory that it takes, with its key and value."""
        self.version = version
        """The version of the record that it holds, or that its tombstone would have had."""
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
        self.aside = False
        """Waits until it is tried again, because it failed alone."""
        self.trouble: Trouble | None = None
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
        self._aside: list[tuple[float, str]] = []
        """The rows that are set aside, as a heap: when they are due, and their keys."""
        self._limit: int | None = None
        """Records in the next batch, since one failed; None when none did lately."""
        self._ceiling = 0
        """Records in the batch that failed first: the limit ends here."""
        self._commits = 0
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
    def limited(self) -> bool:
        """Whether batches are smaller than they could be, because one failed."""
        return self._limit is not None

    def aside_in(self, now: float) -> float | None:
        """Seconds until the next of the rows that are set aside is due; None when there is none."""
        return max(0.0, self._aside[0][0] - now) if self._aside else None

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

    def add(self, key: str, value: Value | None, now: float, version: int) -> None:
        """Notes the latest write of a key.

        It is never refused: whoever calls has looked at :attr:`full`.
        """
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(value, now, _size(key, value), version)
            self.bytes += row.size
        else:
            size = _size(key, value)
            self.bytes += size - row.size
            row.size = size
            if row.version == row.taken:
                row.since = now
            row.value = value
            row.version = version
            if row.refused is not None:
                row.refused = None
                self._parked -= 1
        self._enqueue(key, row)
        self._measure()

    def hold(self, key: str, now: float, version: int) -> None:
        """Notes a tombstone for a key without a row, and keeps the key out of every batch until :meth:`release`.

        A DEL of a key that only the persistent tier may have takes effect at once, but its answer needs to know
        whether there was a row. It must stay there until it has been looked for, whatever is written to the key
        meanwhile: otherwise the search would find our own later write.
        """
        row = self._rows[key] = Row(TOMBSTONE, now, _size(key, TOMBSTONE), version)
        row.held = True
        self.bytes += row.size
        self._measure()

    def release(self, key: str, *, absent: bool) -> bool:
        """Ends a hold. With ``absent`` there is nothing to delete: returns whether the tombstone was dropped for it."""
        row = self._rows[key]
        row.held = False
        if absent and row.value is TOMBSTONE:
            self._drop(key, row)
            return True
        self._enqueue_first(key, row)
        return False

    def take(self, max_records: int, max_bytes: int, now: float) -> list[Write]:
        """A batch of the oldest rows that are free to go; empty when there are none.

        At least one row, however large it is. One that failed alone comes alone again.
        """
        if self._aside and self._aside[0][0] <= now:
            _, key = heappop(self._aside)
            self._rows[key].aside = False
            self._flushing += 1
            return [self._taken(key, self._rows[key])]
        most = max_records if self._limit is None else min(max_records, self._limit)
        batch: list[Write] = []
        size = 0
        while self._queue and len(batch) < most:
            key = self._queue[0]
            row = self._rows[key]
            alone = row.trouble is not None and row.trouble.alone
            size += row.size
            if batch and (alone or size > max_bytes):
                break
            self._queue.popleft()
            row.queued = False
            batch.append(self._taken(key, row))
            if alone:
                break
        self._flushing += len(batch)
        return batch

    def _taken(self, key: str, row: Row) -> Write:
        row.flushing = True
        row.taken = row.version
        return Write(key, row.value, row.version)

    def failed_alone(self, batch: Sequence[Write]) -> bool:
        """Whether this is one row that failed alone before: it is to be written right after a probe."""
        if len(batch) != 1:
            return False
        trouble = self._rows[batch[0].key].trouble
        return trouble is not None and trouble.alone

    def committed(self, batch: Sequence[Write]) -> list[Write]:
        """The batch was committed; returns the writes that were still the latest, whose rows have left."""
        self._commits += bool(batch)
        if self._limit is not None and batch:
            self._limit += max(1, self._limit // GROWTH)
            if self._limit >= self._ceiling:
                self._limit = None
        if self._aside and self.failed_alone(batch):
            self.hasten()  # What kept this one kept perhaps all of them.
        latest: list[Write] = []
        for write in batch:
            row = self._landed(write.key)
            if row.version == write.version:
                self._drop(write.key, row)
                latest.append(write)
            else:
                row.trouble = None
                self._enqueue(write.key, row)
        return latest

    def failed(self, batch: Sequence[Write], error: CkvError | None, *, probed: bool, now: float) -> bool:
        """The batch was not committed, or nobody knows: its rows go first in the next ones, which are smaller.

        ``probed`` says that a probe passed right before, on the same connection. A row that was alone is then set
        aside. It is to blame for the failure

        - when the persistent tier answered that it does not carry out this write (:class:`~ckv.errors.WriteFailed`);
        - when the connection broke (:class:`~ckv.errors.SessionLost`) and something else was committed since that last
          happened to it: a tier that takes every write and loses the answer is no fault of a row.

        Without ``error`` nothing was at fault. Returns True when the row is to be given up: it is in flight until
        :meth:`park` or :meth:`forget`.
        """
        doubtful = not isinstance(error, WriteFailed)
        for write in batch:
            row = self._rows[write.key]
            if row.trouble is None:
                row.trouble = Trouble()
            row.trouble.doubtful |= doubtful
        if error is not None:
            if len(batch) == 1:
                return self._failed_alone(batch[0].key, error, probed, now)
            if self._limit is None:
                self._ceiling = len(batch)
                self._limit = len(batch) // 2
            else:
                self._limit = min(self._limit, max(1, len(batch) // 2))
        for write in reversed(batch):
            self._enqueue_first(write.key, self._landed(write.key))
        return False

    def _failed_alone(self, key: str, error: CkvError | None, probed: bool, now: float) -> bool:
        trouble = self._rows[key].trouble
        assert trouble is not None
        trouble.alone = True
        if not probed:
            self._enqueue_first(key, self._landed(key))
            return False
        trouble.strikes += isinstance(error, WriteFailed) or (
            isinstance(error, SessionLost) and self._commits != trouble.commits
        )
        trouble.commits = self._commits
        if trouble.strikes >= STRIKES:
            return True
        aside = min(FIRST_ASIDE * 2**trouble.failures, LONGEST_ASIDE)
        trouble.failures += 1
        self._landed(key).aside = True
        heappush(self._aside, (now + aside, key))
        return False

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

    def is_doubtful(self, key: str) -> bool:
        """Whether an attempt whose end nobody saw may have committed some version of the row."""
        trouble = self._rows[key].trouble
        return trouble is not None and trouble.doubtful

    def hasten(self) -> None:
        """Makes all rows due that are set aside."""
        self._aside = sorted((float("-inf"), key) for _, key in self._aside)

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
            states = row.queued + row.aside + (row.refused is not None) + (row.flushing or row.held)
            assert states == 1, f"{key!r}: queued, aside, parked, or in flight or held, and only one of them: {states}"
        aside = [key for _, key in self._aside]
        assert len(set(aside)) == len(aside), "a key is set aside twice"
        assert set(aside) == {key for key, row in self._rows.items() if row.aside}, "the rows aside are miscounted"
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
        if not (row.queued or row.flushing or row.held or row.aside):
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
