"""The records of a node without a persistent tier."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ckv.store import Place, Records
from ckv.store.figures import Figures
from ckv.store.loading import Asker, Load
from ckv.store.memory import POLICIES, Memory
from ckv.values import Value


class MemoryStore(Records):
    """What is not in memory does not exist: a victim is dropped, and counted."""

    unsaved = parked = 0

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, absent=POLICIES["lru"](1))  # which stays empty
        memory.may_put = memory.may_add = memory.may_drop = memory.may_miss = True

    def get_elsewhere(self, key: str) -> None:
        return None

    def put(self, key: str, value: Value) -> Literal[True]:
        while not self.memory.put(key, value):
            self.memory.evict()
        return True

    def delete(self, key: str) -> bool:
        return self.memory.remove(key)

    def asked_by(self, load: Load, asker: Asker) -> None:
        """There are no loads."""

    def expire(self) -> None:
        """Nothing waits."""

    def drain_begin(self) -> None:
        self.memory.may_put = False

    def retry_parked(self) -> int:
        return 0

    def keys(self) -> list[str]:
        return self.memory.keys()

    def locate(self, key: str) -> Place:
        value = self.memory.peek(key)
        return Place("dirty" if value is not None else "elsewhere", value)

    def measured(self) -> Figures:
        memory = self.memory
        return replace(super().measured(), misses=memory.misses, dropped_records=memory.evicted)
