"""The records of a node without a persistent tier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from ckv.store import Place, Records
from ckv.store.change import KEEP, Loaded, ModifyRecord, Run
from ckv.store.copying import Copy
from ckv.store.figures import Figures
from ckv.store.loading import Asker, Load
from ckv.store.memory import POLICIES, Memory
from ckv.store.memory.slots import SlotSet
from ckv.store.moving import pieces
from ckv.values import Value


class MemoryStore(Records):
    """What is not in memory does not exist: a victim is dropped, and counted."""

    unsaved = parked = 0
    is_whole = True

    def __init__(self, memory: Memory, now_ms: Callable[[], int] = int) -> None:
        """``now_ms``: the time of day in milliseconds of the epoch; by default it stands still."""
        super().__init__(memory, absent=POLICIES["lru"](1))  # which stays empty
        self.move: Copy | None = None
        """The slots that are on their way to another node."""
        memory.now_ms = now_ms
        memory.may_put = memory.may_add = memory.may_drop = memory.may_miss = True

    def get_elsewhere(self, key: str) -> None:
        if self.memory.expiring:
            self._end(key)

    def put(self, key: str, value: Value, expires: int = 0) -> Literal[True]:
        while not self.memory.put(key, value, expires=expires):
            if self.memory.evict()[0] == key:
                self.motion.displaced(key)
        return True

    def expires_of(self, key: str) -> int | None:
        self._end(key)
        return self.memory.expires_of(key) if key in self.memory else None

    def delete(self, key: str) -> bool:
        self._end(key)
        return self.memory.remove(key)

    def remove(self, key: str) -> None:
        self.memory.remove(key)

    def update_record(self, key: str, modify: ModifyRecord) -> object:
        self._end(key)
        expires = self.memory.expires_of(key)
        change = modify(self.memory.get(key), expires)
        if change.writes:
            if change.value is None:
                self.delete(key)
            else:
                self.put(key, change.value, expires if change.expires == KEEP else change.expires)
        return change.result

    def together(self, keys: Mapping[str, bool], run: Run, *, writes: bool = True) -> object:
        return run(self._known)

    def _known(self, key: str) -> Loaded:
        self._end(key)
        return Loaded(self.memory.get(key), self.memory.expires_of(key))

    def _end(self, key: str) -> None:
        if self.memory.is_over(key):
            self.memory.remove(key)
            self.figures.expired_keys += 1

    def asked_by(self, load: Load, asker: Asker) -> None:
        """There are no loads."""

    def expire(self) -> None:
        """Nothing waits."""

    def drain_begin(self) -> None:
        self.memory.may_put = False

    def begin_move(self, slots: SlotSet) -> Copy:
        """Begins to move these slots away, until :meth:`end_move`."""
        assert self.move is None
        self.move = Copy(slots, self.memory)
        return self.move

    def end_move(self) -> None:
        """The move is over, be it done or called off. None of its iterators may be gone on with."""
        assert self.move is not None
        self.move.end()
        self.move = None

    def forget(self, slots: SlotSet) -> Iterator[None]:
        for keys in pieces(self.memory, slots):
            for key in keys:
                self.memory.remove(key)
            yield

    def retry_parked(self) -> int:
        return 0

    def keys(self) -> list[str]:
        return self.memory.keys()

    def locate(self, key: str) -> Place:
        value = self.memory.peek(key)
        return Place("dirty", value, self.memory.expires_of(key)) if value is not None else Place("elsewhere", None)

    def has(self, key: str) -> bool:
        return key in self.memory and not self.memory.is_over(key)

    def is_unsaved(self, key: str) -> bool:
        return False

    def unsaved_keys(self) -> list[str]:
        return []

    def estimated(self) -> tuple[int, int]:
        return len(self.memory), 0

    def measured(self) -> Figures:
        memory = self.memory
        return replace(super().measured(), misses=memory.misses, dropped_records=memory.evicted)
