"""A live move in the store, case by case; the simulation has every other order of events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.errors import CkvError, RowsRefused, ValueUnknown
from ckv.store.alone import MemoryStore
from ckv.store.change import Look
from ckv.store.loading import Load
from ckv.store.memory import TABLES
from ckv.store.memory.slots import SlotSet
from ckv.store.modes import MODES
from ckv.store.moving import FEW, MOST_ROUNDS, PIECE, NotTaken
from ckv.store.pending import Pending
from ckv.store.row import TOMBSTONE
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.waiting import Waiting
from ckv.values import Value

HALF = SlotSet(bytes(slot < SLOTS // 2 for slot in range(SLOTS)), slot_of)


class Rig:
    """A store over a dict."""

    def __init__(self, mode: str, table: str, pending_max: int = 10_000) -> None:
        self.rows: dict[str, Value] = {}
        self.woken = 0
        self.now = 0.0
        environment = Environment(
            clock=lambda: self.now, load_timeout=1e9, pending_wait=1e9, linger=1.0, write_delay=1.0, wake=self._wake
        )
        memory = TABLES[table]["lru"](20_000)
        self.store: Store = MODES[mode](memory, Pending(pending_max, 1 << 30), environment)

    def _wake(self) -> None:
        self.woken += 1

    def fill(self, count: int, value: str = "v") -> None:
        for number in range(count):
            self.store.put(f"key {number}", value)

    def flush(self) -> None:
        while batch := self.store.flush_begin():
            for key, value, *_ in batch:
                if value is TOMBSTONE:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = value
            self.store.flush_end(batch)
        self.store.check()

    def load(self) -> None:
        while query := self.store.load_begin():
            self.store.load_end(query, {load.key: self.rows[load.key] for load in query.loads if load.key in self.rows})

    def through(self, steps: Iterator[None]) -> int:
        """Goes through all steps, with a flush after each; how many there were."""
        count = 0
        for _ in steps:
            self.flush()
            count += 1
        return count


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_half_of_the_slots_leave_and_the_other_half_stays(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.fill(3000)
    if mode == "through":
        rig.flush()
    rig.store.delete("key 7")
    assert isinstance(rig.store.get("nobody has it"), Load)
    rig.load()
    keys = [f"key {number}" for number in range(3000) if number != 7]
    leave = [key for key in keys if key in HALF]
    move = rig.store.begin_move(HALF)
    rig.through(move.prepare())
    move.freeze()
    rig.through(move.hand_over())
    assert move.released
    assert move.keys in (len(leave), len(leave) + 1)
    assert {key: rig.rows.get(key) for key in leave} == dict.fromkeys(leave, "v")
    assert mode != "evict" or move.rows == len(leave)
    before = rig.store.measured()
    rig.store.end_move()
    for _ in rig.store.forget(HALF):
        pass
    rig.store.check()
    after = rig.store.measured()
    assert sorted(rig.store.memory.keys()) == sorted(key for key in keys if key not in HALF)
    assert after.records == len(keys) - len(leave)
    assert (after.evicted_keys, after.dropped_records) == (before.evicted_keys, before.dropped_records)
    known = rig.store.keys()
    assert not [key for key in known if key in HALF]
    rig.rows[leave[0]] = "of the other node"
    found = rig.store.get(leave[0])
    assert isinstance(found, Load)
    told: list[object] = []
    found.wait(lambda value, error: told.append((value, error)))
    rig.load()
    assert told == [("of the other node", None)]


def test_others_have_their_turn_after_each_piece(table: str) -> None:
    rig = Rig("evict", table)
    rig.fill(5 * PIECE)
    assert rig.through(rig.store.begin_move(HALF).prepare()) >= 5
    rig.store.end_move()
    assert rig.through(rig.store.forget(HALF)) >= 5


def test_what_is_written_meanwhile_takes_rounds_until_little_is_left(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.fill(100)
    move = rig.store.begin_move(HALF)
    for step, _ in enumerate(move.prepare()):
        rig.flush()
        for number in range(4 * FEW if step < 10 else 0):
            rig.store.put(f"step {step}, {number}", "v")
    assert move.prepared
    assert move.rounds < MOST_ROUNDS
    lacks = [key for key, value, *_ in rig.store.memory.records() if key in HALF and rig.rows.get(key) != value]
    assert len(lacks) <= move.left < FEW


def test_it_comes_to_an_end_however_much_is_written(table: str) -> None:
    rig = Rig("evict", table)
    rig.fill(100)
    move = rig.store.begin_move(HALF)
    for number, _ in enumerate(move.prepare()):
        rig.flush()
        for key in range(4 * FEW):
            rig.store.put(f"key {key}", f"{number}")
    assert move.rounds == MOST_ROUNDS
    move.freeze()
    rig.through(move.hand_over())
    assert move.released
    last = {key: value for key, value, *_ in rig.store.memory.records() if key in HALF}
    assert {key: rig.rows[key] for key in last} == last


def test_rows_that_leave_are_due_at_once_and_go_first(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.fill(20)
    for number in range(20):
        rig.store.delete(f"key {number}")
    keys = [key for key, _ in rig.store.pending]
    assert len(keys) == 20
    assert mode == "through" or rig.store.flush_in() == 1.0
    steps = rig.store.begin_move(HALF).prepare()
    woken = rig.woken
    next(steps)
    next(steps)
    assert rig.woken > woken
    rig.store.check()
    assert rig.store.flush_in() == 0.0
    batch = rig.store.flush_begin()
    assert [write.key for write in batch] == sorted(keys, key=lambda key: key not in HALF)
    rig.store.flush_end(batch)
    rig.store.put("key 1", "v")
    rig.store.delete("key 1")
    assert mode == "through" or rig.store.flush_in() == (0.0 if "key 1" in HALF else 1.0)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_row_that_the_tier_refuses_ends_it_and_is_named(table: str, frozen: bool) -> None:
    rig = Rig("evict", table)
    key = next(f"bad {number}" for number in range(100) if f"bad {number}" in HALF)
    move = rig.store.begin_move(HALF)
    if frozen:
        rig.through(move.prepare())
    rig.store.put(key, "v")
    steps = move.hand_over() if frozen else move.prepare()
    refused: dict[str, CkvError] = {key: RowsRefused("too long")}
    with pytest.raises(NotTaken, match=rf"slots {slot_of(key)}$"):
        for _ in steps:
            if batch := rig.store.flush_begin():
                rig.store.flush_end(batch, refused)
    assert not move.released
    rig.store.end_move()
    assert rig.store.get(key) == "v"
    assert rig.store.parked == 1


def test_a_step_that_waits_is_over_before_the_slots_of_its_keys_are_released(mode: str, table: str) -> None:
    """Also where it waits for a key that stays."""
    rig = Rig(mode, table)
    leaves = next(f"{number}" for number in range(100) if f"{number}" in HALF)
    stays = next(f"{number}" for number in range(100) if f"{number}" not in HALF)
    rig.rows[stays] = "loaded"
    told: list[object] = []

    def run(look: Look) -> object:
        rig.store.put(leaves, f"{look(stays).value!s} and written")
        return "done"

    step = rig.store.together({leaves: False, stays: True}, run)
    assert isinstance(step, Waiting)
    step.wait(lambda result, error: told.append((result, error)))
    move = rig.store.begin_move(HALF)
    rig.through(move.prepare())
    move.freeze()
    steps = move.hand_over()
    for _ in range(20):
        next(steps)  # else it ends
        rig.flush()
    assert told == []
    rig.load()
    rig.through(steps)
    assert move.released
    assert told == [("done", None)]
    assert rig.rows[leaves] == "loaded and written"


def test_a_step_whose_time_is_over_holds_up_no_move(table: str) -> None:
    rig = Rig("evict", table)
    leaves = next(f"{number}" for number in range(100) if f"{number}" in HALF)
    step = rig.store.together({leaves: True}, lambda _: None)
    assert isinstance(step, Waiting)
    told: list[CkvError | None] = []
    step.wait(lambda _, error: told.append(error))
    move = rig.store.begin_move(HALF)
    rig.through(move.prepare())
    move.freeze()
    steps = move.hand_over()
    next(steps)
    rig.now = 2e9
    rig.store.expire()
    assert isinstance(told[0], ValueUnknown)
    rig.load()  # which nobody waits for any more
    rig.through(steps)
    assert move.released


def test_what_is_being_loaded_of_slots_that_are_forgotten_is_not_installed(table: str) -> None:
    rig = Rig("evict", table)
    keys = [f"key {number}" for number in range(10)]
    rig.rows = dict.fromkeys(keys, "before")
    told: list[object] = []
    for key in keys:
        load = rig.store.get(key)
        assert isinstance(load, Load)
        load.wait(lambda value, _: told.append(value))
    query = rig.store.load_begin()
    assert query is not None
    for _ in rig.store.forget(HALF):
        pass
    rig.store.load_end(query, dict(rig.rows))
    assert told == ["before"] * len(keys)
    assert sorted(rig.store.memory.keys()) == [key for key in keys if key not in HALF]


def test_without_a_tier_the_records_of_slots_that_are_forgotten_are_gone(table: str) -> None:
    store = MemoryStore(TABLES[table]["lru"](100))
    keys = [f"key {number}" for number in range(10)]
    for key in keys:
        store.put(key, "v")
    for _ in store.forget(HALF):
        pass
    assert sorted(store.keys()) == [key for key in keys if key not in HALF]
    assert store.measured().dropped_records == 0


def test_what_was_due_at_once_still_is_when_the_move_is_called_off(table: str) -> None:
    rig = Rig("behind", table)
    key = next(f"{number}" for number in range(100) if f"{number}" in HALF)
    rig.through(rig.store.begin_move(HALF).prepare())
    rig.store.put(key, "v")
    rig.store.end_move()
    rig.store.check()
    assert rig.store.flush_in() == 0.0
    rig.flush()
    rig.store.put(key, "w")
    assert rig.store.flush_in() == 1.0


def test_without_a_move_nothing_is_noted(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.through(rig.store.begin_move(HALF).prepare())
    rig.store.end_move()
    rig.fill(100)
    assert rig.store.memory.written() == []
    assert not rig.store.pending.hurried
