"""A store in a world of its own: a simulated persistent tier, a simulated clock, and a model that knows the truth.

Nothing here waits. A test decides what happens next, one call at a time: a request, a load or a flush that begins,
reaches the tier, ends or fails. After each step :meth:`World.check` compares the store with the model.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ckv.errors import CkvError, NoRoom, TierUnavailable
from ckv.store.loading import Load
from ckv.store.memory import POLICIES
from ckv.store.pending import TOMBSTONE, Pending, Write
from ckv.store.store import RoomWait, Store
from ckv.values import Value

LOAD_TIMEOUT = 5.0
PENDING_WAIT = 1.0


@dataclass
class Query:
    """A load on its way: what the tier answered is fixed at some moment between its begin and its end."""

    loads: list[Load]
    found: dict[str, Value] | None = None


@dataclass
class Flush:
    """A batch on its way."""

    batch: list[Write]
    committed: bool = False


class World:
    """One store, its simulated tier, and the truth."""

    def __init__(self, policy: str, capacity: int, pending_max: int) -> None:
        self._policy = policy
        self._capacity = capacity
        self._pending_max = pending_max
        self.now = 0.0
        self.tier: dict[str, Value] = {}
        self.history: defaultdict[str, list[Value | None]] = defaultdict(lambda: [None])
        """Every value that was accepted, per key, in order; the last one is the truth."""
        self._reached: defaultdict[str, int] = defaultdict(int)
        """The place in the history that the tier has reached."""
        self.queries: list[Query] = []
        self.flushes: list[Flush] = []
        self._last_turn: defaultdict[str, int] = defaultdict(int)
        self._turns = 0
        self._values = 0
        self.start()

    def start(self) -> None:
        """A new process over the same tier."""
        self.queries.clear()
        self.flushes.clear()
        self.memory = POLICIES[self._policy](self._capacity)
        self.pending = Pending(self._pending_max, max_bytes=1 << 40)
        self.store = Store(
            self.memory,
            self.pending,
            clock=lambda: self.now,
            load_timeout=LOAD_TIMEOUT,
            pending_wait=PENDING_WAIT,
            wake=lambda: None,
        )

    # --- requests ------------------------------------------------------------------------------------------------

    def put(self, key: str) -> None:
        # A value of its own for each put, so that it can be told when it was written.
        self._values += 1
        value = f"{key}={self._values}"
        turn = self._turn()
        wait = self.store.put(key, value)
        if wait is None:
            self._accepted(key, value, turn)
        else:
            wait.wait(lambda _, error: self._room_told(key, value, turn, error))

    def get(self, key: str) -> None:
        answer = self.store.get(key)
        if isinstance(answer, Load):
            since = len(self.history[key]) - 1
            answer.wait(lambda value, error: self._get_told(key, since, value, error))
        else:
            assert answer == self.truth(key), f"GET {key}: {answer!r}, not {self.truth(key)!r}"

    def delete(self, key: str) -> None:
        turn = self._turn()
        self._deleted(key, turn, self.store.delete(key))

    def _deleted(self, key: str, turn: int, answer: bool | Load | RoomWait | None) -> None:
        if isinstance(answer, RoomWait):
            answer.wait(lambda result, error: self._delete_told(key, turn, result, error))
            return
        existed = self.truth(key) is not None
        self._accepted(key, None, turn)
        if isinstance(answer, Load):
            answer.wait(lambda value, error: self._existence_told(key, existed, value, error))
        else:
            assert answer is existed, f"DEL {key}: {answer}, not {existed}"

    def _turn(self) -> int:
        self._turns += 1
        return self._turns

    def _accepted(self, key: str, value: Value | None, turn: int) -> None:
        assert turn > self._last_turn[key], f"I4: a write of {key} was accepted before one that was asked earlier"
        self._last_turn[key] = turn
        if value is not None or self.truth(key) is not None:
            self.history[key].append(value)

    def _room_told(self, key: str, value: Value, turn: int, error: CkvError | None) -> None:
        if error is None:
            self._accepted(key, value, turn)
        else:
            assert isinstance(error, NoRoom)

    def _delete_told(self, key: str, turn: int, result: bool | Load | None, error: CkvError | None) -> None:
        if error is None:
            self._deleted(key, turn, result)
        else:
            assert isinstance(error, NoRoom)

    def _get_told(self, key: str, since: int, value: Value | None, error: CkvError | None) -> None:
        if error is None:
            allowed = self.history[key][since:]
            assert value in allowed, f"GET {key}: {value!r}, which was none of {allowed!r} since it was asked"
        else:
            assert isinstance(error, TierUnavailable)

    def _existence_told(self, key: str, existed: bool, value: Value | None, error: CkvError | None) -> None:
        if error is None:
            assert (value is not None) is existed, f"DEL {key}: {value is not None}, not {existed}"
        else:
            assert isinstance(error, TierUnavailable)

    # --- the persistent tier -------------------------------------------------------------------------------------

    def load_begin(self) -> None:
        loads = self.store.load_begin()
        if loads:
            self.queries.append(Query(loads))

    def load_read(self, index: int) -> None:
        """The tier answers the query; the answer is on its way."""
        query = self.queries[index]
        if query.found is None:
            query.found = {load.key: self.tier[load.key] for load in query.loads if load.key in self.tier}

    def load_end(self, index: int) -> None:
        self.load_read(index)
        query = self.queries.pop(index)
        assert query.found is not None
        self.store.load_end(query.loads, query.found)

    def load_fail(self, index: int) -> None:
        self.store.load_failed(self.queries.pop(index).loads, TierUnavailable("simulated"))

    def flush_begin(self) -> None:
        batch = self.store.flush_begin()
        if batch:
            keys = [write.key for write in batch]
            others = [write.key for flush in self.flushes for write in flush.batch]
            assert len(set(keys + others)) == len(keys + others), "I4: two flushes of one key are under way"
            self.flushes.append(Flush(batch))

    def flush_commit(self, index: int) -> None:
        """The tier commits the batch; the word of it is on its way."""
        flush = self.flushes[index]
        if flush.committed:
            return
        flush.committed = True
        for key, value, _ in flush.batch:
            place = self._place(key, value)
            assert place >= self._reached[key], f"I4: {key} goes back to {value!r} in the tier"
            self._reached[key] = place
            if value is TOMBSTONE:
                self.tier.pop(key, None)
            else:
                self.tier[key] = value

    def flush_end(self, index: int) -> None:
        self.flush_commit(index)
        self.store.flush_end(self.flushes.pop(index).batch)

    def flush_fail(self, index: int) -> None:
        self.store.flush_failed(self.flushes.pop(index).batch)

    def _place(self, key: str, value: Value | None) -> int:
        history = self.history[key]
        # A tombstone stands for the latest deletion that it can be; values are unique.
        return len(history) - 1 - history[::-1].index(value)

    # --- time and the end ----------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.store.expire()

    def settle(self) -> None:
        """Everything under way ends, and everything that waits is carried."""
        while True:
            while self.queries:
                self.load_end(0)
            while self.flushes:
                self.flush_end(0)
            self.load_begin()
            self.flush_begin()
            if not (self.queries or self.flushes):
                return

    def drain_and_restart(self) -> None:
        """A stop that saves everything, and a new process."""
        self.store.drain_begin()
        self.settle()
        assert self.store.unsaved == 0, f"{self.store.unsaved} left after the drain"
        truth = {key: history[-1] for key, history in self.history.items() if history[-1] is not None}
        assert self.tier == truth, f"I7: the tier has {self.tier!r}, not {truth!r}"
        self.start()

    # --- the truth -----------------------------------------------------------------------------------------------

    def truth(self, key: str) -> Value | None:
        """The value that was accepted last."""
        return self.history[key][-1]

    def check(self) -> None:
        """The invariants, after any step."""
        self.store.check()
        assert len(self.memory) <= self._capacity
        for key, history in self.history.items():
            value = self.memory.peek(key)
            if value is None:
                row = self.pending.find(key)
                value = row.value if row is not None else self.tier.get(key)
            assert value == history[-1], f"I1: {key} is {value!r} in the tiers, not {history[-1]!r}"
