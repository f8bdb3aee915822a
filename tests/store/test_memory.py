"""The laws of every eviction policy, and what each one adds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import ClassVar

import pytest

from ckv.store.memory import POLICIES, Memory


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def memory(policy: str) -> Memory:
    return POLICIES[policy](3)


def test_it_gives_back_what_was_put(memory: Memory) -> None:
    assert memory.put("a", "1") is None
    assert memory.put("b", b"2") is None
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == ("1", b"2", None)
    assert (memory.peek("a"), memory.peek("c")) == ("1", None)


def test_an_empty_value_is_a_value(memory: Memory) -> None:
    memory.put("a", "")
    assert memory.get("a") == ""
    assert memory.remove("a") == ""


def test_a_new_value_replaces_the_old_one_and_evicts_nobody(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "old")
    assert memory.put("b", "new") is None
    assert memory.get("b") == "new"
    assert len(memory) == 3


def test_the_victim_of_one_too_many_comes_out_whole(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, f"value of {key}")
    victim = memory.put("d", "value of d")
    assert victim == ("a", "value of a")
    assert len(memory) == 3
    assert "a" not in memory
    assert "d" in memory
    assert memory.get("a") is None


def test_removing_makes_room(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "v")
    assert not memory.has_room_for("d")
    assert memory.has_room_for("b")
    assert memory.remove("b") == "v"
    assert memory.remove("b") is None
    assert memory.has_room_for("d")
    assert memory.put("d", "v") is None


def test_records_lists_all(memory: Memory) -> None:
    for key in "abcd":
        memory.put(key, key.upper())
    assert dict(memory.records()) == {"b": "B", "c": "C", "d": "D"}


def test_peeking_does_not_count_as_a_use(memory: Memory) -> None:
    for key in "abc":
        memory.put(key, "v")
    memory.peek("a")
    victim = memory.put("d", "v")
    assert victim is not None
    assert victim[0] == "a"


class Model:
    """What each policy says, in the plainest way: the victim is the smallest by its rule."""

    RULES: ClassVar[dict[str, Callable[[list[int]], tuple[int, ...]]]] = {
        "lru": lambda record: (record[1],),
        "lfu": lambda record: (record[2], record[0]),
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

    def put(self, key: str) -> str | None:
        victim = None
        if key not in self.records:
            if len(self.records) == self.capacity:
                victim = min(self.records, key=lambda other: self.rule(self.records[other]))
                del self.records[victim]
            self.records[key] = [self.now + 1, 0, 0]
        self.use(key)
        return victim


@pytest.mark.parametrize("seed", range(200))
def test_the_victim_is_the_one_that_the_policy_names(policy: str, seed: int) -> None:
    chance = random.Random(seed)
    capacity = chance.randint(1, 8)
    memory, model = POLICIES[policy](capacity), Model(policy, capacity)
    for _ in range(300):
        key = chance.choice("abcdefghijkl")
        action = chance.random()
        if action < 0.45:
            memory.get(key)
            model.use(key)
        elif action < 0.95:
            victim = memory.put(key, "v")
            assert (victim and victim[0]) == model.put(key)
        else:
            memory.remove(key)
            model.records.pop(key, None)
        assert {name for name, _ in memory.records()} == set(model.records)
