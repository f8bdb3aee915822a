"""Misses on their way back: one query for many keys, one load per key, any number that wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import takewhile
from typing import Final, NamedTuple, Protocol

from ckv.errors import CkvError, TierUnavailable
from ckv.store.figures import Figures
from ckv.store.memory import Memory
from ckv.store.memory.slots import SlotSet
from ckv.store.waiting import Waiting
from ckv.values import Value

LOAD_RECORDS: Final = 500
"""Keys in one query: about where MariaDB gives most rows a second."""

LOAD_BYTES: Final = 4 * 1024 * 1024
"""Bytes of values that one query may bring: at 500 keys, 8 KiB each. A single value may be larger. Nobody else is
served while they are taken in, installed and answered."""

FIRST_GUESS_BYTES: Final = 32 * 1024
"""How long a value is taken to be before any was loaded: the first query is for 64 keys."""

ROOM_FOR_LARGER: Final = 2
"""A value gets room for this many times the mean of those that were loaded last."""

LEARNT_FROM: Final = 50
"""After a query that brings so many values, the mean is half theirs."""

FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.5
"""Seconds before a row that somebody has locked is asked for again: they double from the first to the longest."""

LOOK_AGAIN: Final = 0.01
"""Seconds between two looks whether those have read their answers who were not asked for anything more."""


class Asker(Protocol):
    """Whoever gets the answer: a client's connection, or another node's."""

    @property
    def congested(self) -> bool:
        """Whether it has so many unread answers that nothing should be loaded for it now."""


@dataclass(eq=False, slots=True)
class Load(Waiting[Value]):
    """One key that is being looked for in the persistent tier; None when there is no record."""

    key: str
    deadline: float
    """By the clock of :class:`Loading`, which does not always run."""
    current: bool = True
    """Nothing was written to the key since the load began: what it finds may be installed (invariant I2)."""
    trusted: bool = True
    """The persistent tier is the one of when it began: that it finds nothing means that there is nothing."""
    deletes: bool = False
    """A DEL waits to hear whether there was a record; the pending row is held until then."""
    error: CkvError | None = None
    """Why the last attempt failed."""
    gets: int = 0
    """GETs that wait for it."""
    askers: list[Asker] = field(default_factory=list)
    """Who has to have room for the answer; empty when it does not matter."""
    held: bool = False
    """Not asked for as long as all askers are congested."""
    size: int = 0
    """Bytes of the value, when a query had no room for it; 0 when that is not known."""
    expires: int = 0
    """When the record expires that was found, in milliseconds of the epoch; 0 for never."""
    pause: float = FIRST_PAUSE
    """Seconds before the next attempt, if the row is locked again."""
    found: tuple[Value | None, int] | None = None
    """What it found, and when that expires; None before the end."""
    pins: int = 0
    """Those who need to know whether what it found is still true (:meth:`Loading.pin`)."""


class Query(NamedTuple):
    """Loads that one query looks for."""

    loads: list[Load]
    max_value_bytes: int
    """A longer value is left where it is, and only its size is told; 0 for no bound."""
    max_bytes: int
    """What all values may come to, but for a single one."""
    began: float


class Loading:
    """The loads that are queued or under way."""

    def __init__(self, timeout: float, memory: Memory, figures: Figures) -> None:
        """``timeout``: seconds that anybody waits. ``memory`` is told whether a PUT of a new key has to come here."""
        self._figures = figures
        self._timeout = timeout
        self._memory = memory
        memory.may_add = True
        self._current: dict[str, Load] = {}
        self._queue: deque[Load] = deque()
        self._parts: deque[list[Load]] = deque()
        """Parts of queries that met a locked row: each is tried by itself."""
        self._part_next = True
        self._paused: list[tuple[float, int, Load]] = []
        """A heap of loads whose row is locked: when each is due, and a number to tell them apart."""
        self._pauses = 0
        self._held: dict[Asker, dict[Load, None]] = {}
        """Loads that are not asked for, by the first of their askers, which are all congested."""
        self._look_at = 0.0
        self.pins = 0
        """Those of all loads."""
        self._open: dict[Load, None] = {}
        self._credit = 0.0
        """Seconds that queries took which brought as many bytes as they may. Nobody's time runs meanwhile: it is we who
        do not ask for everything at once."""
        self._credited = 0.0
        self._mean_bytes: float = FIRST_GUESS_BYTES
        self.refusal: CkvError | None = None
        """Why nothing is loaded now: the persistent tier is known to be away."""

    @property
    def queued(self) -> int:
        """Loads that wait for a query."""
        parts = sum(map(len, self._parts))
        return len(self._queue) + parts + len(self._paused) + sum(map(len, self._held.values()))

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Load]:
        return iter(self._open)

    def due_in(self, now: float) -> float | None:
        """Seconds until a query is due, 0 when it is due now; None when there is nothing to ask for."""
        if self._queue or self._parts:
            return 0.0
        due = [self._paused[0][0]] if self._paused else []
        if self._held:
            due.append(self._look_at)
        return max(0.0, min(due) - now) if due else None

    def join(self, key: str, now: float) -> Load:
        """The load of this key: the one under way, if nothing was written to the key since, or a new one."""
        load = self._current.get(key)
        if load is None or not load.wanted:
            # One that nobody waits for any more ran into its time-out: it must not take newcomers' time with it.
            if load is not None:
                load.current = False
            load = self._current[key] = Load(key, now - self._credit + self._timeout)
            self._queue.append(load)
            self._open[load] = None
            self._memory.may_add = False
            self._figures.loads += 1
        else:
            self._figures.loads_shared += 1
        return load

    def asked_by(self, load: Load, asker: Asker, now: float) -> None:
        """The load is made when any of its askers can take the answer. Without a call of this, at once."""
        load.askers.append(asker)
        if load.held and not asker.congested:
            self._free(load, now)

    def pin(self, load: Load) -> None:
        """Has :attr:`Load.current` tell, also after the end of the load, whether anything was written since."""
        load.pins += 1
        self.pins += 1

    def unpin(self, load: Load) -> None:
        """Takes one of them back."""
        load.pins -= 1
        self.pins -= 1
        if not load.pins and load.found is not None and load.current:
            self._forget(load.key)

    def written(self, key: str) -> None:
        """A write came: whoever waits is still told what the load finds, but it is not installed (I2)."""
        load = self._current.pop(key, None)
        if load is not None:
            load.current = False
            self._memory.may_add = not self._current

    def forget(self, slots: SlotSet) -> None:
        """The same of all keys in these slots, which somebody else may write to."""
        for key in [key for key in self._current if key in slots]:
            self.written(key)

    # --- queries ---------------------------------------------------------------------------------------------------

    def take(self, now: float, max_bytes: int) -> tuple[Query | None, list[Load]]:
        """The next query, and the loads that were dropped because nobody waits for them.

        Its values come to ``max_bytes`` at most, but for a single one that is larger. Queries that met locked rows and
        others take turns, so that neither holds up the other.
        """
        self._look_again(now)
        dropped: list[Load] = []
        self._part_next = not self._part_next
        batch = self._part(dropped) if self._part_next else []
        batch = batch or self._oldest(max_bytes, now, dropped) or self._part(dropped)
        for load in dropped:
            self.ended(load)
        if not batch:
            return None, dropped
        return Query(batch, max_bytes // len(batch) if len(batch) > 1 else 0, max_bytes, now), dropped

    def _look_again(self, now: float) -> None:
        while self._paused and self._paused[0][0] <= now:
            self._parts.append([heappop(self._paused)[2]])
        if self._held and self._look_at <= now:
            self._look_at = now + LOOK_AGAIN
            for asker in [asker for asker in self._held if not asker.congested]:
                for load in list(self._held[asker]):
                    self._free(load, now)

    def _free(self, load: Load, now: float) -> None:
        load.held = False
        asker = load.askers[0]
        del self._held[asker][load]
        if not self._held[asker]:
            del self._held[asker]
        self._put_off(load, now)
        self._queue.append(load)

    def _put_off(self, load: Load, now: float) -> None:
        """Gives a load its whole time again: it was not the persistent tier that it waited for."""
        del self._open[load]
        load.deadline = now - self._credit + self._timeout
        self._open[load] = None  # at the end, for the order is that of the deadlines

    def _oldest(self, max_bytes: int, now: float, dropped: list[Load]) -> list[Load]:
        batch: list[Load] = []
        guess = int(ROOM_FOR_LARGER * self._mean_bytes) + 1
        longest = 1
        while self._queue and len(batch) < LOAD_RECORDS:
            load = self._queue[0]
            longest = max(longest, load.size or guess)
            if batch and longest * (len(batch) + 1) > max_bytes:
                break
            self._queue.popleft()
            if not load.wanted:
                dropped.append(load)
            elif load.askers and all(asker.congested for asker in load.askers):
                self._hold(load, now)
            else:
                batch.append(load)
        return batch

    def _hold(self, load: Load, now: float) -> None:
        if not self._held:
            self._look_at = now + LOOK_AGAIN
        load.held = True
        self._held.setdefault(load.askers[0], {})[load] = None

    def _part(self, dropped: list[Load]) -> list[Load]:
        batch: list[Load] = []
        while self._parts and not batch:
            for load in self._parts.popleft():
                (batch if load.wanted else dropped).append(load)
        return batch

    def answered(self, query: Query, found: Mapping[str, Value], larger: Mapping[str, int], now: float) -> list[Load]:
        """The query answered: ``larger`` has the sizes of the values that it left. Returns the loads that are over."""
        loaded = len(found) + len(larger)
        if loaded:
            brought = sum(map(len, found.values()))
            mean = (brought + sum(larger.values())) / loaded
            self._mean_bytes += (mean - self._mean_bytes) * loaded / (loaded + LEARNT_FROM)
            if larger or 2 * brought >= query.max_bytes:
                self._credit += max(0.0, now - max(query.began, self._credited))
                self._credited = now
        if not larger:
            return query.loads
        left = [load for load in query.loads if load.key in larger]
        for load in left:
            load.size = larger[load.key]
        # Those of one size beside each other: the longest one of a query counts for all of them.
        self._queue.extendleft(sorted(left, key=lambda load: load.size, reverse=True))
        return [load for load in query.loads if load.key not in larger]

    def failed(self, query: Query, error: CkvError) -> None:
        """The query failed: its loads go first in the next one, until their time is over."""
        for load in query.loads:
            load.error = error
        self._queue.extendleft(reversed(query.loads))

    def locked(self, query: Query, error: CkvError, now: float) -> None:
        """Somebody has locked a row that the query asks for: by halves, it is found, and no other waits for it."""
        loads = query.loads
        for load in loads:
            load.error = error
        if len(loads) > 1:
            middle = len(loads) // 2
            self._parts += (loads[:middle], loads[middle:])
        else:
            (load,) = loads
            self._pauses += 1
            heappush(self._paused, (now + load.pause, self._pauses, load))
            load.pause = min(2 * load.pause, LONGEST_PAUSE)

    def ended(self, load: Load) -> None:
        """The load is over; the next miss of its key begins another."""
        del self._open[load]
        if load.current and not (load.pins and load.found is not None):
            self._forget(load.key)

    def _forget(self, key: str) -> None:
        del self._current[key]
        self._memory.may_add = not self._current

    def expire(self, now: float) -> None:
        """Tells everybody whose time is over that the persistent tier did not answer."""
        # In the order in which they began, which is that of their deadlines.
        overdue = list(takewhile(lambda load: load.deadline <= now - self._credit, self._open))
        for load in overdue:
            if load.held and load.wanted:
                self._put_off(load, now)
            elif load.wanted:
                self._figures.load_timeouts += 1
                load.gets = 0
                why = f": {load.error}" if load.error is not None else ""
                load.tell(None, TierUnavailable(f"the persistent tier did not answer within {self._timeout:g} s{why}"))

    def refuse(self, error: CkvError) -> list[Load]:
        """From now on nothing is loaded: everybody who waits is told the error. Returns the loads that are over.

        Those of a query that is under way are not over yet.
        """
        self.refusal = error
        for load in list(self._open):
            load.gets = 0
            load.tell(None, error)
        over = [*self._queue, *(load for part in self._parts for load in part)]
        over += [load for _, _, load in self._paused]
        over += [load for held in self._held.values() for load in held]
        self._queue.clear()
        self._parts.clear()
        self._paused.clear()
        self._held.clear()
        for load in over:
            self.ended(load)
        return over

    def distrust(self) -> None:
        """The persistent tier may have become another one: nothing that was found in the old one is installed.

        Whoever waits is still told it, as after a write.
        """
        for load in [*self._open, *self._current.values()]:
            load.current = load.trusted = False
        self._current.clear()
        self._memory.may_add = True

    def check(self) -> None:
        """Audits the bookkeeping; raises AssertionError."""
        assert self._memory.may_add is not bool(self._current), "memory may add what a load would overwrite"
