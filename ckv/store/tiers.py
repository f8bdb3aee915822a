"""What goes between memory, pending and the persistent tier: the half of a store that its workers drive.

Whoever owns the connections to the persistent tier takes batches (:meth:`Tiers.load_begin`, :meth:`Tiers.flush_begin`)
and reports how they ended: so tests can do it in any order, with a clock of their own. I1 and I2 are kept here:

- I1: every accepted record is in memory, in pending or in the persistent tier at every moment. So a victim goes from
  memory to pending within one call, and leaves pending only when it was committed.
- I2: a late load never overwrites a newer write and never brings back a deleted key. So a write marks the load of its
  key as no longer current (:meth:`Loading.written`), and only a current one is installed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from ckv.errors import CkvError, RowsRefused, SessionLost
from ckv.store import Records
from ckv.store.loading import LOAD_BYTES, Load, Loading, Query
from ckv.store.memory import POLICIES, Memory
from ckv.store.pending import Pending
from ckv.store.room import Room
from ckv.store.row import Write
from ckv.values import Value

BATCH_RECORDS: Final = 500
"""Records in one batch: about where MariaDB takes most rows a second."""

BATCH_BYTES: Final = 1024 * 1024
"""Bytes at which a batch is closed, so that one statement stays below the smallest usual max_allowed_packet (4 MiB)."""

MOST_AHEAD: Final = 64
"""Records that are evicted before there is need, at most."""

ABSENT_BYTES: Final = 16 * 1024 * 1024
"""The memory that the keys take which do not exist and are remembered, so that asking again costs no query."""

ABSENT_KEYS: Final = 2**18
"""More of them than there is room for in these bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What a store has from its node. All times are in seconds."""

    clock: Callable[[], float]
    """Never goes back."""
    wake: Callable[[], None] = lambda: None
    """Is called when there is something to flush."""
    wake_loads: Callable[[], None] = lambda: None
    """The same for something to load."""
    now_ms: Callable[[], int] = int
    """The time of day in milliseconds of the epoch, for what expires; by default it stands still."""
    load_timeout: float
    """How long anybody waits for the persistent tier: for a load and, in the mode ``through``, for a commit."""
    pending_wait: float
    """How long a write waits for room in pending."""
    linger: float = 0.01
    """Mode ``evict``: how long a row may wait for others, as nobody waits for it."""
    write_delay: float = 0.0
    """Mode ``behind``: the same."""
    write_batch: int = BATCH_RECORDS
    """The same mode: so many rows do not wait at all."""
    ahead_share: int = 64
    """One in so many of the records in memory may be evicted before there is need; 2 or more."""
    absent: Memory | None = None
    """The table for the keys without a record; by default one of the usual size."""


class Tiers(Records):
    """Memory, pending, and the loads and flushes. A write mode is a subclass with the hooks that come first."""

    MEMORY_MAY_PUT: ClassVar[bool]
    """Whether memory may take PUTs by itself: not where each write has to be queued."""

    def _may_wait(self, environment: Environment) -> tuple[float, int]:
        """For how many seconds rows may wait for others, and how many of them do not."""
        return 0.0, BATCH_RECORDS

    @abstractmethod
    def _save(self, key: str, value: Value, version: int, expires: int) -> None:
        """Has a record written that leaves memory, or might be lost with it, and that the persistent tier lacks."""

    @abstractmethod
    def _victims_need_room(self) -> bool:
        """Whether a victim may need a row in pending that is not there yet."""

    @abstractmethod
    def _committed(self, batch: Sequence[Write]) -> None:
        """The persistent tier has these writes now."""

    @abstractmethod
    def _refused(self, write: Write, error: CkvError) -> None:
        """The persistent tier does not take this write, and is not to be asked again."""

    def _nothing_to_delete(self, key: str) -> None:
        """The tombstone of this key was dropped unwritten."""

    @abstractmethod
    def _check_rows(self) -> None:
        """The part of :meth:`check` about what is pending and what else is known of the same keys."""

    def __init__(self, memory: Memory, pending: Pending, environment: Environment) -> None:
        absent = environment.absent
        super().__init__(memory, absent if absent is not None else POLICIES["lru"](ABSENT_KEYS, ABSENT_BYTES))
        self._memory_put = memory.put
        memory.now_ms = self._now_ms = environment.now_ms
        self.pending = pending
        self.loading = Loading(environment.load_timeout, memory, self.figures)
        self.room = Room(memory, pending, self.figures, environment.pending_wait, may_put=self.MEMORY_MAY_PUT)
        self.savings = 0
        """Passes that save everything: while there are some, no row waits for others."""
        self._environment = environment
        self._linger, self._enough = self._may_wait(environment)
        self._clock = environment.clock
        self._wake = environment.wake
        self._wake_loads = environment.wake_loads

    def _is_over(self, expires: int) -> bool:
        """Whether a record that expires then has."""
        return 0 < expires <= self._now_ms()

    # --- between memory and pending ------------------------------------------------------------------------------

    def _evict(self) -> None:
        """Makes room in memory. Where it holds many records, for the next ones too, which it then takes by itself."""
        for _ in range(1 + min(len(self.memory) // self._environment.ahead_share, MOST_AHEAD)):
            key, value, version, clean, expires = self.memory.evict()
            if clean:
                break
            self._save(key, value, version, expires)
            if self.pending.full:
                break

    def _recall(self, key: str, value: Value, version: int, expires: int, *, clean: bool = False) -> None:
        """Takes a record into memory that another tier has, unless there is no room for it or for its victims."""
        if 0 < version <= self.motion.newest:
            self.motion.late += 1
        try:
            if not self.pending.full or not self._victims_need_room() or self.memory.has_room_for(key, value, expires):
                while not self._memory_put(key, value, version, clean, expires):
                    self._evict()
                return
        except MemoryError:
            pass
        self.memory.remove(key)  # what is there is older

    def note_absent(self, key: str) -> None:
        """The persistent tier has no record of this key."""
        try:
            while not self.absent.put(key, b""):
                self.absent.evict()
        except MemoryError:
            pass  # it is looked for again

    @property
    def _may_sweep(self) -> bool:
        return not self.pending.half_full

    # --- loads ---------------------------------------------------------------------------------------------------

    def load_in(self) -> float | None:
        """Seconds until a query is due, 0 when it is due now; None when there is nothing to load."""
        return self.loading.due_in(self._clock())

    def load_begin(self, max_bytes: int = LOAD_BYTES) -> Query | None:
        """The loads for one query, whose values come to so many bytes at most; None when there is nothing to load."""
        query, dropped = self.loading.take(self._clock(), max_bytes)
        self._release_all(dropped)
        self.figures.load_queries += query is not None
        return query

    def load_end(
        self,
        query: Query,
        found: Mapping[str, Value],
        larger: Mapping[str, int] | None = None,
        expires: Mapping[str, int] | None = None,
    ) -> None:
        """The query answered: ``found`` has the records that exist, ``larger`` the sizes of values that it left.

        ``expires`` has when those of ``found`` expire that do. One that has does not exist: it is purged some day.
        """
        for load in self.loading.answered(query, found, larger or {}, self._clock()):
            value = found.get(load.key)
            if expires and value is not None:
                self.expiry_seen = True
                when = expires.get(load.key, 0)
                if self._is_over(when):
                    value = None
                else:
                    load.expires = when
            load.found = value, load.expires
            self.loading.ended(load)
            if load.deletes:
                self._release(load, absent=value is None and load.trusted)
            if load.current:
                if value is None:
                    self.note_absent(load.key)
                else:
                    self._recall(load.key, value, 0, load.expires, clean=True)
            if value is None:
                self.figures.misses += load.gets
            else:
                self.figures.hits_persistent += load.gets
            load.tell(value, None)
        if larger:
            self._wake_loads()

    def load_failed(self, query: Query, error: CkvError) -> None:
        """The query failed. Its loads are tried again until their time is over."""
        self.figures.load_failures += 1
        self.loading.failed(query, error)
        self._wake_loads()

    def load_locked(self, query: Query, error: CkvError) -> None:
        """The query met a row that somebody else has locked. Its loads are tried again, apart from each other."""
        self.figures.load_locks += 1
        self.loading.locked(query, error, self._clock())
        self._wake_loads()

    def loads_refused(self, error: CkvError) -> None:
        """The persistent tier is known to be away: every load fails at once, until :meth:`loads_accepted`."""
        self.figures.load_refusals += sum(load.wanted for load in self.loading)
        self._release_all(self.loading.refuse(error))

    def loads_accepted(self) -> None:
        """The persistent tier can be asked again."""
        self.loading.refusal = None

    def _release_all(self, over: Sequence[Load]) -> None:
        for load in over:
            if load.deletes:
                self._release(load, absent=False)

    def _release(self, load: Load, *, absent: bool) -> None:
        """The DEL that waited for this load goes on."""
        if self.pending.release(load.key, absent=absent):
            self.note_absent(load.key)
            self._nothing_to_delete(load.key)
            self.admit()
        else:
            self._wake()

    @property
    def _waits_for_room(self) -> bool:
        """Whether anybody waits for room in pending."""
        return bool(self.room)

    # --- flushes -------------------------------------------------------------------------------------------------

    def flush_in(self) -> float | None:
        """Seconds until a flush is due, 0 when it is due now; None when there is nothing to write.

        A row waits no longer for others when they are a batch, or somebody waits for room, for the end, or for all to
        be saved.
        """
        pending = self.pending
        aside, oldest = pending.aside_in(self._clock()), pending.oldest
        if oldest is None:
            return aside
        if pending.queued >= self._enough or pending.limit.lowered or pending.urgent:
            return 0.0
        if self._waits_for_room or self.room.closed or self.savings:
            return 0.0
        due = max(0.0, oldest + self._linger - self._clock())
        return due if aside is None else min(due, aside)

    def flush_begin(self) -> list[Write]:
        """A batch for the persistent tier; empty when there is nothing to write."""
        batch = self.pending.take(BATCH_RECORDS, BATCH_BYTES, self._clock(), self._now_ms())
        # Also of one that has expired on its way: its row is deleted, and memory may have it with another expiry.
        self.expiry_seen = self.expiry_seen or any(write.expires for write in batch)
        return batch

    def flush_end(self, batch: Sequence[Write], refused: Mapping[str, CkvError] | None = None) -> None:
        """The batch is committed, but for the rows that the persistent tier refuses, by their keys.

        :meth:`admit` is to be called afterwards, at once or a little later.
        """
        if not self.pending.trusts(batch):
            self.flush_failed(batch)
            return
        if refused:
            for write in batch:
                if write.key in refused:
                    self._refused(write, refused[write.key])
            batch = [write for write in batch if write.key not in refused]
        self.figures.flushes += bool(batch)
        self.figures.flushed_rows += len(batch)
        self.motion.committed(batch)
        self._committed(batch)
        if self.pending.queued:
            self._wake()

    def flush_failed(self, batch: Sequence[Write], error: CkvError | None = None, *, probed: bool = False) -> bool:
        """The batch may or may not be committed. It is written again, for ever: nothing accepted is dropped.

        Without ``error`` the batch did not fail, but does not count. ``probed`` says that a probe passed right before.
        Returns whether the batch was one row that is given up now: see :meth:`Pending.failed`.
        """
        self.figures.flush_failures += 1
        given_up = self.pending.failed(batch, error, probed=probed, now=self._clock())
        if given_up:
            self._refused(batch[0], error if isinstance(error, SessionLost) else RowsRefused(str(error)))
        self._wake()
        return given_up

    @abstractmethod
    def admit(self) -> None:
        """Accepts the writes that wait for room, in their order, as far as some came free."""

    def retry_parked(self) -> int:
        self.pending.hasten()
        count = self.pending.unpark()
        self._wake()
        return count

    def distrust(self) -> None:
        """The persistent tier may have become another one, which need not have what the old one had (I8).

        So nothing counts as clean or absent any more: what memory has is written again before it leaves. Loads that are
        under way are not installed, and batches that are under way are written again.
        """
        self.motion.replaced += 1
        self.memory.forget_clean()
        self.absent.clear()
        self.loading.distrust()
        self.pending.distrust()
