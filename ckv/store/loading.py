"""Misses on their way back: one query for many keys, one load per key, any number that wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

import cachebox

from ckv.errors import CkvError, TierUnavailable
from ckv.store.waiting import Waiting
from ckv.values import Value

ABSENT_KEYS: Final = 100_000
"""How many keys that do not exist are remembered (about 10 MB), so that asking again costs no query."""


class Load(Waiting[Value]):
    """One key that is being looked for in the persistent tier; None when there is no record."""

    __slots__ = ("current", "deadline", "deletes", "error", "gets", "key")

    def __init__(self, key: str, deadline: float) -> None:
        super().__init__()
        self.key = key
        self.deadline = deadline
        self.current = True
        """Nothing was written to the key since the load began: what it finds may be installed (invariant I2)."""
        self.deletes = False
        """A DEL waits to hear whether there was a record; the pending row is held until then."""
        self.error: CkvError | None = None
        """Why the last attempt failed."""
        self.gets = 0
        """GETs that wait for it."""


class Loading:
    """The loads that are queued or under way, and the keys that are known not to exist."""

    def __init__(self, timeout: float) -> None:
        """``timeout``, in seconds, is how long anybody waits for a load."""
        self._timeout = timeout
        self._current: dict[str, Load] = {}
        self._queue: deque[Load] = deque()
        self._open: dict[Load, None] = {}
        self._absent: cachebox.LRUCache[str, None] = cachebox.LRUCache(ABSENT_KEYS)
        self.begun = 0
        """Loads that were begun."""
        self.shared = 0
        """Requests that joined a load which was there already."""
        self.timeouts = 0
        """Loads that somebody waited for until their time was over."""

    @property
    def queued(self) -> int:
        """Loads that a query could take now."""
        return len(self._queue)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Load]:
        return iter(self._open)

    def join(self, key: str, now: float) -> Load:
        """The load of this key: the one under way, if nothing was written to the key since, or a new one."""
        load = self._current.get(key)
        if load is None or not load.wanted:
            # One that nobody waits for any more ran into its time-out: it must not take newcomers' time with it.
            if load is not None:
                load.current = False
            load = self._current[key] = Load(key, now + self._timeout)
            self._queue.append(load)
            self._open[load] = None
            self.begun += 1
        else:
            self.shared += 1
        return load

    def written(self, key: str) -> Load | None:
        """A write came: whoever waits is still told what the load finds, but it is not installed. Returns the load."""
        load = self._current.pop(key, None)
        if load is not None:
            load.current = False
        return load

    def take(self, max_keys: int) -> tuple[list[Load], list[Load]]:
        """The oldest loads for one query, and those that were dropped because nobody waits for them."""
        batch: list[Load] = []
        dropped: list[Load] = []
        while self._queue and len(batch) < max_keys:
            load = self._queue.popleft()
            (batch if load.wanted else dropped).append(load)
        for load in dropped:
            self.ended(load)
        return batch, dropped

    def again(self, batch: Sequence[Load], error: CkvError) -> None:
        """The query failed: its loads go first in the next one, until their time is over."""
        for load in reversed(batch):
            load.error = error
            self._queue.appendleft(load)

    def ended(self, load: Load) -> None:
        """The load is over; the next miss of its key begins another."""
        del self._open[load]
        if load.current:
            del self._current[load.key]

    def expire(self, now: float) -> None:
        """Tells everybody whose time is over that the persistent tier did not answer."""
        # In the order in which they began, which is that of their deadlines.
        overdue = list(takewhile(lambda load: load.deadline <= now, self._open))
        for load in overdue:
            if load.wanted:
                self.timeouts += 1
                load.gets = 0
                why = f": {load.error}" if load.error is not None else ""
                load.tell(None, TierUnavailable(f"the persistent tier did not answer within {self._timeout:g} s{why}"))

    # --- keys that do not exist ----------------------------------------------------------------------------------

    def is_absent(self, key: str) -> bool:
        """Whether the persistent tier is known to have no record of this key."""
        return key in self._absent

    def absent_keys(self) -> list[str]:
        """All keys that are known not to exist."""
        return list(self._absent.keys())

    @property
    def absent(self) -> int:
        """How many keys are known not to exist."""
        return len(self._absent)

    def note_absent(self, key: str) -> None:
        """The persistent tier has no record of this key."""
        self._absent.insert(key, None)

    def note_present(self, key: str) -> None:
        """The persistent tier may be going to have a record of this key."""
        self._absent.pop(key, None)
