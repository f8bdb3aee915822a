"""What each policy says, in the plainest way."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar


class Model:
    """LRU, LFU and FIFO: the victim is the smallest by the policy's rule."""

    RULES: ClassVar[dict[str, Callable[[list[int]], tuple[int, ...]]]] = {
        "lru": lambda record: (record[1],),
        "lfu": lambda record: (record[2], record[1]),  # its last use brought it to its number of uses
        "fifo": lambda record: (record[0],),
    }

    def __init__(self, policy: str, capacity: int) -> None:
        self.rule = self.RULES[policy]
        self.capacity = capacity
        self.records: dict[str, list[int]] = {}  # came, last used, uses
        self.now = 0

    def use(self, key: str) -> None:
        self.now += 1
        if key in self.records:
            self.records[key][1:] = [self.now, self.records[key][2] + 1]

    def victim(self) -> str | None:
        return min(self.records, key=lambda other: self.rule(self.records[other]), default=None)

    def remove(self, key: str) -> None:
        self.records.pop(key, None)

    def put_out(self) -> str | None:
        victim = self.victim()
        if victim is not None:
            del self.records[victim]
        return victim

    def put(self, key: str) -> str | None:
        victim = None
        if key not in self.records:
            if len(self.records) == self.capacity:
                victim = self.put_out()
            self.records[key] = [self.now + 1, 0, 0]
        self.use(key)
        return victim


class S3Model:
    """S3-FIFO with queues as lists of keys, the next to leave first."""

    ALL = 2**30

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.records: dict[str, int] = {}  # uses
        self.left: dict[str, int] = {}
        self.small: list[str] = []
        self.main: list[str] = []
        self.part = self.ALL // 4
        self.ghosts: list[str | None] = []

    def use(self, key: str) -> None:
        if key in self.records:
            self.records[key] = min(3, self.records[key] + 1)

    def remove(self, key: str) -> None:
        if self.records.pop(key, None) is not None:
            (self.small if key in self.small else self.main).remove(key)
            self.left.pop(key, None)

    def heed(self, key: str) -> None:
        if key in self.left and self.records[key] == self.left[key]:
            self.move_part(24)
        elif self.records[key]:  # more than it had left, or it came by its ghost
            self.move_part(-16)

    def move_part(self, sixteenths: int) -> None:
        part = self.part + sixteenths * (self.ALL // 16 // (len(self.records) + 1))
        self.part = max(self.ALL // 100 + 1, min(part, self.ALL // 20 * 7))

    def put_out(self) -> str:
        while True:
            if self.small and (not self.main or len(self.small) * self.ALL > len(self.records) * self.part):
                victim = self.small[0]
                if not self.records[victim]:
                    # A ghost whose key came back keeps its place until that is the oldest.
                    self.ghosts = [*self.ghosts, victim][-self.capacity :]
                    break
                forgets = self.part > self.ALL // 5
                self.left[victim] = 0 if forgets else self.records[victim] - 1
                self.main.append(self.small.pop(0))
            else:
                victim = self.main[0]
                self.heed(victim)
                if not self.records[victim]:
                    break
                self.left[victim] = self.records[victim] - 1
                self.main.append(self.main.pop(0))
            self.records[victim] = self.left[victim]
        self.remove(victim)
        return victim

    def put(self, key: str) -> str | None:
        victim = None
        if key in self.records:
            self.use(key)
            return None
        if len(self.records) == self.capacity:
            victim = self.put_out()
        queue = self.small
        if key in self.ghosts:
            place = self.ghosts.index(key)
            self.ghosts[place] = None
            queue = self.main
            if len(self.ghosts) - 1 - place > len(self.ghosts) // 2:
                self.move_part(1)
                if self.part <= self.ALL // 5:
                    queue = self.small
        queue.append(key)
        self.records[key] = 0
        return victim


def model_of(policy: str, capacity: int) -> Model | S3Model:
    return S3Model(capacity) if policy == "s3fifo" else Model(policy, capacity)
