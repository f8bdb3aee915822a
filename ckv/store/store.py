"""One secondary's records: get, put and delete over the memory tier, the pending rows and the loads.

A key's current value is in the first of these that knows it: **memory, pending, the persistent tier**. Everything else
follows from that order, and from four rules, the invariants that ``tests/store`` checks:

- I1: every accepted record is in memory, in pending or in the persistent tier at every moment. So a victim goes from
  memory to pending within one call, and leaves pending only when it was committed.
- I2: a late load never overwrites a newer write and never brings back a deleted key. So a write marks the load of its
  key as no longer current (:meth:`Loading.written`), and only a current one is installed.
- I3, I4: see :mod:`ckv.store.pending`.

The store is a state machine without any waiting of its own. What has to wait comes back as an object
(:class:`~ckv.store.loading.Load`, :class:`RoomWait`) whose waiters are called later. Whoever owns the connections to
the persistent tier takes batches (:meth:`Store.load_begin`, :meth:`Store.flush_begin`) and reports how they ended.
That is also how tests run it: in any order that a scheduler can think of, with a clock of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from ckv.errors import CkvError, NoRoom, RowsRefused, SessionLost, TierUnavailable
from ckv.store.loading import ABSENT_BYTES, ABSENT_KEYS, LOAD_BYTES, Asker, Load, Loading, Query
from ckv.store.memory import POLICIES, Memory
from ckv.store.pending import TOMBSTONE, Pending, Write
from ckv.store.waiting import Waiting
from ckv.values import Value

BATCH_RECORDS: Final = 500
"""Records in one batch: measured, MariaDB takes and gives most rows a second at 500 a statement."""

BATCH_BYTES: Final = 1024 * 1024
"""Bytes at which a batch is closed, so that one statement stays below the smallest usual max_allowed_packet (4 MiB)."""


Where = Literal["clean", "dirty", "pending", "parked", "tombstone", "absent", "elsewhere"]
"""Which tier answers for a key, and what that says about the persistent tier.

- ``clean``: memory has the record, and the persistent tier has the same.
- ``dirty``: memory has the record, and the persistent tier may have another one or none.
- ``pending``: the record is on its way to the persistent tier, and no longer in memory.
- ``parked``: the same, and the persistent tier refused it.
- ``tombstone``: the record was deleted, and the deletion is on its way.
- ``absent``: the persistent tier is known to have no record.
- ``elsewhere``: only the persistent tier can tell.
"""


class Place(NamedTuple):
    """Where the current value of a key is, and the value; None where there is none."""

    where: Where
    value: Value | None


class RoomWait(Waiting["bool | Waiting[bool] | Load"]):
    """A write that waits because pending is full. It is told what the write would have returned, or NoRoom."""

    __slots__ = ("deadline", "key", "value")

    def __init__(self, key: str, value: Value | None, deadline: float) -> None:
        super().__init__()
        self.key = key
        self.value = value
        self.deadline = deadline


class Store:
    """The records of one node."""

    def __init__(
        self,
        memory: Memory,
        pending: Pending | None,
        *,
        clock: Callable[[], float],
        load_timeout: float,
        pending_wait: float,
        wake: Callable[[], None],
        wake_loads: Callable[[], None] | None = None,
        absent: Memory | None = None,
    ) -> None:
        """Without ``pending`` there is no persistent tier: victims are dropped and counted.

        ``clock`` gives seconds that never go back; ``load_timeout`` and ``pending_wait`` are seconds; ``wake()`` is
        called when there is something to flush, and ``wake_loads()``, or ``wake()`` without it, when there is something
        to load. ``absent`` keeps the keys that are known not to exist; by default a table of the usual size.
        """
        self.memory = memory
        self.memory_get = memory.get
        """The first half of :meth:`get`, for a caller in a hurry."""
        self._memory_put = memory.put
        self._pending = pending
        self.absent = absent if absent is not None else POLICIES["lru"](ABSENT_KEYS, ABSENT_BYTES)
        """The keys without a record: what is here has no value elsewhere, but perhaps in memory."""
        self._loading = Loading(load_timeout, memory, self.absent)
        self._clock = clock
        self._pending_wait = pending_wait
        self._wake = wake
        self._wake_loads = wake_loads or wake
        self._waiting: deque[RoomWait] = deque()
        self._waiting_keys: dict[str, int] = {}
        """Keys of the writes that wait for room, and how many of each."""
        self._draining = False
        self._permit()
        memory.may_drop = memory.may_miss = pending is None
        # Figures since the start; ckv/node/figures.py says what each of them counts.
        self.hits_pending = 0
        self.hits_persistent = 0
        self._tombstone_hits = 0
        self._misses = 0
        self.refused_for_room = 0
        self.load_queries = 0
        self.load_failures = 0
        self.load_locks = 0
        self.load_refusals = 0
        self.commit_timeouts = 0
        self.flushes = 0
        self.flushed_rows = 0
        self.flush_failures = 0

    # --- requests ------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Value | Load | None:
        """The value; None when there is no record; a load when only the persistent tier can tell.

        Raises TierUnavailable when it is known that it cannot.
        """
        value = self.memory_get(key)
        return value if value is not None else self.get_elsewhere(key)

    def get_elsewhere(self, key: str) -> Value | Load | None:
        """The second half of :meth:`get`: what it returns for a key that is not in memory."""
        if self._pending is None:
            return None
        row = self._pending.find(key)
        if row is not None:
            if row.value is not TOMBSTONE:
                self.hits_pending += 1
                self._recall(key, row.value, row.version)
            else:
                self._tombstone_hits += 1
            return row.value
        return self._look_up(key)

    def _look_up(self, key: str) -> Load | None:
        if self._loading.finds_absent(key):
            return None
        if self._loading.refusal is not None:
            self.load_refusals += 1
            raise TierUnavailable(str(self._loading.refusal))  # another one each time: an error collects tracebacks
        load = self._loading.join(key, self._clock())
        load.gets += 1
        self._wake_loads()
        return load

    def asked_by(self, load: Load, asker: Asker) -> None:
        """Tells who gets the answer of a load, so that none is made whose answer would only add to unread ones."""
        self._loading.asked_by(load, asker, self._clock())

    def put(self, key: str, value: Value) -> Literal[True] | Waiting[bool] | RoomWait:
        """Stores the record: True when it is accepted, a wait when its victim finds no room in pending."""
        pending = self._pending
        if pending is not None:
            if key in self._waiting_keys or (pending.full and not self.memory.has_room_for(key, value)):
                return self._wait_for_room(key, value)
            self._loading.written(key)
        while not self._memory_put(key, value):
            self._evict()
        return True

    def delete(self, key: str) -> bool | Waiting[bool] | Load | RoomWait:
        """Deletes the record and tells whether there was one; a load when only the persistent tier can tell that.

        The deletion itself has happened when this returns, except with a wait, and also when it raises TierUnavailable:
        then nobody can tell whether there was a record.
        """
        pending = self._pending
        if pending is None:
            return self.memory.remove(key)
        if key in self._waiting_keys or (pending.full and key not in pending):
            return self._wait_for_room(key, TOMBSTONE)
        in_memory = self.memory.remove(key)
        row = pending.find(key)
        if in_memory or row is not None:
            existed = in_memory or (row is not None and row.value is not TOMBSTONE)
            self._loading.written(key)
            if existed:
                pending.add(key, TOMBSTONE, self._clock(), self.memory.new_version())
                self._wake()
            return existed
        if self._loading.is_absent(key):
            return False
        if self._loading.refusal is not None:
            pending.add(key, TOMBSTONE, self._clock(), self.memory.new_version())
            self._loading.written(key)
            self._wake()
            self.load_refusals += 1
            raise deleted_unknown(self._loading.refusal)
        load = self._loading.join(key, self._clock())
        self._loading.written(key)
        load.deletes = True
        pending.hold(key, self._clock(), self.memory.new_version())
        self._wake_loads()
        return load

    # --- between the tiers ---------------------------------------------------------------------------------------

    def _evict(self) -> None:
        """Makes room in memory: the victim goes to pending, if the persistent tier lacks it."""
        key, value, version, clean = self.memory.evict()
        if not clean and self._pending is not None and self._make_row(self._pending, key, value, version):
            self._wake()

    def _make_row(self, pending: Pending, key: str, value: Value, version: int) -> bool:
        """Has a record written, unless it is on its way already; returns whether it was not."""
        row = pending.find(key)
        if row is not None and row.version == version:
            return False
        pending.add(key, value, self._clock(), version)
        self._loading.note_present(key)
        return True

    def _recall(self, key: str, value: Value, version: int = 0, *, clean: bool = False) -> None:
        """Takes a record into memory that another tier has, unless there is no room for it or for its victims."""
        try:
            if self._has_room_for(key, value):
                while not self._memory_put(key, value, version, clean):
                    self._evict()
                return
        except MemoryError:
            pass
        self.memory.remove(key)  # what is there is older

    def _has_room_for(self, key: str, value: Value) -> bool:
        assert self._pending is not None
        return not self._pending.full or self.memory.has_room_for(key, value)

    def _permit(self) -> None:
        """Tells memory whether a PUT may pass by this store; in the modes that queue each write it never may."""
        self.memory.may_put = not (self._waiting or self._draining)

    def _wait_for_room(self, key: str, value: Value | None) -> RoomWait:
        # A later write of the same key has to wait behind it, or they would be accepted in the wrong order (I4).
        wait = RoomWait(key, value, self._clock() + self._pending_wait)
        self._waiting.append(wait)
        self._waiting_keys[key] = self._waiting_keys.get(key, 0) + 1
        self._permit()
        self._wake()
        return wait

    def _next_waiting(self) -> RoomWait:
        wait = self._waiting.popleft()
        others = self._waiting_keys.pop(wait.key) - 1
        if others:
            self._waiting_keys[wait.key] = others
        self._permit()
        return wait

    def admit(self) -> None:
        """Accepts the writes that wait for room, in their order, as far as some came free."""
        while self._waiting and self._pending is not None and not self._pending.full:
            wait = self._next_waiting()
            others = self._waiting_keys.pop(wait.key, 0)  # those behind it must not make it wait again
            result, error = None, None
            try:
                result = self.put(wait.key, wait.value) if wait.value is not TOMBSTONE else self.delete(wait.key)
            except TierUnavailable as unknown:
                error = unknown
            if others:
                self._waiting_keys[wait.key] = others
            assert not isinstance(result, RoomWait)
            wait.tell(result, error)

    # --- the work of whoever is connected to the persistent tier -------------------------------------------------

    @property
    def loads_queued(self) -> int:
        """Keys that wait for a query."""
        return self._loading.queued

    def load_in(self) -> float | None:
        """Seconds until a query is due, 0 when it is due now; None when there is nothing to load."""
        return self._loading.due_in(self._clock())

    def flush_in(self) -> float | None:
        """Seconds until a flush is due, 0 when it is due now; None when there is nothing to write.

        A victim is flushed as soon as a worker is free; batches form by themselves while all are busy.
        """
        if self._pending is None:
            return None
        return 0.0 if self._pending.queued else self._pending.aside_in(self._clock())

    def load_begin(self, max_bytes: int = LOAD_BYTES) -> Query | None:
        """The loads for one query, whose values come to so many bytes at most; None when there is nothing to load."""
        query, dropped = self._loading.take(self._clock(), max_bytes)
        self._release_all(dropped)
        self.load_queries += query is not None
        return query

    def load_end(self, query: Query, found: Mapping[str, Value], larger: Mapping[str, int] | None = None) -> None:
        """The query answered: ``found`` has the records that exist, ``larger`` the sizes of values that it left."""
        for load in self._loading.answered(query, found, larger or {}, self._clock()):
            value = found.get(load.key)
            self._loading.ended(load)
            if load.deletes:
                self._release(load, absent=value is None and load.trusted)
            if load.current:
                if value is None:
                    self._loading.note_absent(load.key)
                else:
                    self._loaded(load.key, value)
            if value is None:
                self._misses += load.gets
            else:
                self.hits_persistent += load.gets
            load.tell(value, None)
        if larger:
            self._wake_loads()

    def _loaded(self, key: str, value: Value) -> None:
        self._recall(key, value, clean=True)

    def load_failed(self, query: Query, error: CkvError) -> None:
        """The query failed. Its loads are tried again until their time is over."""
        self.load_failures += 1
        self._loading.failed(query, error)
        self._wake_loads()

    def load_locked(self, query: Query, error: CkvError) -> None:
        """The query met a row that somebody else has locked. Its loads are tried again, apart from each other."""
        self.load_locks += 1
        self._loading.locked(query, error, self._clock())
        self._wake_loads()

    def loads_refused(self, error: CkvError) -> None:
        """The persistent tier is known to be away: every load fails at once, until :meth:`loads_accepted`."""
        self.load_refusals += sum(load.wanted for load in self._loading)
        self._release_all(self._loading.refuse(error))

    def loads_accepted(self) -> None:
        """The persistent tier can be asked again."""
        self._loading.refusal = None

    def _release_all(self, over: Sequence[Load]) -> None:
        for load in over:
            if load.deletes:
                self._release(load, absent=False)

    def _release(self, load: Load, *, absent: bool) -> None:
        """The DEL that waited for this load goes on."""
        assert self._pending is not None
        if self._pending.release(load.key, absent=absent):
            self._loading.note_absent(load.key)
            self._nothing_to_delete(load.key)
            self.admit()
        else:
            self._wake()

    def _nothing_to_delete(self, key: str) -> None:
        """The tombstone of this key was dropped unwritten."""

    def flush_begin(self) -> list[Write]:
        """A batch for the persistent tier; empty when there is nothing to write."""
        return self._pending.take(BATCH_RECORDS, BATCH_BYTES, self._clock()) if self._pending is not None else []

    def flush_needs_probe(self, batch: Sequence[Write]) -> bool:
        """Whether a probe has to show first that the persistent tier takes writes: the batch failed before, alone."""
        return self._pending is not None and self._pending.failed_alone(batch)

    def flush_end(self, batch: Sequence[Write], refused: Mapping[str, CkvError] | None = None) -> None:
        """The batch is committed, but for the rows that the persistent tier refuses; these are parked.

        :meth:`admit` is to be called afterwards, at once or a little later.
        """
        assert self._pending is not None
        if not self._pending.trusts(batch):
            self.flush_failed(batch)
            return
        if refused:
            for write in batch:
                if write.key in refused:
                    self._refused(write, refused[write.key])
            batch = [write for write in batch if write.key not in refused]
        self.flushes += bool(batch)
        self.flushed_rows += len(batch)
        self._committed(batch)
        if self._pending.queued:
            self._wake()

    def _committed(self, batch: Sequence[Write]) -> None:
        assert self._pending is not None
        for key, value, version in self._pending.committed(batch):
            if value is TOMBSTONE:
                self._loading.note_absent(key)
            else:
                self.memory.mark_clean(key, version)

    def _refused(self, write: Write, error: CkvError) -> None:
        """A row that was accepted stays: it is parked."""
        assert self._pending is not None
        self._pending.park(write, error)

    def flush_failed(self, batch: Sequence[Write], error: CkvError | None = None, *, probed: bool = False) -> bool:
        """The batch may or may not be committed. It is written again, for ever: nothing accepted is dropped.

        Without ``error`` the batch did not fail, but does not count. ``probed`` says that a probe passed right before.
        Returns whether the batch was one row that is given up now, and so parked: see :meth:`Pending.failed`.
        """
        assert self._pending is not None
        self.flush_failures += 1
        given_up = self._pending.failed(batch, error, probed=probed, now=self._clock())
        if given_up:
            self._refused(batch[0], error if isinstance(error, SessionLost) else RowsRefused(str(error)))
        self._wake()
        return given_up

    @property
    def flush_limited(self) -> bool:
        """Whether batches are smaller than they could be, because one failed."""
        return self._pending is not None and self._pending.limited

    def retry_parked(self) -> int:
        """Puts the rows that the persistent tier refused back into the queue; returns how many."""
        if self._pending is None:
            return 0
        self._pending.hasten()
        count = self._pending.unpark()
        self._wake()
        return count

    def distrust(self) -> None:
        """The persistent tier may have become another one, which need not have what the old one had.

        So nothing counts as clean or absent any more: what memory has is written again before it leaves. Loads that are
        under way are not installed, and batches that are under way are written again.
        """
        if self._pending is not None:
            self.memory.forget_clean()
            self._loading.distrust()
            self._pending.distrust()

    # --- time and the end ----------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Ends what has waited too long. To be called some ten times a second."""
        now = self._clock()
        self._loading.expire(now)
        while self._waiting and self._waiting[0].deadline <= now:
            self.refused_for_room += 1
            self._next_waiting().tell(
                None,
                NoRoom(
                    f"{len(self._pending or ())} records wait for the persistent tier and no room came free within "
                    f"{self._pending_wait:g} s; nothing was written"
                ),
            )

    def drain_begin(self) -> None:
        """Makes every record pending that the persistent tier lacks, and tries parked rows once more.

        Nothing may be requested any more.
        """
        self._draining = True
        self._permit()
        if self._pending is None:
            return
        while self._waiting:
            self._next_waiting().tell(None, NoRoom("the node stops; nothing was written"))
        self._make_pending()
        self.retry_parked()

    def _make_pending(self) -> None:
        assert self._pending is not None
        for key, value, version, clean in self.memory.records():
            if not clean:
                self._make_row(self._pending, key, value, version)

    # --- what an operator asks for -------------------------------------------------------------------------------

    def keys(self) -> list[str]:
        """The keys that memory, pending or the memory of absent keys knows now, each once.

        One pass over all of them: measured, 20 ms for a million records, and 0.3 s with a million others pending.
        """
        found = self.memory.keys()
        if self._pending is not None:
            # Sets, for to ask memory for each key of a million takes half a second.
            others = self._pending.keys() | set(self._loading.absent_keys())
            others.difference_update(found)
            found.extend(others)
        return found

    def locate(self, key: str) -> Place:
        """Where the current value of a key is. Unlike :meth:`get` it is not a use, and moves nothing."""
        value = self.memory.peek(key)
        if value is not None:
            return Place("clean" if self._is_clean(key) else "dirty", value)
        row = self._pending.find(key) if self._pending is not None else None
        if row is None:
            return Place("absent" if self._loading.is_absent(key) else "elsewhere", None)
        if row.value is TOMBSTONE:
            return Place("tombstone", None)
        return Place("pending" if row.refused is None else "parked", row.value)

    def _is_clean(self, key: str) -> bool:
        return self.memory.is_clean(key)

    @property
    def clean(self) -> int:
        """Records in memory whose value the persistent tier has."""
        return self.memory.clean

    @property
    def evicted(self) -> int:
        """Records that had to leave memory."""
        return self.memory.evicted

    @property
    def dropped(self) -> int:
        """Those among them that had no other place."""
        return self.memory.evicted if self._pending is None else 0

    @property
    def hits_memory(self) -> int:
        """GETs that memory answered."""
        return self.memory.hits

    @property
    def absent_hits(self) -> int:
        """GETs of keys that were known not to exist."""
        return self._tombstone_hits + self._loading.absent_hits

    @property
    def misses(self) -> int:
        """GETs that found out that there is no record."""
        return self._misses if self._pending is not None else self.memory.misses

    @property
    def loading(self) -> Loading:
        """The loads, for their figures."""
        return self._loading

    @property
    def pending_bytes(self) -> int:
        """The memory that the rows take which the persistent tier has still to learn."""
        return self._pending.bytes if self._pending is not None else 0

    @property
    def pending_seconds(self) -> float:
        """The age in seconds of the oldest write that is on its way or waits for it; 0 when there is none."""
        since = self._pending.waiting_since if self._pending is not None else None
        return self._clock() - since if since is not None else 0.0

    @property
    def waiting_for_room(self) -> int:
        """Writes that wait because pending is full."""
        return len(self._waiting)

    @property
    def records(self) -> int:
        """Records in memory."""
        return len(self.memory)

    @property
    def unsaved(self) -> int:
        """Rows that the persistent tier has still to learn, parked ones included."""
        return len(self._pending) if self._pending is not None else 0

    def is_parked(self, key: str) -> bool:
        """Whether the persistent tier refused the latest write of this key."""
        row = self._pending.find(key) if self._pending is not None else None
        return row is not None and row.refused is not None

    @property
    def parked(self) -> int:
        """Rows that the persistent tier refused."""
        return self._pending.parked if self._pending is not None else 0

    def check(self) -> None:
        """Audits what must hold between calls; raises AssertionError. Costs a pass over all records."""
        self.memory.check()
        keys = set(self.memory.keys())
        assert len(keys) == len(self.memory), "memory miscounts its records"
        assert sum(self._waiting_keys.values()) == len(self._waiting), "the writes that wait are miscounted"
        if self._pending is not None:
            self._pending.check()
            self._check_rows(self._pending)
        self._loading.check()
        for load in self._loading:
            assert not (load.current and load.key in keys), f"the load of {load.key!r} would overwrite a record"

    def _check_rows(self, pending: Pending) -> None:
        for key, row in pending:
            assert not self._loading.is_absent(key) or row.value is TOMBSTONE, f"{key!r} is pending and called absent"
            assert not self.memory.is_clean(key) or row.version == self.memory.version_of(key), f"{key!r} is not clean"


def deleted_unknown(why: CkvError) -> TierUnavailable:
    """For a DEL that took effect while the persistent tier could not be asked."""
    return TierUnavailable(f"the record is deleted; whether there was one is not known: {why}")
