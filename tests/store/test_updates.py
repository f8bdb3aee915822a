"""Updates of the store: what stands in line behind one that waits, and in which order all of it happens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv.errors import CkvError, NoRoom, Refused, RowsRefused, TierUnavailable, ValueUnknown
from ckv.store.alone import MemoryStore
from ckv.store.change import Change, Modify, kept
from ckv.store.loading import Load
from ckv.store.memory import POLICIES, TABLES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.updates import Queued
from ckv.store.waiting import Waiting
from ckv.values import Value
from tests.store import expiring

AT_ONCE = sorted(set(MODES) - {"through"})


def adds(text: str) -> Modify:
    """Makes of a value one that shows what it was."""

    def modify(old: Value | None) -> Change:
        assert not isinstance(old, bytes)
        return Change(None, f"{old}{text}")

    return modify


class Node:
    """A store, its tier and its clock, with everything that was answered, in order."""

    def __init__(self, mode: str, *, capacity: int = 10, pending_max: int = 10, write_delay: float = 0.0) -> None:
        self.now = 0.0
        self.tier: dict[str, Value] = {}
        self.answers: list[str] = []
        self.memory = POLICIES["lru"](capacity)
        environment = Environment(clock=lambda: self.now, load_timeout=5, pending_wait=1, write_delay=write_delay)
        self.store: Store = MODES[mode](self.memory, Pending(pending_max, 1 << 30), environment)

    def ask(self, what: str, outcome: Callable[[], object]) -> None:
        """Asks for something whose answer is noted as ``what: answer``, when it comes."""

        def note(result: object, error: CkvError | None) -> None:
            if isinstance(result, Waiting):
                result.wait(note)
            else:
                self.answers.append(f"{what}: {type(error).__name__ if error is not None else result}")

        try:
            note(outcome(), None)
        except CkvError as error:
            note(None, error)

    def add(self, text: str, key: str = "k") -> None:
        self.ask(f"add {text}", lambda: self.store.update(key, adds(text)))
        self.store.check()

    def get(self, key: str = "k") -> None:
        self.ask("get", lambda: self.store.get(key))

    def put(self, value: str, key: str = "k") -> None:
        self.ask(f"put {value}", lambda: self.store.put(key, value))

    def load(self) -> None:
        query = self.store.load_begin()
        assert query is not None
        self.store.load_end(query, {load.key: self.tier[load.key] for load in query.loads if load.key in self.tier})
        self.store.check()

    def settle(self) -> None:
        """Everything that waits for the tier comes to its end."""
        while self.store.flush_in() is not None or self.store.load_in() is not None:
            if self.store.flush_in() is not None:
                self.flush()
            if self.store.load_in() is not None:
                self.load()

    def flush(self) -> None:
        batch = self.store.flush_begin()
        for key, value, *_ in batch:
            if value is None:
                self.tier.pop(key, None)
            else:
                self.tier[key] = value
        self.store.flush_end(batch)
        self.store.admit()
        self.store.check()


def test_without_a_tier_nothing_waits() -> None:
    store = MemoryStore(POLICIES["lru"](2))
    assert store.update("k", lambda old: Change(old, "a")) is None
    assert store.update("k", lambda old: kept(old)) == "a"
    assert store.update("k", lambda old: Change(old)) == "a"
    assert store.get("k") is None


@pytest.mark.parametrize("mode", AT_ONCE)
def test_all_that_stands_in_line_happens_in_the_order_in_which_it_came(mode: str) -> None:
    node = Node(mode)
    node.tier["k"] = "0"
    node.add("1")
    node.get()
    node.add("2")
    node.put("p")
    node.add("3")
    node.ask("del", lambda: node.store.delete("k"))
    node.get()
    node.add("4")
    node.get()
    assert node.answers == []
    node.load()
    assert node.answers == [
        "add 1: None", "get: 01", "add 2: None", "put p: True", "add 3: None", "del: True", "get: None",
        "add 4: None", "get: None4",
    ]  # fmt: skip
    assert node.store.figures.loads == 1


def test_in_through_a_get_sees_what_is_committed() -> None:
    node = Node("through")
    node.tier["k"] = "0"
    node.add("1")
    node.get()
    node.put("p")
    node.add("2")
    node.load()
    node.get()
    assert node.answers == ["get: 0", "get: 0"]
    node.flush()
    node.get()
    assert node.answers[2:] == ["add 1: None", "put p: True", "add 2: None", "get: p2"]
    assert node.tier == {"k": "p2"}


def test_in_through_all_that_waited_for_a_flush_goes_with_the_next_one() -> None:
    node = Node("through")
    node.put("0")
    first = node.store.flush_begin()
    for text in "123":
        node.add(text)
    assert node.answers == []
    node.store.flush_end(first)
    assert node.answers == ["put 0: True"]
    node.flush()
    assert node.answers[1:] == ["add 1: None", "add 2: None", "add 3: None"]
    assert node.tier == {"k": "0123"}
    assert node.store.figures.flushes == 2


def test_in_through_nothing_is_counted_on_top_of_what_is_refused() -> None:
    node = Node("through")
    node.put("0")
    node.flush()
    node.put("bad")
    batch = node.store.flush_begin()
    node.add("1")
    node.store.flush_end(batch, {"k": RowsRefused("no")})
    node.flush()
    assert node.answers[1:] == ["put bad: RowsRefused", "add 1: None"]
    assert node.tier == {"k": "01"}


def test_in_through_an_update_does_not_wait_for_a_flush_for_ever() -> None:
    node = Node("through")
    node.put("0")
    batch = node.store.flush_begin()
    node.add("1")
    node.now = 3
    node.add("2")
    node.now = 5
    node.store.expire()
    assert node.answers == ["add 1: ValueUnknown", "put 0: CommitTimeout"]
    node.store.flush_end(batch)
    node.flush()
    assert node.answers[2:] == ["add 2: None"]
    assert node.tier == {"k": "02"}


@pytest.mark.parametrize("mode", MODES)
def test_a_load_that_fails_changes_nothing_and_what_needs_no_value_goes_on(mode: str) -> None:
    node = Node(mode)
    node.add("1")
    node.add("2")
    node.put("p")
    node.add("3")
    node.now = 5
    node.store.expire()
    refused = ["add 1: ValueUnknown", "add 2: ValueUnknown"]
    assert node.answers[:2] == refused
    node.flush()
    assert node.answers == [*refused, "put p: True", "add 3: None"]
    node.store.drain_begin()
    node.flush()
    assert node.tier == {"k": "p3"}


@pytest.mark.parametrize("mode", MODES)
def test_while_nothing_can_be_loaded_it_is_refused_at_once(mode: str) -> None:
    node = Node(mode)
    node.add("1")
    node.store.loads_refused(TierUnavailable("away"))
    node.add("2")
    assert node.answers == ["add 1: ValueUnknown", "add 2: ValueUnknown"]
    assert ValueUnknown.written == "no"


@pytest.mark.parametrize("mode", MODES)
def test_what_refuses_the_value_changes_nothing_and_lets_others_go_on(mode: str) -> None:
    def refuse(old: Value | None) -> Change:
        raise Refused(str(old))

    node = Node(mode)
    node.tier["k"] = "0"
    node.ask("refuse", lambda: node.store.update("k", refuse))
    node.add("1")
    node.load()
    node.flush()
    assert node.answers == ["refuse: Refused", "add 1: None"]


@pytest.mark.parametrize("mode", MODES)
def test_a_load_is_shared_with_gets_and_held_for_nobody(mode: str) -> None:
    class Congested:
        congested = True

    node = Node(mode)
    node.tier["k"] = "0"
    load = node.store.get("k")
    assert isinstance(load, Load)
    node.store.asked_by(load, Congested())
    node.ask("get", lambda: load)
    assert node.store.load_begin() is None
    node.add("1")
    node.load()
    node.flush()
    assert sorted(node.answers) == ["add 1: None", "get: 0"]
    assert node.store.figures.loads_shared == 1


@pytest.mark.parametrize("mode", AT_ONCE)
def test_whoever_is_told_and_asks_again_stands_behind_all_others(mode: str) -> None:
    node = Node(mode)
    node.tier["k"] = "0"
    first = node.store.update("k", adds("1"))
    assert isinstance(first, Queued)
    first.wait(lambda _result, _error: node.add("last"))
    node.add("2")
    node.put("p")
    node.add("3")
    node.load()
    node.get()
    assert node.answers == ["add last: None", "add 2: None", "put p: True", "add 3: None", "get: p3last"]


def test_one_that_has_to_wait_for_room_keeps_its_place() -> None:
    node = Node("evict", capacity=1, pending_max=1)
    node.tier["k"] = "0"
    node.put("x", "a")
    node.add("1")
    node.put("y", "b")  # whose victim fills pending
    node.add("2")
    node.put("p")
    node.add("3")
    node.get()
    node.load()
    # There is no room for what the first one has made, so a GET sees what was before, as behind a PUT.
    node.load()
    assert node.answers == ["put x: True", "put y: True", "get: 0"]
    node.settle()
    assert node.answers[3:] == ["add 1: None", "add 2: None", "put p: True", "add 3: None"]
    node.get()
    node.settle()
    assert node.answers[-1] == "get: p3"


def test_what_leaves_the_room_for_a_load_is_followed_by_what_stood_behind_it() -> None:
    node = Node("evict", capacity=1, pending_max=1)
    node.tier["k"] = "0"
    node.put("x", "a")
    node.put("x", "b")  # whose victim fills pending
    node.put("p")
    node.now = 0.5
    node.add("1")
    node.put("x", "c")
    node.put("q")
    node.add("2")
    node.now = 1
    node.store.expire()
    assert node.answers[2:] == ["put p: NoRoom"]
    node.flush()
    # Now the first update waits for its load, and c has filled pending again.
    assert node.answers[3:] == ["put x: True"]
    assert node.store.pending.full
    node.add("3")
    node.settle()
    assert node.answers[4:] == ["add 1: None", "put q: True", "add 2: None", "add 3: None"]
    node.get()
    node.settle()
    assert node.answers[-1] == "get: q23"


def test_an_update_that_deletes_is_answered_though_nobody_can_be_asked_what_there_was() -> None:
    """It waits for room, and is told already: a schedule that met it."""
    expiring.run(826, "evict", "lru")


def test_a_write_of_an_update_that_fails_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a deletion has happened in spite of such an error."""

    def fails(*_: object) -> None:
        raise TierUnavailable("away")

    node = Node("evict")
    node.put("p")
    monkeypatch.setattr(node.store, "put", fails)
    node.add("1")
    assert node.answers == ["put p: True", "add 1: TierUnavailable"]


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_refuses_what_stands_in_line(mode: str) -> None:
    node = Node(mode)
    node.tier["k"] = "0"
    node.add("1")
    node.put("p")
    node.ask("del", lambda: node.store.delete("k"))
    if mode != "through":
        node.get()
    node.store.drain_begin()
    assert node.answers == ["add 1: NoRoom", "put p: NoRoom", "del: NoRoom"]
    assert NoRoom.written == "no"
    node.load()
    assert node.answers[3:] == (["get: 0"] if mode != "through" else [])
    assert node.store.unsaved == 0


@pytest.mark.parametrize("table", TABLES)
def test_memory_takes_nothing_by_itself_while_an_update_waits(table: str) -> None:
    memory = TABLES[table]["lru"](10)
    store = MODES["evict"](memory, Pending(10, 1 << 30), Environment(clock=lambda: 0.0, load_timeout=5, pending_wait=1))
    may = [(memory.may_put, memory.may_add)]
    store.update("k", adds("1"))
    may.append((memory.may_put, memory.may_add))
    store.distrust()
    may.append((memory.may_put, memory.may_add))
    assert may == [(True, True), (True, False), (True, False)]
    queries = [store.load_begin(), store.load_begin()]
    for query in queries:
        if query is not None:
            store.load_end(query, {"k": "0"})
    assert memory.may_add
    assert store.get("k") == "01"
