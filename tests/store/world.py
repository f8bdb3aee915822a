"""A store in a world of its own: a simulated persistent tier, a simulated clock, and a model that knows the truth.

Nothing here waits. A test decides what happens next, one call at a time: a request, a load or a flush that begins,
reaches the tier, ends or fails, a crash, a drain. After each step :meth:`World.check` compares store and model.

Every write has a *turn*, its place in the order of requests. Per key, the *history* is what readers could see, in
order: in the modes ``evict`` and ``behind`` a write enters it when it is accepted, in ``through`` when the tier
commits it. What has expired is not there, wherever it is (:meth:`World.alive`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ckv.errors import (
    CkvError,
    CommitTimeout,
    NoRoom,
    Refused,
    RowsRefused,
    SessionLost,
    TierUnavailable,
    ValueUnknown,
    WriteFailed,
)  # fmt: skip
from ckv.store.change import KEEP, Change, Look, kept
from ckv.store.loading import Load, Query
from ckv.store.memory import TABLES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.room import MOST_SHARE, RoomWait
from ckv.store.row import Write
from ckv.store.through import ThroughStore
from ckv.store.tiers import ABSENT_BYTES, ABSENT_KEYS, Environment
from ckv.store.trouble import STRIKES
from ckv.store.updates import Queued
from ckv.store.waiting import Waiter, Waiting
from ckv.values import Value

LOAD_TIMEOUT = 5.0
PENDING_WAIT = 1.0
WRITE_DELAY = 1.0
WRITE_BATCH = 3


@dataclass
class Seen:
    """A state of a key, and the turn of the write that made it."""

    value: Value | None
    turn: float
    expires: int = 0


Stored = tuple[Value, int]
"""A value, and when it expires, in milliseconds of the epoch; 0 for never."""

NOTHING = (None, 0)

EPOCH_MS = 1_000_000
"""What the time of day is when the clock is 0."""

Update = Literal["append", "expire", "take", "keep", "refuse"]
"""What an update does: write a value that shows what it was told, or the same again with another expiry, delete it,
leave it, or refuse it."""


Part = tuple[str, Literal["put", "delete", "append", "expire", "take", "look"], float | None]
"""What one part of a step does to its key; and when the record is to expire, as :meth:`World.put` and
:meth:`World.update` have it."""


@dataclass
class Asked:
    """A query on its way: what the tier answered is fixed at some moment between its begin and its end."""

    query: Query
    found: dict[str, Stored] | None = None
    stale: bool = False
    """The tier that answered it was replaced meanwhile."""


@dataclass
class Flush:
    """A batch on its way, with the last turn that each of its rows has."""

    batch: list[Write]
    turns: dict[str, float]
    probed: bool
    """A probe passed before it."""
    committed: bool = False
    stale: bool = False
    """The tier was replaced meanwhile."""


class Told(Waiting[bool]):
    """The outcome of a DEL whose answer is that nobody knows whether there was a record."""

    def __init__(self, error: TierUnavailable) -> None:
        super().__init__()
        self._error = error

    def wait(self, waiter: Waiter[bool]) -> None:
        waiter(None, self._error)


class World:
    """One store, its simulated tier, and the truth."""

    def __init__(
        self,
        policy: str,
        capacity: int,
        pending_max: int,
        mode: str = "evict",
        table: str = "plain",
        *,
        ahead_share: int = 256,
        room_share: int = MOST_SHARE,
    ) -> None:
        self._policies = TABLES[table]
        self._policy = policy
        self._capacity = capacity
        self._pending_max = pending_max
        self._mode = mode
        self._ahead_share = ahead_share
        self._room_share = room_share
        self.alone = False
        """Memory does alone what it may (``may_put`` and so on), as the compiled core has it do."""
        self._through = mode == "through"
        self.now = 0.0
        self.tier: dict[str, Stored] = {}
        self.history: defaultdict[str, list[Seen]] = defaultdict(lambda: [Seen(None, 0)])
        self._turn = 0
        self._last_turn: defaultdict[str, float] = defaultdict(int)
        """The turn of the last write that was accepted, or queued in ``through``."""
        self._last_value: dict[str, Value | None] = {}
        """What the key will be when everything that was accepted or queued has landed, unless it expires before."""
        self._last_expires: defaultdict[str, int] = defaultdict(int)
        """When it does; 0 for never."""
        self._tier_turn: defaultdict[str, float] = defaultdict(int)
        self._told_turn: defaultdict[str, float] = defaultdict(int)
        """The last write that a client was told of as done."""
        self._landed: defaultdict[str, int] = defaultdict(int)
        """``through``: the place in the history that the store knows to be committed."""
        self._refusals: defaultdict[str, int] = defaultdict(int)
        self.queries: list[Asked] = []
        self.flushes: list[Flush] = []
        self._replaced = False
        self._queued: defaultdict[str, set[float]] = defaultdict(set)
        """The turns of the requests of a key that stand in line."""
        self._built_on: defaultdict[str, set[float]] = defaultdict(set)
        """The turns of the writes of a key that updates were told of."""
        self._in_step = False
        self._step_turn = 0
        """The last turn before the step that is carried out."""
        self._most_pending = 0
        """What a step may have left in pending, beyond its bound."""
        self._reverted: set[str] = set()
        """Keys that a new tier has an older value of, until they are written to it."""
        self.lost = 0
        """Writes that crashes took back."""
        self.start()

    def start(self) -> None:
        """A new process over the same tier."""
        self.draining = self._in_step = False
        self._most_pending = 0
        self._sweep: Iterator[None] | None = None
        self.queries.clear()
        self.flushes.clear()
        self._queued.clear()
        self._built_on.clear()
        self.memory = self._policies[self._policy](self._capacity)
        self.pending = Pending(self._pending_max, max_bytes=1 << 40)
        self.store = MODES[self._mode](
            self.memory,
            self.pending,
            Environment(
                clock=lambda: self.now,
                now_ms=self.now_ms,
                load_timeout=LOAD_TIMEOUT,
                pending_wait=PENDING_WAIT,
                linger=0.0,
                write_delay=WRITE_DELAY,
                write_batch=WRITE_BATCH,
                ahead_share=self._ahead_share,
                absent=self._policies["lru"](ABSENT_KEYS, ABSENT_BYTES),
            ),
        )
        self.store.room.most_share = self._room_share

    def now_ms(self) -> int:
        """The time of day."""
        return EPOCH_MS + int(1000 * self.now)

    def is_over(self, expires: int) -> bool:
        """Whether what expires then has expired."""
        return 0 < expires <= self.now_ms()

    def alive(self, value: Value | None, expires: int) -> tuple[Value | None, int]:
        """What there is of this record now."""
        return (value, expires) if value is not None and not self.is_over(expires) else NOTHING

    def _in_tier(self, key: str) -> tuple[Value | None, int]:
        return self.alive(*self.tier.get(key, NOTHING))

    def _last(self, key: str, at_ms: int | None = None) -> tuple[Value | None, int]:
        """What the latest write that is known of left, as it is now or was at that time."""
        value, expires = self._last_value.get(key), self._last_expires[key]
        is_over = 0 < expires <= (self.now_ms() if at_ms is None else at_ms)
        return (value, expires) if value is not None and not is_over else NOTHING

    # --- requests ------------------------------------------------------------------------------------------------

    def put(self, key: str, seconds: float | None = None) -> None:
        """A PUT of a record that expires in so many seconds, or has for as many below zero; None for never."""
        self._turn += 1
        # A value of its own for each put, so that it can be told when it was written.
        value = f"{key}={self._turn}"
        expires = 0 if seconds is None else self.now_ms() + int(1000 * seconds)
        accepted = self.alone and seconds is None and self._put_alone(key, value)
        self._written(key, Seen(value, self._turn, expires), accepted or self.store.put(key, value, expires), None)

    def _put_alone(self, key: str, value: Value) -> bool:
        """A PUT that does not come to the store; False, and nothing is done, where memory may not do it."""
        memory = self.memory
        if memory.overwrite(key, value):
            return True
        if not memory.may_put or not (memory.may_add or key in memory):
            return False
        if memory.put(key, value):
            return True
        victim = memory.next_victim()
        if victim is None or not (memory.may_drop or victim[3]):
            return False
        memory.evict()
        return memory.put(key, value)

    def delete(self, key: str) -> None:
        self._turn += 1
        try:
            outcome: object = self.store.delete(key)
        except TierUnavailable as error:
            outcome = Told(error)
        self._written(key, Seen(None, self._turn), outcome, None)

    def _written(self, key: str, new: Seen, outcome: object, error: CkvError | None) -> None:
        """A write was answered, or turned into something to wait for."""
        turn = new.turn
        if self._waits(key, turn, outcome):
            assert isinstance(outcome, Waiting)
            outcome.wait(partial(self._written, key, new))
        elif isinstance(error, TierUnavailable):
            self._written(key, new, Told(error), None)
        elif error is not None:
            assert isinstance(error, NoRoom), error
        elif outcome is False and not self._exists(key):
            # Nothing to delete, nothing to do: the tier is as far, unless what has expired is on its way there.
            if self._through and key not in self.memory and key not in self._again():
                self._told_turn[key] = self._tier_turn[key] = turn
        else:
            assert turn > self._last_turn[key], f"I4: a write of {key} was accepted before one that was asked earlier"
            self._check_step(key, turn)
            before = self._last(key)
            self._last_turn[key], self._last_value[key], self._last_expires[key] = turn, new.value, new.expires
            if not self._through:
                self.history[key].append(new)
            if isinstance(outcome, Waiting):
                outcome.wait(partial(self._told, key, new, before, self._refusals[key]))
            else:
                self._told(key, new, before, self._refusals[key], outcome, None)

    def update(self, key: str, how: Update, seconds: float | None = None) -> None:
        """``seconds``: as for a PUT, but with None the expiry stays, and 0 is for never."""
        self._turn += 1
        turn = self._turn
        seen: list[tuple[Value | None, int, int]] = []
        expires = KEEP if seconds is None else seconds and self.now_ms() + int(1000 * seconds)

        def modify(old: Value | None, old_expires: int) -> Change:
            seen.append((old, old_expires, self.now_ms()))
            if how == "refuse":
                raise Refused("simulated")
            if how == "keep" or (how != "append" and old is None):
                return kept(turn)
            return Change(turn, self._new_value(key, how, old, turn), expires=int(expires))

        outcome: object = None
        error: CkvError | None = None
        try:
            outcome = self.store.update_record(key, modify)
        except Refused as refused:
            error = refused
        self._updated(key, how, turn, int(expires), seen, outcome, error)

    def _new_value(self, key: str, how: Update, old: Value | None, turn: float) -> Value | None:
        return _appended(key, old, turn) if how == "append" else old if how == "expire" else None

    def _updated(
        self,
        key: str,
        how: Update,
        turn: float,
        expires: int,
        seen: list[tuple[Value | None, int, int]],
        outcome: object,
        error: CkvError | None,
    ) -> None:
        """An update was answered, or turned into something to wait for."""
        if self._waits(key, turn, outcome):
            assert isinstance(outcome, Waiting)
            outcome.wait(partial(self._updated, key, how, turn, expires, seen))
            return
        if isinstance(error, (ValueUnknown, NoRoom)):
            return  # nothing was written, as everything that comes later says
        assert turn > self._last_turn[key], f"I4: a write of {key} overtook an update"
        assert len(seen) == 1, f"an update of {key} was carried out {len(seen)} times"
        ((*_, read_at),) = seen
        told = seen[0][:2]
        # It took effect when it read: what it writes may have waited for room, and what it read have expired meanwhile.
        before = self._last(key, read_at)
        assert told == before, f"an update of {key} was told {told!r}, not {before!r}"
        if error is not None:
            assert type(error) is Refused, error
            return
        old, old_expires = told
        writes = how == "append" or (how in ("take", "expire") and old is not None)
        value = self._new_value(key, how, old, turn)
        new = Seen(value, turn, 0 if value is None else old_expires if expires == KEEP else expires)
        if writes:
            self._check_step(key, turn)
            self._built_on[key].add(self._last_turn[key])
            self._last_turn[key], self._last_value[key], self._last_expires[key] = turn, new.value, new.expires
            if not self._through:
                self.history[key].append(new)
        hears = partial(self._told_update, key, old, before, writes, new, self._refusals[key])
        if isinstance(outcome, Waiting):
            outcome.wait(hears)
        else:
            hears(outcome, None)

    def _told_update(
        self,
        key: str,
        old: Value | None,
        before: tuple[Value | None, int],
        writes: bool,
        new: Seen,
        refusals: int,
        result: object,
        error: CkvError | None,
    ) -> None:
        """A client hears how its update ended."""
        assert error is not None or result == new.turn
        if writes:
            there = (old is not None) if new.value is None else True
            self._told(key, new, before, refusals, there, error)
        elif error is None:
            seen = self.history[key][self._landed[key] if self._through else -1 :]
            # As it was, or as it is by now.
            committed = [state.value for state in seen] + [self.alive(state.value, state.expires)[0] for state in seen]
            # What it was told of may have been written over, or have expired, before both were committed.
            nothing = self._last_turn[key] > new.turn and self._last(key) == self._in_tier(key) == NOTHING
            later = self.history[key][-1].turn > new.turn or nothing or self.is_over(before[1])
            assert old in committed or later, f"an update of {key} was answered from {old!r}, which is not committed"

    def _check_step(self, key: str, turn: float) -> None:
        """A write is accepted."""
        assert not self._in_step or turn > self._step_turn, f"a write of {key} came into the middle of a step"

    def together(self, parts: Sequence[Part]) -> None:
        """One step of several keys. Its parts have their turns when it is carried out, one after the other."""
        keys: dict[str, bool] = {}
        for key, what, _ in parts:
            keys[key] = keys.get(key, False) or what != "put"
        done: list[int] = []
        writes = any(what != "look" for _, what, _ in parts)

        def run(look: Look) -> object:
            assert not writes or len(self.pending) < self._pending_max, "I6: a step began while pending was full"
            self._in_step, self._step_turn = True, self._turn
            for key, what, seconds in parts:
                if what != "put":
                    found = tuple(look(key))
                    assert found == self._last(key), f"a step was told {found!r} of {key}, not {self._last(key)!r}"
                if what == "put":
                    self.put(key, seconds)
                elif what == "delete":
                    self.delete(key)
                elif what != "look":
                    self.update(key, what, seconds)
            self._in_step = False
            self._most_pending = max(self._most_pending, len(self.pending))
            done.append(self._turn)
            return "done"

        def told(result: object, error: CkvError | None) -> None:
            assert len(done) == (error is None), f"a step was carried out {len(done)} times, and told {error}"
            assert result == "done" or isinstance(error, (ValueUnknown, NoRoom)), error

        try:
            outcome = self.store.together(keys, run, writes=writes)
        except ValueUnknown as error:
            told(None, error)
            return
        if isinstance(outcome, Waiting):
            assert not done
            outcome.wait(told)
        else:
            told(outcome, None)

    def _waits(self, key: str, turn: float, outcome: object) -> bool:
        """Whether the request was not carried out yet."""
        stops = isinstance(outcome, (RoomWait, Queued, Load)) or (isinstance(outcome, Waiting) and not self._through)
        assert not (self._in_step and stops), f"a step stopped in its middle, at {key}"
        self._queued[key].discard(turn)
        if isinstance(outcome, Queued):
            self._queued[key].add(turn)
        return isinstance(outcome, (RoomWait, Queued))

    def _exists(self, key: str) -> bool:
        return self._last(key) != NOTHING

    def _told(
        self,
        key: str,
        new: Seen,
        before: tuple[Value | None, int],
        refusals: int,
        result: object,
        error: CkvError | None,
    ) -> None:
        """A client hears how its write ended. ``before`` is what there was when it was accepted."""
        value, turn = new.value, new.turn
        if error is not None:
            deleted = value is None and isinstance(error, TierUnavailable)
            assert deleted or (self._through and isinstance(error, (CommitTimeout, RowsRefused))), error
            committed = any(seen.turn == turn for seen in self.history[key])
            assert not (committed and isinstance(error, RowsRefused)), f"through: {key} was called refused and is there"
            return
        if value is None:
            # A load tells the value, everybody else tells whether there was one.
            there = result if isinstance(result, bool) else result is not None
            # What was there when it was asked may have expired since, or been refused.
            existed = {before != NOTHING, self.alive(*before) != NOTHING}
            assert there in existed or refusals != self._refusals[key], f"DEL {key}: {there}, not {existed}"
        else:
            assert result is True
        if self._through:
            seen = self.history[key][-1]
            # Writes that end in a deletion of what was never there leave nothing to commit.
            nothing = self.alive(seen.value, seen.expires) == self._last(key) == self._in_tier(key) == NOTHING
            assert seen.turn >= turn or nothing, f"through: {key} was answered before its commit"
            self._tier_turn[key] = max(self._tier_turn[key], turn)
        self._told_turn[key] = max(self._told_turn[key], turn)

    def get(self, key: str) -> None:
        since = self._landed[key] if self._through else len(self.history[key]) - 1
        try:
            if self.alone and key not in self.memory and self.store.absent.get(key) is not None:
                answer: object = None
            else:
                answer = self.store.get(key)
        except TierUnavailable:
            return
        in_line = key in self.store.lines and not self._through and key not in self.memory
        assert in_line is isinstance(answer, Queued), f"GET {key} does not wait for the updates before it"
        if isinstance(answer, Queued):
            answer.wait(partial(self._read_in_line, key, since))
        else:
            self._read(key, since, answer, None)

    def ttl(self, key: str) -> None:
        """Somebody asks when the record expires."""
        since = self._landed[key] if self._through else len(self.history[key]) - 1
        try:
            self._told_expiry(key, since, self.store.expires_of(key), None)
        except TierUnavailable:
            return

    def _told_expiry(self, key: str, since: int, found: object, error: CkvError | None) -> None:
        if isinstance(found, Load):
            load = found
            load.wait(
                lambda value, error: self._told_expiry(key, since, None if value is None else load.expires, error)
            )
        elif isinstance(found, Waiting):
            found.wait(partial(self._told_expiry, key, since))
        elif error is None:
            states = [self.alive(seen.value, seen.expires) for seen in self.history[key][since:]]
            allowed = [None if value is None else expires for value, expires in states]
            assert found in allowed, f"{key} is said to expire at {found!r}, which was none of {allowed!r}"
        else:
            assert isinstance(error, TierUnavailable), error

    def get_all(self) -> None:
        """A GET of each key that was ever written."""
        for key in list(self.history):
            self.get(key)
            self.check()

    def _read_in_line(self, key: str, since: int, value: object, error: CkvError | None) -> None:
        """A GET behind an update that waited for its value sees what came of it."""
        if error is None and not isinstance(value, Waiting):
            assert value == self._last(key)[0], f"GET {key}: {value!r}, and not what the updates before it made"
        self._read(key, since, value, error)

    def _read(self, key: str, since: int, value: object, error: CkvError | None) -> None:
        if isinstance(value, Waiting):
            value.wait(partial(self._read, key, since))
        elif error is None:
            allowed = [self.alive(seen.value, seen.expires)[0] for seen in self.history[key][since:]]
            assert value in allowed, f"GET {key}: {value!r}, which was none of {allowed!r} since it was asked"
        else:
            assert isinstance(error, TierUnavailable), error

    # --- the persistent tier -------------------------------------------------------------------------------------

    def load_begin(self) -> None:
        query = self.store.load_begin()
        if query is not None:
            self.queries.append(Asked(query))

    def load_read(self, index: int) -> None:
        """The tier answers the query; the answer is on its way."""
        asked = self.queries[index]
        if asked.found is None:
            asked.found = {load.key: self.tier[load.key] for load in asked.query.loads if load.key in self.tier}

    def load_end(self, index: int) -> None:
        self.load_read(index)
        asked = self.queries.pop(index)
        assert asked.found is not None
        # Some are left for another query, as if they were too large for this one; one alone never is, nor one whose
        # size was known.
        loads = asked.query.loads
        left = [load.key for load in loads if len(loads) > 1 and len(load.key) % 2 and not load.size]
        left = [key for key in dict.fromkeys(left) if key in asked.found and not asked.stale]
        larger = {key: len(asked.found.pop(key)[0]) for key in left}
        found = {key: value for key, (value, _) in asked.found.items()}
        expires = {key: when for key, (_, when) in asked.found.items() if when}
        self.store.load_end(asked.query, found, larger, expires)

    def load_fail(self, index: int) -> None:
        if not self._end_stale(index):
            self.store.load_failed(self.queries.pop(index).query, TierUnavailable("simulated"))

    def load_lock(self, index: int) -> None:
        """Somebody has locked a row that the query asks for."""
        if not self._end_stale(index):
            self.store.load_locked(self.queries.pop(index).query, TierUnavailable("simulated"))

    def _end_stale(self, index: int) -> bool:
        """A query whose tier was replaced is not asked again: it would tell an older value, beyond anybody's help."""
        if self.queries[index].stale:
            self.load_end(index)
            return True
        return False

    def refuse_loads(self) -> None:
        """The tier is known to be away."""
        self.store.loads_refused(TierUnavailable("simulated"))

    def accept_loads(self) -> None:
        self.store.loads_accepted()

    def flush_begin(self) -> None:
        if self.store.flush_in() != 0:
            return
        batch = self.store.flush_begin()
        assert batch, "a flush was due and there was nothing to flush"
        keys = [write.key for write in batch]
        others = [write.key for flush in self.flushes for write in flush.batch]
        assert len(set(keys + others)) == len(keys + others), "I4: two flushes of one key are under way"
        turns = {}
        for key, value, _, expires in batch:
            assert value is None or not self.is_over(expires), f"{key} has expired and is not flushed as a deletion"
            if self._through:
                latest = Seen(self._last_value[key], 0, self._last_expires[key])
                assert self._is_of(latest, value, expires), f"I4: {key} is not flushed with its latest value"
                turns[key] = self._last_turn[key]
            else:
                seen = reversed(self.history[key])
                state = next((state for state in seen if self._is_of(state, value, expires)), None)
                assert state is not None, f"{key} is flushed as {value!r} until {expires}, which it never was"
                turns[key] = state.turn
        self.flushes.append(Flush(batch, turns, self.pending.failed_alone(batch)))

    def _is_of(self, seen: Seen, value: Value | None, expires: int) -> bool:
        """Whether a row is of this state, be it as the tombstone that it became when it expired."""
        if value is None:
            return seen.value is None or self.is_over(seen.expires)
        return (seen.value, seen.expires) == (value, expires)

    def flush_commit(self, index: int) -> None:
        """The tier commits the batch; the word of it is on its way."""
        flush = self.flushes[index]
        if flush.committed:
            return
        flush.committed = True
        for key, value, _, expires in flush.batch:
            turn = flush.turns[key]
            assert turn >= self._tier_turn[key], f"I4: {key} goes back to {value!r} in the tier"
            self._tier_turn[key] = turn
            self._reverted.discard(key)
            self._set(key, value, expires)
            if self._through and self.history[key][-1].turn < turn:
                self.history[key].append(Seen(value, turn, expires))

    def flush_end(self, index: int) -> None:
        self.flush_commit(index)
        flush = self.flushes.pop(index)
        if not flush.stale:
            self._land(flush)
        self.store.flush_end(flush.batch)

    def admit(self) -> None:
        self.store.admit()

    def _land(self, flush: Flush) -> None:
        for key, turn in flush.turns.items():
            self._landed[key] = max(self._landed[key], self._place(key, turn))

    def _place(self, key: str, turn: float) -> int:
        places = [place for place, seen in enumerate(self.history[key]) if seen.turn <= turn]
        return places[-1]

    def flush_fail(self, index: int) -> None:
        """Nobody knows what became of the batch, because the tier cannot be asked."""
        self._flush_failed(index, TierUnavailable("simulated"))

    def flush_lose(self, index: int) -> None:
        """The same, because the connection broke."""
        self._flush_failed(index, SessionLost("simulated"))

    def flush_reject(self, index: int) -> None:
        """The tier answers that it does not carry out the batch, and not why: nothing of it was written."""
        flush = self.flushes[index]
        key = flush.batch[0].key
        if flush.committed or self._is_as_good(key):
            return
        row = self.pending.find(key)
        if flush.probed and row is not None and row.trouble is not None and row.trouble.strikes >= STRIKES - 1:
            self._may_be_refused(key, flush.turns)
        self._flush_failed(index, WriteFailed("simulated"))

    def _flush_failed(self, index: int, error: CkvError) -> None:
        flush = self.flushes.pop(index)
        given_up = self.store.flush_failed(flush.batch, error, probed=flush.probed)
        assert not given_up or (flush.probed and type(error) is not TierUnavailable), "an outage was blamed on a row"
        if given_up and not self._through:
            self._is_kept(flush.batch[0].key)

    def flush_refuse(self, index: int) -> None:
        """The tier refuses one row of the batch, be it a tombstone, and commits the others."""
        flush = self.flushes[index]
        if flush.committed:
            return
        bad = flush.batch[len(flush.batch) // 2]
        if self._is_as_good(bad.key):
            return
        flush.batch.remove(bad)
        self.flush_commit(index)
        self.flushes.pop(index)
        turns = {bad.key: flush.turns.pop(bad.key)}
        self._land(flush)
        self._may_be_refused(bad.key, turns)
        self.store.flush_end([*flush.batch, bad], {bad.key: RowsRefused("simulated")})
        if not self._through:
            self._is_kept(bad.key)

    def _is_as_good(self, key: str) -> bool:
        """``through``: it stood in the tier, which nobody was told; what stood there before is as good a truth."""
        return self._replaced and self._through and self._landed[key] < len(self.history[key]) - 1

    def _may_be_refused(self, key: str, turns: dict[str, float]) -> None:
        """``through``: nobody was told that it was accepted, so if it is refused now it never was."""
        if self._through:
            self._refusals[key] += 1
            # What is written again, to another tier, is committed whatever becomes of that.
            again = turns[key] <= self.history[key][self._landed[key]].turn
            assert again or turns[key] not in self._built_on[key], f"an update of {key} builds on what is refused"
            if self._last_turn[key] == turns[key]:
                seen = self.history[key][-1]
                self._last_value[key], self._last_expires[key] = seen.value, seen.expires

    def _is_kept(self, key: str) -> None:
        assert key in self.memory or key in self.pending, f"I5: {key} was refused and is gone"

    def replace_tier(self, key: str, index: int) -> None:
        """Another tier takes the place of this one. It has an older value of the key, or else one of somebody else's.

        What was on its way to the old one is lost, and what was asked of it is answered by it.
        """
        self._replaced = True
        for number, query in enumerate(self.queries):
            self.load_read(number)
            query.stale = True
        for flush in self.flushes:
            flush.committed = flush.stale = True
        asked = {load for query in self.queries for load in query.query.loads}
        row = self.pending.find(key)
        if any(load.key == key and load not in asked for load in self.store.loading):
            pass  # whoever waits for it would be told an older value, and nobody could help it
        elif not self.is_elsewhere(key) and (
            key in self.memory or key in self._again() or (row is not None and not self._through)
        ):
            if row is None or not row.held:  # whether there was a record is still to be found out
                had = [seen for seen in self.history[key] if seen.turn <= self._tier_turn[key]]
                if index % 2:  # one that has not expired, if there is one, would be seen
                    had = [seen for seen in had if self.alive(seen.value, seen.expires) != NOTHING] or had
                older = had[index % len(had)]
                self._tier_turn[key] = older.turn
                self._reverted.add(key)
                self._set(key, older.value, older.expires)
        elif row is None and key not in self.store.room.keys:
            self._turn += 1
            turn: float = self._turn
            if self._queued[key]:  # before all that waits to see it
                turn = (self._last_turn[key] + min(self._queued[key])) / 2
            self._last_turn[key] = self._tier_turn[key] = turn
            self._last_value[key], self._last_expires[key] = f"{key}={turn}", 0
            self.history[key].append(Seen(self._last_value[key], turn))
            self._landed[key] = len(self.history[key]) - 1
            self._set(key, self._last_value[key], 0)
        self.store.distrust()

    def _again(self) -> dict[str, tuple[Value, int, int]]:
        """``through``: what is on its way to the tier a second time."""
        return self.store.again if isinstance(self.store, ThroughStore) else {}

    def _set(self, key: str, value: Value | None, expires: int) -> None:
        if value is None:
            self.tier.pop(key, None)
        else:
            self.tier[key] = value, expires

    def retry_refused(self) -> None:
        """Somebody made room for the rows that were refused."""
        self.store.retry_parked()

    def purge(self) -> None:
        """The tier is rid of what has expired."""
        for key in [key for key, (_, expires) in self.tier.items() if self.is_over(expires)]:
            del self.tier[key]

    # --- time and the end ----------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.store.expire()
        for key, line in self.store.lines.items():
            waits = line.load is not None or line.requests[0].deadline > self.now
            assert waits, f"an update of {key} waits beyond its time for a write that is on its way"

    def sweep(self) -> None:
        """All that has expired leaves memory."""
        for _ in self.store.sweep():
            self.check()
        if not self.pending.half_full:
            left = [key for key in self.history if self.memory.is_over(key)]
            assert not left, f"{left} have expired, and are still in memory"

    def sweep_on(self) -> None:
        """A sweep goes on by a piece, or begins; or is over."""
        self._sweep = self._sweep or self.store.sweep()
        if next(self._sweep, self) is self:
            self._sweep = None

    def settle(self) -> None:
        """Everything under way ends, and everything that waits is carried; parked rows are tried again."""
        self.accept_loads()
        for _ in range(1000):
            while self.queries:
                self.load_end(0)
            while self.flushes:
                self.flush_end(0)
            self.admit()
            self.load_begin()
            self.flush_begin()
            if self.queries or self.flushes:
                continue
            loads_in = self.store.load_in()
            if loads_in is None and self.store.flush_in() in (0, None) and not self.pending.queued:
                room = self.store.room.keys
                waits = self.pending.full and all(
                    step.waits_for_room or any(key in room for key in step.keys) for step in self.store.steps
                )
                assert waits or not self.store.steps, "a step waits for nothing"
                assert not self.store.lines, "somebody stands in a line that nobody ends"
                waiting = {key for key, turns in self._queued.items() if turns}
                assert waiting <= self.store.room.keys.keys(), "a request that stood in line was forgotten"
                return
            self.advance(WRITE_DELAY if loads_in is None else loads_in)
        raise AssertionError("it does not come to rest: something waits that nothing carries")

    def drain_and_restart(self) -> None:
        """A stop that saves everything, parked rows too, as nothing refuses them any more, and a new process."""
        self.draining = True
        self.store.drain_begin()
        self.check()
        self.sweep_on()  # as time goes on
        self.settle()
        assert self.store.unsaved == 0, f"{self.store.unsaved} left after the drain"
        truth = {key: self._last(key) for key in self._last_value if self._exists(key)}
        tier = {key: self._in_tier(key) for key in self.tier if self._in_tier(key) != NOTHING}
        assert tier == truth, f"I7: the tier has {tier!r}, not {truth!r}"
        self.start()

    def crash_and_restart(self) -> None:
        """kill -9. What may be missing afterwards is what the mode's row of the table says, and nothing else."""
        for key in list(self._last_value):
            (value, expires), turn = self._in_tier(key), self._tier_turn[key]
            last = self._last(key)
            if key in self._reverted:
                self.lost += (value, expires) != last
                self._told_turn[key] = turn
            elif self._through:
                assert turn >= self._told_turn[key] or (value, expires) == last == NOTHING, (
                    f"through: the crash took back {key}, which was answered"
                )
            elif (value, expires) != last:
                self.lost += 1
                in_memory = key in self.memory and self.memory.peek(key) == last[0]
                queued = key in self.pending
                assert queued or (self._mode == "evict" and in_memory), f"{self._mode}: the crash took back {key}"
            seen = self.history[key][-1]
            if self.alive(seen.value, seen.expires) != (value, expires):
                self.history[key].append(Seen(value, turn, expires))
            self._landed[key] = len(self.history[key]) - 1
            self._last_value[key], self._last_expires[key] = value, expires
        self._reverted.clear()
        self.start()

    def is_elsewhere(self, _key: str) -> bool:
        """Whether it is for another node to look after this key: see :mod:`tests.store.moving_world`."""
        return False

    # --- the truth -----------------------------------------------------------------------------------------------

    def states(self, key: str) -> list[tuple[Value | None, int]]:
        """What a reader may see of a key now."""
        history = self.history[key]
        states = history[self._landed[key] :] if self._through else history[-1:]
        return [self.alive(seen.value, seen.expires) for seen in states]

    def check(self) -> None:
        """The invariants, after any step."""
        self.store.check()
        assert len(self.memory) <= self._capacity
        for key in self.history:
            allowed = self.states(key)
            row = self.pending.find(key) if not self._through else None
            if self.is_elsewhere(key):
                found = self._in_tier(key)
            elif key in self.memory:
                value = self.memory.peek(key)
                found = (value, self.memory.expires_of(key) if value is not None else 0)
            elif key in self._again():
                value, _, expires = self._again()[key]
                found = self.alive(value, expires)
            else:
                found = self.alive(row.value, row.expires) if row is not None else self._in_tier(key)
            assert found in allowed, f"I1: {key} is {found!r} in the tiers, not {allowed!r}"
            if self.is_elsewhere(key):
                continue
            place = self.store.locate(key)
            assert self.alive(place.value, place.expires) == (place.value, place.expires), f"{key} is told, and over"
            if place.where in ("clean", "absent"):
                assert (place.value, place.expires) == self._in_tier(key), (
                    f"{key} is called {place.where}, and the tier has another"
                )
            assert place.where != "elsewhere" or self._in_tier(key) in allowed, f"{key} is not what the tier has"
        if not self._through:
            others = sum(
                key not in self.memory and self.alive(row.value, row.expires) != NOTHING for key, row in self.pending
            )
            assert self.store.estimated()[0] == len(self.memory) + others, "the records are miscounted"
        most = max(self._pending_max, self._most_pending)
        assert self.draining or len(self.pending) <= most, "I6: pending grows beyond its bound"
        self._most_pending = len(self.pending)
        oldest = self.pending.oldest
        if oldest is not None and (self._mode != "behind" or self.now - oldest >= WRITE_DELAY):
            assert self.store.flush_in() == 0, "a row waits longer than the mode allows"


def _appended(key: str, old: Value | None, turn: float) -> Value:
    """A value that shows all that it was made of."""
    assert not isinstance(old, bytes)
    return f"{old or key}+{turn}"
