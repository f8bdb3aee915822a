"""Steps of several keys: what they wait for, that nothing comes between their parts, and that they are whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckv.errors import CkvError, NoRoom, TierUnavailable, ValueUnknown
from ckv.store import together
from ckv.store.alone import MemoryStore
from ckv.store.change import Look
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.values import Value
from tests.store.test_updates import Node, adds
from tests.store.world import World

KEYS = [f"k{number}" for number in range(8)]


class Steps(Node):
    """A node that notes what its steps are told of their keys."""

    def step(self, *keys: str, writes: str = "", what: str = "step") -> None:
        """One that looks at the keys, and puts ``writes`` behind the value of each, if it is to."""

        def run(look: Look) -> object:
            told = []
            for key in keys:
                told.append(look(key).value)
                if writes:
                    self.ask("part", lambda key=key: self.store.update(key, adds(writes)))  # type: ignore[misc]
            return " ".join(map(str, told))

        self.ask(what, lambda: self.store.together(dict.fromkeys(keys, True), run, writes=bool(writes)))
        self.store.check()

    def put_all(self, *keys: str) -> None:
        """One that needs no value."""

        def run(_look: Look) -> object:
            for key in keys:
                self.ask("part", lambda key=key: self.store.put(key, "new"))  # type: ignore[misc]
            return "all"

        self.ask("put all", lambda: self.store.together(dict.fromkeys(keys, False), run))


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_known_needs_no_wait(mode: str) -> None:
    node = Steps(mode)
    node.put("1", "a")
    node.settle()
    node.answers.clear()
    node.get("none")
    node.settle()
    node.answers.clear()
    node.step("a", "none")
    assert node.answers == ["step: 1 None"]


def test_it_waits_for_all_that_it_needs(mode: str) -> None:
    node = Steps(mode)
    node.tier = {"a": "1", "b": "2"}
    node.step("a", "none", "b", writes="x")
    assert node.answers == []
    node.load()
    node.settle()
    assert node.answers.count("part: None") == 3
    assert node.answers[0 if mode == "through" else -1] == "step: 1 None 2"
    assert node.tier == ({"a": "1x", "b": "2x", "none": "Nonex"} if mode != "evict" else {"a": "1", "b": "2"})


def test_memory_may_be_smaller_than_it_is(mode: str) -> None:
    """What was loaded for it is there when its turn comes, though there is room for two."""
    node = Steps(mode, capacity=2)
    node.tier = dict.fromkeys(KEYS, "1")
    node.step(*KEYS, "none", writes="x")
    node.load()
    node.settle()
    told = f"step: {' '.join(['1'] * 8)} None"
    assert told in node.answers
    assert node.answers.count("part: None") == 9
    node.answers.clear()
    for key in KEYS:
        node.get(key)
        node.settle()
    assert node.answers == ["get: 1x"] * 8


def test_what_expires_while_it_waits_is_not_told(mode: str) -> None:
    """One record was loaded for it, left memory again and expired, while it waited for another one."""
    world = World("lru", 1, 10, mode)
    world.put("daniel", 20.0)
    world.put("alice")
    world.settle()
    world.put("bob")
    world.settle()
    world.advance(20.0 - world.now - 1.0)
    world.together([("daniel", "look", None), ("alice", "look", None), ("daniel", "append", 0)])
    world.load_begin()
    world.load_end(0)  # which leaves the other one for a further query
    (step,) = world.store.steps
    assert step.missing == {"alice"}
    assert world.memory.peek("daniel") is not None
    world.put("charles")
    world.flush_begin()
    while world.flushes:
        world.flush_end(0)
    assert "daniel" not in world.memory
    assert "daniel" not in world.pending
    world.advance(1.0)
    world.load_begin()
    world.load_end(0)  # the world compares what it is told
    assert not world.store.steps
    world.check()
    world.drain_and_restart()


def test_what_is_written_while_it_waits_counts(mode: str) -> None:
    """Also when that has left memory, and pending, before the step is carried out: it is loaded anew."""
    node = Steps(mode, capacity=1)
    node.tier = {"a": "1", "b": "2"}
    node.step("a", "b")
    first = node.store.load_begin()
    assert first is not None
    assert {load.key for load in first.loads} == {"a", "b"}
    node.put("9", "a")
    for key in ("c", "d"):
        node.put("0", key)
    while node.store.flush_in() is not None:
        node.flush()
    assert node.tier["a"] == "9"
    node.answers.clear()
    node.store.load_end(first, {"a": "1", "b": "2"})
    assert node.answers == [] or mode != "evict"
    node.settle()
    assert node.answers == ["step: 9 2"]


def test_compiled_code_may_have_written_in_between() -> None:
    """It tells nobody: memory takes the PUT of a key that is there."""
    node = Steps("evict", capacity=2)
    node.tier = {"a": "1", "b": "2"}
    node.step("a")
    node.answers.clear()
    node.step("a", "b")
    query = node.store.load_begin()
    assert query is not None
    loads = {load.key: load for load in query.loads}
    assert loads.keys() == {"a", "b"}
    held = node.store.loading
    node.store.load_end(query._replace(loads=[loads["a"]]), {"a": "1"})
    assert node.answers == ["step: 1"]
    assert node.memory.may_put
    assert not node.memory.may_add, "what it loaded is not to be overtaken unseen"
    assert node.memory.put("a", "9")
    for key in ("c", "d", "e"):
        node.put("0", key)
    while node.store.flush_in() is not None:
        node.flush()
    assert "a" not in node.memory
    assert node.tier["a"] == "9"
    node.answers.clear()
    node.store.load_end(query._replace(loads=[loads["b"]]), {"b": "2"})
    node.settle()
    assert node.answers == ["step: 9 2"]
    assert held.pins == 0
    assert node.memory.may_add


def test_it_comes_behind_what_waits_of_its_keys(mode: str) -> None:
    node = Steps(mode)
    node.tier = {"a": "1"}
    node.add("x", "a")
    node.step("a", writes="y")
    node.put_all("a", "b")
    assert node.answers == []
    node.load()
    node.settle()
    assert [answer for answer in node.answers if answer.startswith("step")] == ["step: 1x"]
    node.answers.clear()
    node.get("a")
    node.settle()
    assert node.answers == ["get: new"]


def test_it_waits_for_a_write_that_may_be_refused() -> None:
    """``through``: what is under way is not what the persistent tier has, until it has."""
    node = Steps("through")
    node.tier = {"a": "1"}
    node.get("a")
    node.load()
    node.put("2", "a")
    batch = node.store.flush_begin()
    node.answers.clear()
    node.step("a")
    assert node.answers == []
    node.tier["a"] = "2"
    node.store.flush_end(batch)
    node.store.admit()
    assert node.answers == ["put 2: True", "step: 2"]


@pytest.mark.parametrize("mode", ["behind", "through"])
def test_it_waits_for_room_and_is_whole(mode: str) -> None:
    node = Steps(mode, pending_max=2)
    node.put("1", "x")
    node.put("1", "y")
    node.answers.clear()
    node.put_all(*KEYS)
    assert node.answers == []
    assert len(node.store.pending) == 2
    while len(node.store.pending) == 2:
        batch = node.store.flush_begin()
        node.store.flush_end(batch)
        node.store.admit()
    assert len(node.store.pending) == len(KEYS), "it does not stop where the bound is"
    node.put("1", "z")
    assert node.store.room, "the bound counts again"
    node.settle()
    assert node.answers.count("put all: all") == 1
    assert node.answers.count("part: True") == len(KEYS)


def test_reading_needs_no_room(mode: str) -> None:
    node = Steps(mode, pending_max=1)
    node.tier = {"a": "1"}
    node.get("a")
    node.load()
    node.ask("put", lambda: node.store.put("x", "1"))
    if mode == "evict":
        node.ask("del", lambda: node.store.delete("x"))
    assert node.store.pending.full
    node.answers.clear()
    node.step("a")
    assert node.answers == ["step: 1"]


def ends(node: Steps, end: Callable[[], object], error: type[CkvError]) -> None:
    node.answers.clear()
    end()
    assert node.answers == [f"step: {error.__name__}"]
    assert not node.store.steps
    assert node.store.loading.pins == 0
    node.store.check()


def test_nothing_is_done_when_its_time_is_over(mode: str) -> None:
    node = Steps(mode)
    node.step("a", "b", writes="x")
    query = node.store.load_begin()
    assert query is not None
    node.now = 5.0
    ends(node, node.store.expire, ValueUnknown)
    node.store.load_end(query, {"a": "1", "b": "2"})
    assert node.memory.peek("a") == "1"
    assert node.answers == ["step: ValueUnknown"]


def test_nothing_is_done_when_no_room_comes_free() -> None:
    node = Steps("behind", pending_max=1)
    node.put("1", "x")
    node.step("a", writes="x")
    node.load()
    node.now = 1.0
    ends(node, node.store.expire, NoRoom)


def test_it_is_carried_out_when_what_it_waited_for_is_refused() -> None:
    node = Steps("behind", pending_max=1)
    node.tier = {"a": "1"}
    node.get("a")
    node.load()
    node.put("1", "x")
    node.put("2", "a")
    node.answers.clear()
    node.step("a")
    assert node.answers == []
    node.now = 1.0
    node.store.expire()
    assert node.answers == ["put 2: NoRoom", "step: 1"]


def test_nothing_is_done_when_the_tier_is_away(mode: str) -> None:
    node = Steps(mode)
    node.step("a", "b", writes="x")
    ends(node, lambda: node.store.loads_refused(TierUnavailable("away")), ValueUnknown)
    ends(node, lambda: node.step("a", "b", writes="x"), ValueUnknown)
    assert node.memory.peek("a") is None


def test_nothing_is_done_when_the_node_stops(mode: str) -> None:
    node = Steps(mode)
    node.step("a", "b", writes="x")
    ends(node, node.store.drain_begin, NoRoom)


def test_another_tier_is_asked_again(mode: str) -> None:
    node = Steps(mode, capacity=1)
    node.tier = {"a": "1", "b": "2", "c": "3"}
    node.step("a", "b", "c")
    query = node.store.load_begin()
    assert query is not None
    first, second, third = query.loads
    node.store.load_end(query._replace(loads=[first, second]), {first.key: "1", second.key: "2"})
    node.store.distrust()
    node.tier = {"a": "7", "b": "8", "c": "9"}
    node.store.load_end(query._replace(loads=[third]), {third.key: "3"})
    node.settle()
    assert node.answers == ["step: 7 2 9"], "what memory has is the truth still"


def test_without_a_tier() -> None:
    store = MemoryStore(POLICIES["lru"](10))
    store.put("a", "1")

    def run(look: Look) -> list[Value | None]:
        before = look("a").value
        store.put("a", "2")
        return [before, look("a").value, look("b").value]

    assert store.together({"a": True, "b": True}, run) == ["1", "2", None]


def test_it_is_over_in_time_although_its_value_moves_on(mode: str) -> None:
    """Each time its load is back, the tier may have become another one, and it is asked again."""
    node = Steps(mode)
    node.step("a", writes="x")
    for _ in range(6):
        query = node.store.load_begin()
        assert query is not None
        node.now += 0.9
        node.store.distrust()
        node.store.load_end(query, {"a": "1"})
    assert node.answers == ["step: ValueUnknown"]
    assert not node.store.steps


def test_the_values_that_are_loaded_for_one_are_bounded(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST_LOADED_BYTES", 10)
    node = Steps(mode)
    node.tier = dict.fromkeys(KEYS, "v" * 4)
    node.step(*KEYS[:2])
    node.load()
    assert node.answers == ["step: vvvv vvvv"]
    node.answers.clear()
    node.step(*KEYS[2:], writes="x")
    node.load()
    assert [answer.split(":")[1] for answer in node.answers] == [" BadArguments"]
    assert not node.store.steps


def test_it_hurries_what_is_in_its_way() -> None:
    node = Steps("behind", pending_max=1, write_delay=30.0)
    node.put("1", "a")
    assert node.store.flush_in() == 30.0
    node.put_all("b", "c")
    assert node.store.flush_in() == 0.0
