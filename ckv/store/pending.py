"""What the persistent tier has still to learn: values and tombstones on their way, one row per key.

A row that is added again before it was written takes the new value and keeps its place (it is *coalesced*). A batch
takes a snapshot of its rows; a row leaves only when the snapshot was committed and nothing was added meanwhile
(invariant I3), and until then it is in no second batch, so that per key the writes reach the persistent tier in the
order in which they were accepted (I4).

What is done about batches that fail ends in one row that blocks no other (I5), whatever the reason is. The next batch
is half as large, and so on, until one passes (:class:`~ckv.store.trouble.Limit`). A row that failed in a batch of its
own is in no other batch from then on. It is written right after a probe that showed that the persistent tier takes
writes; when it fails nevertheless it is *set aside*, for longer each time, and the others go on. It is *parked* only
when the fault is sure to be its own (:meth:`~ckv.store.trouble.Trouble.blame`). While nothing can be written no probe
passes, so an outage sets nothing aside and parks nothing.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, KeysView, Sequence, Set
from contextlib import contextmanager
from heapq import heappop, heappush

from ckv.errors import CkvError, WriteFailed
from ckv.store.memory.slots import SlotSet
from ckv.store.row import ROW_OVERHEAD_BYTES, TOMBSTONE, Row, Write, size_of, snapshot
from ckv.store.trouble import Limit, Trouble
from ckv.values import Value


class Pending:
    """The rows that wait, bounded in records and bytes."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        """``max_bytes`` counts the memory that keys, values and rows take, not their bytes on the wire."""
        self.max_records, self._max_bytes = max_records, max_bytes
        self._rows: dict[str, Row] = {}
        self._queue: deque[str] = deque()
        self._aside: list[tuple[float, str]] = []
        """The rows that are set aside, as a heap: when they are due, and their keys."""
        self.limit = Limit()
        self.parked = 0
        """Rows that the persistent tier refused."""
        self.bytes = self._commits = 0
        self.full = False
        """Whether the bound is reached: the store then adds nothing of its own accord."""
        self._in_hurry: SlotSet | None = None
        """The keys of which rows go before all others; None while there are no such keys."""
        self._hurried: set[str] = set()
        self._urgent: set[str] = set()
        """Keys in the queue that are due at once: those of the hurried ones, and what a hurry has left there."""
        self._all_known = False
        """Whether these two have all that there are."""

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
    def half_full(self) -> bool:
        """Whether it has no more room for what could wait than for what cannot."""
        return 2 * len(self._rows) >= self.max_records or 2 * self.bytes >= self._max_bytes

    @property
    def queued(self) -> int:
        """Rows that a batch could take now."""
        return len(self._queue)

    @property
    def hurried(self) -> Set[str]:
        """The keys of the rows that go before all others, wherever these rows are."""
        return self._hurried

    @property
    def urgent(self) -> bool:
        """Whether there are rows in the queue that are due at once."""
        return bool(self._urgent)

    def hurry(self, keys: SlotSet, most: int) -> Iterator[None]:
        """From now on the rows of these keys go before all others, and are due at once. Those that are here are looked
        for in pieces of so many rows, and are known at the end of the iterator. One hurry at a time."""
        self._in_hurry = keys
        rows = list(self._rows)
        for start in range(0, len(rows), most):
            self._hurried.update(key for key in rows[start : start + most] if key in self._rows and key in keys)
            yield
        self._urgent.update(key for key in self._hurried if self._rows[key].queued)
        others = [key for key in self._queue if key not in self._urgent]
        self._queue = deque([*(key for key in self._queue if key in self._urgent), *others])
        self._all_known = True

    def end_hurry(self) -> None:
        """No row goes before others any more, but those that do so already."""
        self._in_hurry = None
        self._hurried.clear()
        self._all_known = False

    def aside_in(self, now: float) -> float | None:
        """Seconds until the next of the rows that are set aside is due; None when there is none."""
        return max(0.0, self._aside[0][0] - now) if self._aside else None

    def find(self, key: str) -> Row | None:
        """The row of a key."""
        return self._rows.get(key)

    def is_parked(self, key: str) -> bool:
        """Whether the persistent tier refused the latest write of this key."""
        row = self._rows.get(key)
        return row is not None and row.refused is not None

    @property
    def oldest(self) -> float | None:
        """When the first row in the queue came; None when the queue is empty."""
        return self._rows[self._queue[0]].since if self._queue else None

    @property
    def waiting_since(self) -> float | None:
        """When the oldest write was accepted that is on its way (unlike :attr:`oldest`) or waits for it; None without.

        A parked row waits for nothing.
        """
        since: float | None = None
        for row in self._rows.values():
            if row.refused is None:
                since = row.since if since is None else min(since, row.since)
                if row.taken < 0:
                    # It was never in a batch, so it waits since it was added; those behind it were added later.
                    break
        return since

    def add(self, key: str, value: Value | None, now: float, version: int, expires: int = 0) -> None:
        """Notes the latest write of a key, unless it is noted already. It is never refused: whoever calls has looked at
        :attr:`full`."""
        row = self._rows.get(key)
        # As size_of(), which is not called: this is done for every record that leaves memory.
        size = key.__sizeof__() + value.__sizeof__() + ROW_OVERHEAD_BYTES
        if row is None:
            self._rows[key] = Row(value, now, size, version, expires, queued=True)
            if self._in_hurry is None:
                self._queue.append(key)
            else:
                self._put_in_queue(key)
            self.bytes += size
        elif row.version != version:
            self.bytes += size - row.size
            row.size = size
            if row.version == row.taken:
                row.since = now
            row.value = value
            row.version = version
            row.expires = expires
            if row.refused is not None:
                row.refused = None
                self.parked -= 1
            self._enqueue(key, row)
        self.full = len(self._rows) >= self.max_records or self.bytes >= self._max_bytes

    def hold(self, key: str, now: float, version: int) -> None:
        """Notes a tombstone for a key without a row, and keeps the key out of every batch until :meth:`release`.

        A DEL of a key that only the persistent tier may have takes effect at once, but its answer needs to know
        whether there was a row. It must stay there until it has been looked for, whatever is written to the key
        meanwhile: otherwise the search would find our own later write.
        """
        row = self._rows[key] = Row(TOMBSTONE, now, size_of(key, TOMBSTONE), version, 0, queued=False)
        row.held = True
        if self._in_hurry is not None and key in self._in_hurry:
            self._hurried.add(key)
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

    def take(self, max_records: int, max_bytes: int, now: float, now_ms: int = 0) -> list[Write]:
        """A batch of the oldest rows that are free to go; empty when there are none.

        At least one row, however large it is. One that failed alone comes alone again. A record that has expired by
        ``now_ms``, the time of day in milliseconds of the epoch, goes as a tombstone: there may be an older row.
        """
        if self._aside and self._aside[0][0] <= now:
            _, key = heappop(self._aside)
            row = self._rows[key]
            row.aside = False
            self._enqueue_first(key, row)  # alone, so it comes alone
        most = min(max_records, self.limit.records or max_records)
        batch: list[Write] = []
        size = 0
        queue = self._queue
        while queue and len(batch) < most:
            row = self._rows[queue[0]]
            alone = row.trouble is not None and row.trouble.alone
            size += row.size
            if batch and (alone or size > max_bytes):
                break
            row.queued = False
            row.flushing = True
            row.taken = row.version
            if self._urgent:
                self._urgent.discard(queue[0])
            value = row.value if not 0 < row.expires <= now_ms else TOMBSTONE
            batch.append(snapshot((queue.popleft(), value, row.version, row.expires)))
            if alone:
                break
        return batch

    def failed_alone(self, batch: Sequence[Write]) -> bool:
        """Whether this is one row that failed alone before: it is to be written right after a probe."""
        if len(batch) != 1:
            return False
        trouble = self._rows[batch[0].key].trouble
        return trouble is not None and trouble.alone

    def committed(self, batch: Sequence[Write]) -> list[Write]:
        """The batch was committed; returns the writes that were still the latest, whose rows have left."""
        if batch:
            self._commits += 1
            self.limit.passed()
        if self._aside and self.failed_alone(batch):
            self.hasten()  # What kept this one kept perhaps all of them.
        rows = self._rows
        latest: list[Write] = []
        for write in batch:
            key, _, version, _ = write
            row = rows[key]
            row.flushing = False
            if row.version == version:
                del rows[key]
                if self._hurried:
                    self._hurried.discard(key)
                self.bytes -= row.size
                latest.append(write)
            else:
                row.trouble = None
                self._enqueue(key, row)
        self._measure()
        return latest

    def failed(self, batch: Sequence[Write], error: CkvError | None, *, probed: bool, now: float) -> bool:
        """The batch was not committed, or nobody knows: its rows go first in the next ones, which are smaller.

        ``probed`` says that a probe passed right before, on the same connection: then a row that was alone is set
        aside. Without ``error`` nothing was at fault. Returns True when the row is to be given up: it is in flight
        until :meth:`park` or :meth:`forget`.
        """
        for write in batch:
            row = self._rows[write.key]
            trouble = row.trouble = row.trouble or Trouble()
            trouble.doubtful |= not isinstance(error, WriteFailed)
        if error is not None and len(batch) == 1:
            trouble.alone = True
            if probed:
                if trouble.blame(error, self._commits):
                    return True
                self._landed(write.key).aside = True
                heappush(self._aside, (now + trouble.pause(), write.key))
                return False
        elif error is not None:
            self.limit.failed(len(batch))
        for write in reversed(batch):
            self._enqueue_first(write.key, self._landed(write.key))
        return False

    def park(self, write: Write, error: CkvError) -> None:
        """The persistent tier refuses this row: it stays here, readable, and blocks no other."""
        row = self._landed(write.key)
        if row.version == write.version:
            row.refused = error
            self.parked += 1
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
        self.parked = 0
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
        in_hurry = self._in_hurry
        hurried = {key for key in self._rows if in_hurry is not None and key in in_hurry}
        assert hurried == self._hurried if self._all_known else hurried >= self._hurried, "a hurried row is not known"
        urgent = {key for key in self._hurried if self._rows[key].queued}
        assert urgent <= self._urgent or not self._all_known, "a row is not due at once"
        assert self._urgent <= set(queued), "what is due at once is not in the queue"
        assert self.parked == sum(row.refused is not None for row in self._rows.values()), "parked is miscounted"
        assert self.bytes == sum(size_of(key, row.value) for key, row in self._rows.items()), "bytes are miscounted"

    def bound(self, max_records: int, max_bytes: int) -> None:
        """Takes other bounds than before."""
        self.max_records, self._max_bytes = max_records, max_bytes
        self._measure()

    @contextmanager
    def unbounded(self) -> Iterator[None]:
        """Meanwhile it is not full; see :meth:`ckv.store.room.Room.unbounded`."""
        bounds = self.max_records, self._max_bytes
        self.max_records = self._max_bytes = sys.maxsize
        self.full = False
        try:
            yield
        finally:
            self.max_records, self._max_bytes = bounds
            self._measure()

    def _landed(self, key: str) -> Row:
        row = self._rows[key]
        row.flushing = False
        return row

    def _enqueue(self, key: str, row: Row) -> None:
        if not (row.queued or row.flushing or row.held or row.aside):
            row.queued = True
            self._put_in_queue(key)

    def _enqueue_first(self, key: str, row: Row) -> None:
        row.queued = True
        self._queue.appendleft(key)
        if self._in_hurry is not None and key in self._in_hurry:
            self._note_urgent(key)

    def _put_in_queue(self, key: str) -> None:
        if self._in_hurry is not None and key in self._in_hurry:
            self._queue.appendleft(key)
            self._note_urgent(key)
        else:
            self._queue.append(key)

    def _note_urgent(self, key: str) -> None:
        self._hurried.add(key)
        self._urgent.add(key)

    def _drop(self, key: str, row: Row) -> None:
        del self._rows[key]
        self._hurried.discard(key)
        self.bytes -= row.size
        self._measure()

    def _measure(self) -> None:
        self.full = len(self._rows) >= self.max_records or self.bytes >= self._max_bytes
