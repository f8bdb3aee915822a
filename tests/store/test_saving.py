"""A pass that saves everything: afterwards the persistent tier has what was accepted before, whatever else happens."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Final

import pytest

from ckv.errors import RowsRefused, TierUnavailable
from ckv.store import saving
from ckv.store.loading import Load, Query
from ckv.store.memory import TABLES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.row import TOMBSTONE, Write
from ckv.store.saving import Replaced, Saving
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.waiting import Waiting
from ckv.values import Value
from tests.store.day import Day

Seen = tuple[Value | None, int]
"""A record as it was written, and when it expires, or 0 for never; without a value when it was deleted."""

NOTHING: Final[Seen] = (None, 0)


class Rig:
    """A store, the tier that it is told to have, and what it has accepted."""

    def __init__(self, mode: str, capacity: int = 20, most_pending: int = 15, *, delay: float = 0.0) -> None:
        self.now = 0.0
        self._mode = mode
        self.day = Day()
        self.store: Store = MODES[mode](
            next(iter(TABLES.values()))["lru"](capacity),
            Pending(most_pending, 2**30),
            Environment(clock=lambda: self.now, now_ms=self.day, load_timeout=1e9, pending_wait=1e9, write_delay=delay),
        )
        self.tier: dict[str, Value] = {}
        self.expires: dict[str, int] = {}
        """When the records of the tier expire that do."""
        self.writes: list[tuple[str, Seen]] = []
        """What was accepted, in order."""
        self.refuses: set[str] = set()
        self.parked: set[str] = set()
        """Keys of which the store knew that the tier refuses them."""
        self.flushes: list[list[Write]] = []
        self._old_flushes: list[list[Write]] = []
        """Those that went to the tier of before."""
        self.queries: list[Query] = []
        self._values = 0

    def put(self, key: str, expires: int = 0) -> None:
        self._values += 1
        value = str(self._values)
        self._await(self.store.put(key, value, expires), key, (value, expires))

    def delete(self, key: str) -> None:
        self._await(self.store.delete(key), key, NOTHING)

    def _await(self, outcome: object, key: str, seen: Seen) -> None:
        if isinstance(outcome, Load) and self._mode != "through":
            self.writes.append((key, seen))  # it has happened; whether there was a record is told later
        elif isinstance(outcome, Waiting):
            outcome.wait(lambda result, error: self._await(result, key, seen) if error is None else None)
        else:
            self.writes.append((key, seen))

    def replace_tier(self, chance: random.Random) -> None:
        """By one that lacks some of what memory has."""
        in_memory = self.store.memory.keys()
        for key in in_memory:
            if chance.random() < 0.5:
                self.tier.pop(key, None)
        self._old_flushes += self.flushes
        self.store.distrust()

    # --- the workers -------------------------------------------------------------------------------------------------

    def work(self, chance: random.Random) -> None:
        match chance.randrange(4):
            case 0 if (query := self.store.load_begin()) is not None:
                self.queries.append(query)
            case 1 if self.queries:
                query = self.queries.pop(chance.randrange(len(self.queries)))
                keys = [load.key for load in query.loads]
                found = {key: self.tier[key] for key in keys if key in self.tier}
                self.store.load_end(query, found, None, {key: self.expires[key] for key in found})
            case 2 if len(self.flushes) < 3 and (batch := self.store.flush_begin()):
                self.flushes.append(batch)
            case 3 if self.flushes:
                batch = self.flushes.pop(chance.randrange(len(self.flushes)))
                if chance.random() < 0.2:
                    self.store.flush_failed(batch, TierUnavailable("lost"))
                else:
                    self._commit(batch)

    def _commit(self, batch: list[Write]) -> None:
        refused = {write.key: RowsRefused("no") for write in batch if write.key in self.refuses}
        went_to_the_old_one = any(batch is old for old in self._old_flushes)
        for write in batch:
            if write.key in refused or went_to_the_old_one:
                continue
            if write.value is TOMBSTONE:
                self.tier.pop(write.key, None)
            else:
                self.tier[write.key], self.expires[write.key] = write.value, write.expires
        self.store.flush_end(batch, refused)
        self.parked.update(filter(self.store.pending.is_parked, refused))
        self.store.admit()

    def commit_all(self) -> None:
        while batch := self.store.flush_begin():
            self._commit(batch)

    def wrong(self, begin: int) -> set[str]:
        """The keys of which the tier does not have what was accepted last before all that came from ``begin`` on, nor
        any of that."""
        last = dict.fromkeys((key for key, _ in self.writes), NOTHING)
        last.update(self.writes[:begin])
        allowed = {key: {self._alive(*seen)} for key, seen in last.items()}
        for key, seen in self.writes[begin:]:
            allowed[key].add(self._alive(*seen))
        there = {key: self._alive(self.tier.get(key), self.expires.get(key, 0)) for key in allowed}
        return {key for key, seen in there.items() if seen not in allowed[key]}

    def _alive(self, value: Value | None, expires: int) -> Value | None:
        return value if not 0 < expires <= self.day.now else None


def finish(rig: Rig, run: Generator[float]) -> None:
    for _ in run:
        rig.commit_all()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over few records has many steps."""
    monkeypatch.setattr(saving, "PIECE", 8)
    monkeypatch.setattr(saving, "SAVED_PIECE", 2)
    monkeypatch.setattr(saving, "AHEAD_RECORDS", 5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(150))
def test_what_was_accepted_before_is_saved_whatever_happens_meanwhile(mode: str, seed: int) -> None:
    chance = random.Random(seed)
    rig = Rig(mode)
    keys = [f"key {number}" for number in range(40)]

    def ask() -> None:
        key = chance.choice(keys)
        match chance.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                rig.put(key)
            case 5:
                rig.put(key, rig.day.now + chance.randrange(1, 30))
            case 6 | 7:
                rig.delete(key)
            case 8:
                rig.day.now += chance.randrange(3)
            case 9 if not seed % 3:
                rig.refuses ^= {chance.choice(keys[:10])}
            case _:
                rig.store.get(key)

    for _ in range(chance.randrange(300)):
        chance.choice((ask, lambda: rig.work(chance)))()
        if chance.random() < 0.01:
            rig.replace_tier(chance)
    if seed % 2:
        rig.replace_tier(chance)
    rig.parked = set(filter(rig.store.pending.is_parked, keys))
    begin = len(rig.writes)
    pass_, run = rig.store.save_all()
    for _ in run:
        assert pass_.left
        for _ in range(chance.randrange(8)):
            chance.choice((ask, lambda: rig.work(chance), lambda: rig.work(chance)))()
        rig.store.check()
    assert pass_.left == 0
    assert rig.wrong(begin) <= rig.parked
    assert pass_.refused <= len(rig.parked)
    assert not rig.store.savings
    assert not rig.store.motion._logs


@pytest.mark.parametrize("mode", MODES)
def test_a_store_that_is_saved_has_nothing_to_do(mode: str) -> None:
    rig = Rig(mode)
    for number in range(10):
        rig.put(str(number))
        rig.commit_all()
    finish(rig, rig.store.save_all()[1])
    pass_, run = rig.store.save_all()
    assert list(run) == []
    assert (pass_.saved, pass_.left) == (0, 0)


def test_what_is_saved_stays_in_memory_and_is_clean() -> None:
    rig = Rig("evict")
    for number in range(10):
        rig.put(str(number))
    pass_, run = rig.store.save_all()
    assert pass_.left == 10
    finish(rig, run)
    assert (pass_.saved, rig.store.memory.clean, len(rig.store.memory)) == (10, 10, 10)


def test_no_row_waits_for_others_meanwhile() -> None:
    rig = Rig("behind", delay=600)
    rig.put("k")
    assert rig.store.flush_in() == 600
    _, run = rig.store.save_all()
    next(run)
    assert rig.store.flush_in() == 0
    finish(rig, run)
    rig.put("k")
    assert rig.store.flush_in() == 600


def test_what_the_tier_refuses_is_counted_and_waited_for_no_more() -> None:
    rig = Rig("evict")
    for number in range(10):
        rig.put(str(number))
    rig.refuses = {"3", "7"}
    pass_, run = rig.store.save_all()
    finish(rig, run)
    assert (pass_.saved, pass_.refused, pass_.left) == (8, 2, 0)


def test_what_was_refused_before_is_gone_through_in_pieces() -> None:
    rig = Rig("behind", most_pending=1000)
    rig.refuses = {str(number) for number in range(100)}
    for key in rig.refuses:
        rig.put(key)
    rig.commit_all()
    pass_, run = rig.store.save_all()
    counted = 0
    for _ in run:
        assert pass_.refused <= counted + saving.PIECE
        counted = pass_.refused
    assert counted > 100 - saving.PIECE
    assert pass_.refused == 100


def test_a_row_is_counted_once_however_often_it_is_refused() -> None:
    rig = Rig("evict", capacity=100)
    for number in range(50):
        rig.put(str(number))
    rig.refuses = {"0", "1"}
    pass_, run = rig.store.save_all()
    finish(rig, run)
    assert (pass_.saved, pass_.refused) == (48, 2)


def test_a_newer_write_that_may_be_refused_is_not_enough() -> None:
    """In the mode through it goes then, and the record of before is to be saved all the same."""
    rig = Rig("through")
    rig.store.put("k", "1")
    rig.commit_all()
    rig.tier.clear()
    rig.store.distrust()
    rig.put("k")
    newer = rig.store.flush_begin()
    pass_, run = rig.store.save_all()
    next(run)
    rig.refuses = {"k"}
    rig._commit(newer)
    rig.refuses.clear()
    finish(rig, run)
    assert (rig.tier, pass_.refused) == ({"k": "1"}, 0)


def test_a_row_on_its_way_with_an_older_value_is_not_enough() -> None:
    rig = Rig("behind")
    rig.put("k")
    older = rig.store.flush_begin()
    rig.put("k")
    pass_, run = rig.store.save_all()
    next(run)
    rig._commit(older)
    for _ in range(5):
        next(run)
    assert pass_.left
    finish(rig, run)
    assert rig.tier["k"] == "2"


def test_few_records_are_made_pending_ahead() -> None:
    rig = Rig("evict", capacity=100)
    for number in range(100):
        rig.put(str(number))
    _, run = rig.store.save_all()
    for _ in range(50):
        next(run)
    assert len(rig.store.pending) == saving.AHEAD_RECORDS
    finish(rig, run)
    assert len(rig.tier) == 100


@pytest.mark.parametrize("steps", [1, 4])
def test_it_is_void_when_the_tier_was_replaced(steps: int) -> None:
    rig = Rig("evict")
    for number in range(10):
        rig.put(str(number))
    _, run = rig.store.save_all()
    for _ in range(steps):
        next(run)
    rig.store.distrust()
    with pytest.raises(Replaced):
        finish(rig, run)
    assert not rig.store.savings


def test_a_record_that_has_expired_and_was_never_saved_needs_nothing() -> None:
    rig = Rig("evict")
    rig.put("k", expires=rig.day.now + 5)
    rig.store.note_absent("k")
    rig.day.now += 10
    pass_, run = rig.store.save_all()
    finish(rig, run)
    assert isinstance(pass_, Saving)
    assert (pass_.saved, pass_.left) == (0, 0)


def test_one_that_is_given_up_leaves_nothing_behind() -> None:
    rig = Rig("evict")
    rig.put("k")
    _, run = rig.store.save_all()
    next(run)
    run.close()
    assert not rig.store.savings
    assert not rig.store.motion._logs
