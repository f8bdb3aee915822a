"""The write modes: when a PUT or a DEL is answered, and so what a crash can cost. The third has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from ckv.errors import CkvError, TierUnavailable
from ckv.store.change import Loaded
from ckv.store.loading import Load
from ckv.store.room import RoomWait
from ckv.store.row import TOMBSTONE, Write
from ckv.store.store import Store
from ckv.store.through import ThroughStore
from ckv.store.tiers import BATCH_RECORDS, Environment
from ckv.store.updates import Queued, Unknown
from ckv.store.waiting import Waiting
from ckv.values import Value


class EvictStore(Store):
    """Answered when memory has the record; pending has what left memory, and deletions."""

    MEMORY_MAY_PUT = True

    def get_elsewhere(self, key: str) -> Value | Waiting[Value] | None:
        if self._has_ended(key):
            return None
        row = self.pending.find(key)
        if row is not None:
            if row.value is TOMBSTONE or self._is_over(row.expires):
                self.figures.absent_hits += 1
                return None
            self.figures.hits_pending += 1
            self._recall(key, row.value, row.version, row.expires)
            return row.value
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.get(key), writes=False, needs_value=True)
        return self._look_up(key)

    def put(self, key: str, value: Value, expires: int = 0) -> Literal[True] | RoomWait | Queued:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.put(key, value, expires))
        if key in self.room.keys or (
            (self.pending.full or self.room.shut) and not self.memory.has_room_for(key, value, expires)
        ):
            return self._wait_for_room(key, value, expires)
        self.loading.written(key)
        while not self._memory_put(key, value, 0, False, expires):
            self._evict()
        return True

    def expires_of(self, key: str) -> int | Waiting[Any] | None:
        if key in self.memory:
            return self.memory.expires_of(key) if not self.memory.is_over(key) else None
        row = self.pending.find(key)
        if row is not None:
            return row.expires if row.value is not TOMBSTONE and not self._is_over(row.expires) else None
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.expires_of(key), writes=False, needs_value=True)
        return self._look_up(key)

    def has(self, key: str) -> bool | None:
        if key in self.memory:
            return not self.memory.is_over(key)
        row = self.pending.find(key)
        if row is not None:
            return row.value is not TOMBSTONE and not self._is_over(row.expires)
        return False if key in self.absent else None

    def unsaved_keys(self) -> list[str]:
        return list(self.pending.keys())

    def delete(self, key: str) -> bool | Load | RoomWait | Queued:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.delete(key))
        if self._has_no_row_free(key):
            return self._wait_for_room(key, TOMBSTONE)
        if self.memory.is_over(key):
            self._end(key)
        in_memory = self.memory.remove(key)
        row = self.pending.find(key)
        if in_memory or row is not None:
            existed = in_memory or not (row is None or row.value is TOMBSTONE or self._is_over(row.expires))
            self.loading.written(key)
            if existed:
                self._bury(key)
            return existed
        if key in self.absent:
            return False
        why = self.loading.refusal
        if why is None:
            return self._look_up_and_hold(key, self.memory.new_version())
        self.loading.written(key)
        self._bury(key)
        self.figures.load_refusals += 1
        raise TierUnavailable(f"the record is deleted; whether there was one is not known: {why}")

    def remove(self, key: str) -> Waiting[Any] | None:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.remove(key))
        if self._has_no_row_free(key):
            return self._wait_for_room(key, TOMBSTONE)
        self.memory.remove(key)
        self.loading.written(key)
        self._bury(key)
        return None

    def _bury(self, key: str) -> None:
        self.pending.add(key, TOMBSTONE, self._clock(), self.memory.new_version())
        self._wake()

    # --- hooks ---------------------------------------------------------------------------------------------------

    def _to_update(self, key: str) -> Loaded | Unknown:
        value = self.memory.get(key)
        if value is not None:
            return Loaded(value, self.memory.expires_of(key))
        if self._has_ended(key):
            return Loaded(None)
        row = self.pending.find(key)
        if row is None:
            return Loaded(None) if self.absent.get(key) is not None else Unknown.ELSEWHERE
        if row.value is TOMBSTONE or self._is_over(row.expires):
            self.figures.absent_hits += 1
            return Loaded(None)
        self.figures.hits_pending += 1
        return Loaded(row.value, row.expires)

    def _may_wait(self, environment: Environment) -> tuple[float, int]:
        return environment.linger, BATCH_RECORDS

    def _save(self, key: str, value: Value, version: int, expires: int) -> None:
        self.loading.written(key)  # By compiled code maybe, which tells nobody.
        if self._is_over(expires) and key in self.absent:
            return  # there is no older one
        self.pending.add(key, value, self._clock(), version, expires)
        self.absent.remove(key)
        self._wake()

    def _end(self, key: str) -> None:
        if self.memory.is_clean(key):
            if key not in self.pending:
                self.note_absent(key)
        elif key not in self.absent:
            if self.pending.full and key not in self.pending:
                return  # it stays, and does what a tombstone would
            self._bury(key)
        self.memory.remove(key)
        self.loading.written(key)
        self.figures.expired_keys += 1

    def _victims_need_room(self) -> bool:
        return True

    def _committed(self, batch: Sequence[Write]) -> None:
        for key, value, version, _ in self.pending.committed(batch):
            if value is TOMBSTONE:
                self.note_absent(key)
            self.memory.mark_clean(key, version)  # also one that is over, for which a tombstone was written

    def _refused(self, write: Write, error: CkvError) -> None:
        self.pending.park(write, error)  # it was accepted, so it stays

    def _check_rows(self) -> None:
        for key, row in self.pending:
            assert key not in self.absent or row.value is TOMBSTONE, f"{key!r} is pending and called absent"
            assert not self.memory.is_clean(key) or row.version == self.memory.version_of(key), f"{key!r} is not clean"


class BehindStore(EvictStore):
    """Answered when memory has the record and its row is queued; flushed after a delay, or when a batch is full."""

    MEMORY_MAY_PUT = False

    _doubts = False
    """Memory may have records that are neither queued nor clean, as it was distrusted at some time."""

    def put(self, key: str, value: Value, expires: int = 0) -> Literal[True] | RoomWait | Queued:
        if key in self.lines:
            return self._stand_in_line(key, lambda _: self.put(key, value, expires))
        if self._has_no_row_free(key):
            return self._wait_for_room(key, value, expires)
        version = self.memory.new_version()
        self.loading.written(key)
        self.pending.add(key, value, self._clock(), version, expires)
        self.absent.remove(key)
        self._wake()
        self._recall(key, value, version, expires)
        return True

    def _save(self, key: str, value: Value, version: int, expires: int) -> None:
        row = self.pending.find(key)
        if row is None or row.version <= version:  # else it makes room for its own newer value: see put()
            super()._save(key, value, version, expires)

    def _victims_need_room(self) -> bool:
        return self._doubts  # else all are on their way already

    def distrust(self) -> None:
        super().distrust()
        self._doubts = True

    def _may_wait(self, environment: Environment) -> tuple[float, int]:
        return environment.write_delay, environment.write_batch


MODES: Final[dict[str, type[Store]]] = {"evict": EvictStore, "behind": BehindStore, "through": ThroughStore}
"""Write mode to the store that follows it."""
