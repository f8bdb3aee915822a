"""The writes that wait for room in pending, in their order.

So pending is bounded, and nothing that was accepted is dropped however long the persistent tier is away (I6). A later
write of a key waits behind an earlier one of it, for they are to be accepted in the order in which they came (I4).

A write that waits costs much more than one that need not. So those that wait are not let in as soon as there is room
for one of them, but when there is for twice as many: as they go in, as many others can come that need not wait at all.
What comes before that and needs room waits behind them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ckv.errors import CkvError, NoRoom
from ckv.store.change import ModifyRecord
from ckv.store.figures import Figures
from ckv.store.loading import Load
from ckv.store.memory import Memory
from ckv.store.pending import Pending
from ckv.store.waiting import Waiting
from ckv.values import Value

ROOM_FOR: Final = 2
"""Writes for which there has to be room for each one that waits, before these are let in."""

MOST_SHARE: Final = 8
"""More than one in so many of the rows of pending need not be free for that."""

PATIENCE: Final = 0.05
"""Seconds after which writes are let in that wait as soon as there is room for one."""

Outcome = bool | Waiting[bool] | Load
"""What a write returns that need not wait for room."""


@dataclass(eq=False, slots=True)
class RoomWait(Waiting[Any]):
    """A write that waits. It is told what the write would have returned, or NoRoom."""

    key: str
    value: Value | ModifyRecord | None
    expires: int
    deadline: float


class Room:
    """Those that wait."""

    def __init__(self, memory: Memory, pending: Pending, figures: Figures, seconds: float, *, may_put: bool) -> None:
        """``seconds`` is how long a write waits. ``may_put``: memory takes PUTs by itself as long as nobody waits."""
        self._memory = memory
        self._pending = pending
        self._figures = figures
        self._seconds = seconds
        self._may_put = may_put
        self._waiting: deque[RoomWait] = deque()
        self.keys: dict[str, int] = {}
        """The keys of the writes that wait, and how many of each."""
        self.closed = False
        self.shut = False
        """Whether a write waits that needs room, even where there is some: others wait already."""
        self.most_share = MOST_SHARE
        self._permit()

    def __len__(self) -> int:
        return len(self._waiting)

    def _permit(self) -> None:
        self.shut = bool(self._waiting)
        self._memory.may_put = self._may_put and not (self._waiting or self.closed)

    def wait(self, key: str, value: Value | ModifyRecord | None, expires: int, now: float) -> RoomWait:
        """Has a write wait, or an update behind one."""
        wait = RoomWait(key, value, expires, now + self._seconds)
        self._waiting.append(wait)
        self.keys[key] = self.keys.get(key, 0) + 1
        if len(self._waiting) == 1:
            self._permit()
        return wait

    def _next(self) -> tuple[RoomWait, int]:
        """The first one, and how many there are of its key behind it, which are not in ``keys``."""
        wait = self._waiting.popleft()
        if not self._waiting:
            self._permit()
        return wait, self.keys.pop(wait.key) - 1

    def _opens(self, now: float) -> bool:
        """Whether to let them in now, as far as there is room."""
        if not self._waiting:
            return False
        most = self._pending.max_records
        enough = min(ROOM_FOR * len(self._waiting), most // self.most_share)
        impatient = now >= self._waiting[0].deadline - max(0.0, self._seconds - PATIENCE)
        return impatient or most - len(self._pending) >= enough

    def admit(self, write: Callable[[str, Value | ModifyRecord | None, int], object], now: float) -> None:
        """Carries out the writes that wait, in their order, as far as room came free and it is worth while."""
        if not self._opens(now):
            return
        self.shut = False
        while self._waiting and not self._pending.full:
            wait, others = self._next()  # those behind it must not make it wait again
            result: object = None
            error = None
            try:
                result = write(wait.key, wait.value, wait.expires)
            except CkvError as problem:
                error = problem
            if others:
                self.keys[wait.key] = others
            assert not isinstance(result, RoomWait)
            wait.tell(result, error)
        self.shut = bool(self._waiting)

    @contextmanager
    def unbounded(self) -> Iterator[None]:
        """Meanwhile nothing needs to wait: what is carried out as one step cannot stop in its middle."""
        shut, self.shut = self.shut, False
        try:
            with self._pending.unbounded():
                yield
        finally:
            self.shut = shut

    def expire(self, now: float) -> None:
        """Refuses the writes that have waited too long."""
        while self._waiting and self._waiting[0].deadline <= now:
            self._figures.refused_for_room += 1
            self._refuse(
                f"{len(self._pending)} records wait for the persistent tier and no room came free within"
                f" {self._seconds:g} s; nothing was written"
            )

    def leave(self, key: str) -> list[RoomWait]:
        """The writes of a key that wait, in their order: they wait elsewhere from now on."""
        left = [wait for wait in self._waiting if wait.key == key]
        self._waiting = deque(wait for wait in self._waiting if wait.key != key)
        del self.keys[key]
        self._permit()
        return left

    def close(self) -> None:
        """Refuses all that wait; nothing is to be written any more."""
        self.closed = True
        self._permit()
        while self._waiting:
            self._refuse("the node stops; nothing was written")

    def _refuse(self, why: str) -> None:
        wait, others = self._next()
        if others:
            self.keys[wait.key] = others
        wait.tell(None, NoRoom(why))

    def check(self) -> None:
        """Audits the bookkeeping; raises AssertionError."""
        assert sum(self.keys.values()) == len(self._waiting), "the writes that wait are miscounted"
