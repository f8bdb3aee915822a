"""A store over a persistent tier: what its write modes (:mod:`ckv.store.modes`) share of requests.

A key's current value is in the first of these that knows it: **memory, pending, the persistent tier**. From that order
follow the invariants: I1 and I2 in :mod:`ckv.store.tiers`, I3 to I5 in :mod:`ckv.store.pending`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from ckv.errors import TierUnavailable
from ckv.store import Place, Where
from ckv.store.change import ModifyRecord
from ckv.store.figures import Figures
from ckv.store.loading import Asker, Load
from ckv.store.memory import Memory
from ckv.store.memory.slots import SlotSet
from ckv.store.moving import Move, pieces
from ckv.store.pending import Pending
from ckv.store.room import RoomWait
from ckv.store.row import TOMBSTONE
from ckv.store.saving import Saving
from ckv.store.tiers import Environment
from ckv.store.together import Together
from ckv.values import Value

MOST_COUNTED: Final = 10_000
"""Rows in pending that are looked at for an estimate; the others are taken to be alike."""


class Store(Together):
    """Requests that may have to wait for the persistent tier, and what operators ask for."""

    def __init__(self, memory: Memory, pending: Pending, environment: Environment) -> None:
        super().__init__(memory, pending, environment)
        self.move: Move | None = None
        """The slots that are on their way to another node."""
        self._stale: list[SlotSet] = []
        """Slots that are another node's, and of which copies may be here."""

    def asked_by(self, load: Load, asker: Asker) -> None:
        self.loading.asked_by(load, asker, self._clock())

    def _has_ended(self, key: str) -> bool:
        """For a GET of a key of which memory has no value: whether that is so because its record has expired."""
        memory = self.memory
        if not memory.expiring or not memory.is_over(key):
            return False
        self._end(key)
        self.figures.absent_hits += 1
        return True

    def _look_up(self, key: str) -> Load | None:
        """For a GET of a key that neither memory nor pending has."""
        if self.absent.get(key) is not None:  # a use: it is forgotten later than others
            return None
        refusal = self.loading.refusal
        if refusal is not None:
            self.figures.load_refusals += 1
            raise TierUnavailable(str(refusal))  # another one each time: an error collects tracebacks
        load = self.loading.join(key, self._clock())
        load.gets += 1
        self._wake_loads()
        return load

    def _look_up_and_hold(self, key: str, version: int) -> Load:
        """For a DEL of such a key: its tombstone is not written before it is known whether there is a record."""
        load = self.loading.join(key, self._clock())
        self.loading.written(key)
        load.deletes = True
        self.pending.hold(key, self._clock(), version)
        self._wake_loads()
        return load

    # --- writes that wait for room -------------------------------------------------------------------------------

    def _has_no_row_free(self, key: str) -> bool:
        """Whether a write that needs a row in pending has to wait."""
        return key in self.room.keys or ((self.pending.full or self.room.shut) and key not in self.pending)

    def _wait_for_room(self, key: str, value: Value | None, expires: int = 0) -> RoomWait:
        wait = self.room.wait(key, value, expires, self._clock())
        self._wake()
        return wait

    def admit(self) -> None:
        self.room.admit(self._write, self._clock())
        self._leave_room()
        self._try_again()

    def _write(self, key: str, what: Value | ModifyRecord | None, expires: int) -> object:
        if what is TOMBSTONE:
            return self.delete(key)
        return self.update_record(key, what) if callable(what) else self.put(key, what, expires)

    # --- time and the end ----------------------------------------------------------------------------------------

    def expire(self) -> None:
        now = self._clock()
        self.loading.expire(now)
        if self.room:
            self.admit()  # nobody is refused for want of room that there is
        self.room.expire(now)
        self._expire_lines(now)
        self._expire_steps(now)

    def drain_begin(self) -> None:
        """As it says there. Parked rows are tried once more."""
        self._close_lines()
        self.room.close()
        for key, value, version, clean, expires in self.memory.records():
            if not clean:
                self._save(key, value, version, expires)
        self.retry_parked()

    def save_all(self) -> tuple[Saving, Generator[float]]:
        """A pass that saves what the persistent tier lacks, and what it is to be gone on with: see :class:`Saving`."""
        saving = Saving(self.memory, self.pending, self.motion, self._save)
        return saving, self._hurried(saving.run())

    def _hurried(self, run: Iterator[float]) -> Generator[float]:
        self.savings += 1
        try:
            self._wake()
            yield from run
        finally:
            self.savings -= 1

    # --- slots that leave for another node -----------------------------------------------------------------------

    def begin_move(self, slots: SlotSet) -> Move:
        """Begins to move these slots away, until :meth:`end_move`."""
        assert self.move is None
        self.move = Move(slots, self.memory, self.pending, self._save, self._under_way, self._wake)
        return self.move

    def end_move(self) -> None:
        """The move is over, be it done or called off. None of its iterators may be gone on with."""
        assert self.move is not None
        self.move.end()
        if self.move.released:
            self._stale.append(self.move.slots)
        self.move = None

    def _under_way(self) -> Iterator[str]:
        """The keys that something still loads or writes. What stands in a line waits for a load or for a row."""
        yield from (load.key for load in self.loading)
        yield from self.room.keys
        yield from (key for step in self.steps for key in step.keys)

    @property
    def has_room_to_warm(self) -> bool:
        """Whether memory has room for what is being loaded and one record more, of which each is taken to be as long as
        those that are here: so that none of these has to leave."""
        memory, loading = self.memory, len(self.loading)
        mean = memory.bytes / max(1, len(memory))
        fits = not memory.max_bytes or memory.bytes + (loading + 1) * mean <= memory.max_bytes
        return fits and len(memory) + loading < memory.capacity

    def warm(self, key: str) -> Load | None:
        """Loads the record, which somebody may ask for soon; None where a GET would not have to load it, or could not.
        Whoever calls this has to wait for the load: one that nobody waits for is not made."""
        known = key in self.memory or key in self.pending or self.absent.get(key) is not None
        if known or self.loading.refusal is not None:
            return None
        load = self.loading.join(key, self._clock())
        self._wake_loads()
        return load

    def forget(self, slots: SlotSet, note: Callable[[list[str]], None] = lambda _: None) -> Iterator[None]:
        """See :meth:`ckv.store.Records.forget`. Nothing of these slots may be pending. ``note`` is told the keys of
        records before they leave memory."""
        self._stale.append(slots)
        self.loading.forget(slots)
        return self._forget(slots, note)

    def _forget(self, slots: SlotSet, note: Callable[[list[str]], None] = lambda _: None) -> Iterator[None]:
        for table in (self.memory, self.absent):
            for keys in pieces(table, slots):
                if table is self.memory:
                    note(keys)
                for key in keys:
                    table.remove(key)
                yield
        self._stale = [stale for stale in self._stale if not slots.covers(stale)]

    def distrust(self) -> None:
        # What is another node's is dropped first: copies that are not clean any more would be saved over its records.
        released = [self.move.slots] if self.move is not None and self.move.released else []
        for slots in self._stale + released:
            for _ in self._forget(slots):
                pass
        super().distrust()
        if self.move is not None:
            self.move.distrust()

    # --- what an operator asks for -------------------------------------------------------------------------------

    def keys(self) -> list[str]:
        # One pass over all of them, with sets, for to ask memory for each key of a million takes half a second.
        found = self.memory.keys()
        others = self.pending.keys() | set(self.absent.keys())
        others.difference_update(found)
        found.extend(others)
        return found

    def locate(self, key: str) -> Place:
        value = self.memory.peek(key)
        row = self.pending.find(key)
        if value is not None:
            # A row that is on its way may have been committed already, and memory not been told.
            where: Where = "clean" if row is None and self.memory.is_clean(key) else "dirty"
            return Place(where, value, self.memory.expires_of(key))
        if self.memory.is_over(key):
            return Place("absent" if row is None and self.memory.is_clean(key) else "tombstone", None)
        if row is None:
            return Place("absent" if key in self.absent else "elsewhere", None)
        if row.value is TOMBSTONE or self._is_over(row.expires):
            return Place("tombstone", None)
        return Place("pending" if row.refused is None else "parked", row.value, row.expires)

    def is_unsaved(self, key: str) -> bool:
        return key in self.pending

    def estimated(self) -> tuple[int, int]:
        pending = self.pending
        alive = deleted = looked_at = 0
        for key, row in islice(pending, MOST_COUNTED):
            looked_at += 1
            if row.value is TOMBSTONE or self._is_over(row.expires):
                deleted += 1
            elif key not in self.memory:
                alive += 1
        share = len(pending) / looked_at if looked_at else 0.0
        return len(self.memory) + round(share * alive), self.memory.clean + round(share * deleted)

    @property
    def holds(self) -> bool:
        # What stands in a line waits for a load or for a row that is being saved.
        return bool(super().holds or self.unsaved or len(self.loading) or len(self.room) or self.steps)

    @property
    def unsaved(self) -> int:
        return len(self.pending)

    @property
    def parked(self) -> int:
        return self.pending.parked

    def measured(self) -> Figures:
        since = self.pending.waiting_since
        return replace(
            super().measured(),
            absent_keys=len(self.absent),
            absent_bytes=self.absent.bytes,
            absent_hits=self.figures.absent_hits + self.absent.hits,
            pending_records=len(self.pending),
            pending_bytes=self.pending.bytes,
            pending_oldest_seconds=self._clock() - since if since is not None else 0.0,
            parked_records=self.pending.parked,
            writes_waiting_for_room=len(self.room),
            loads_queued=self.loading.queued,
        )

    def check(self) -> None:
        super().check()
        self.room.check()
        self.pending.check()
        self.loading.check()
        self.absent.check()
        self._check_rows()
        for load in self.loading:
            assert not (load.current and load.key in self.memory), f"the load of {load.key!r} would overwrite a record"
