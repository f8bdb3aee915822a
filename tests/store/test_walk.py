"""Walks through the keys of a table, in pieces."""

from __future__ import annotations

import random
from itertools import product

import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.store.memory import PLAIN, TABLES, Memory, Walk
from ckv.store.memory.slots import SlotSet
from ckv.values import Value, to_bytes
from tests.store.walks import walked


@pytest.fixture(params=list(product(TABLES, PLAIN)), ids=lambda param: "-".join(param))
def table(request: pytest.FixtureRequest) -> Memory:
    kind, policy = request.param
    return TABLES[kind][policy](1000)


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 1000])
def test_each_key_is_met_once(table: Memory, count: int) -> None:
    assert walked(table.walk(), count) == []
    keys = {f"key {number}" for number in range(100)} | {"\udcff", ""}
    for key in keys:
        table.put(key, b"x")
    found = walked(table.walk(), count)
    assert len(found) == len(keys)
    assert set(found) == keys


@pytest.mark.parametrize("count", [1, 7, 100, 1000])
def test_a_walk_through_some_slots_meets_their_keys_alone(table: Memory, count: int) -> None:
    half = SlotSet(bytes(slot < SLOTS // 2 for slot in range(SLOTS)), slot_of)
    keys = {f"key {number}" for number in range(100)} | {"\udcff", "", "ü", "{tag}a", "{tag}b"}
    for key in keys:
        table.put(key, b"x")
    found = walked(table.walk(), count, half)
    assert sorted(found) == sorted(key for key in keys if slot_of(key) < SLOTS // 2)
    assert 20 < len(found) < 90


def test_what_is_there_all_the_while_is_met_once_whatever_comes_and_goes(table: Memory) -> None:
    chance = random.Random(1)
    stays = [f"stays {number}" for number in range(50)]
    for number, key in enumerate(stays):
        table.put(f"goes {number}", b"x")
        table.put(key, b"x")
    walk = table.walk()
    place, found = 0, []
    while True:
        keys, place = walk.keys_at(place, 3)
        found += keys
        if place == 0:
            break
        for _ in range(5):
            table.remove(f"goes {chance.randrange(50)}")
            table.put(f"comes {chance.randrange(500)}", b"x")
            table.get(chance.choice(stays))
            table.put(chance.choice(stays), chance.choice((b"y", b"longer" * 20)))
    assert sorted(key for key in found if key.startswith("stays")) == sorted(stays)


def large(walk: Walk, count: int, at_least: int) -> list[tuple[int, str]]:
    """The records of at least so many bytes, in pieces of so many places."""
    place, found = 0, list[tuple[int, str]]()
    while True:
        records, place = walk.large_at(place, count, at_least)
        found += records
        if place == 0:
            return found


@pytest.mark.parametrize("count", [1, 7, 100, 1000])
def test_records_with_large_values_are_met_with_their_sizes(table: Memory, count: int) -> None:
    assert large(table.walk(), count, 0) == []
    values: dict[str, Value] = {f"key {size}": b"x" * size for size in range(100)}
    values |= {"text": "ü" * 20, "\udcff": "a\udcff", "gone": b""}
    for key, value in values.items():
        table.put(key, value)
    table.remove("gone")
    sizes = {key: len(to_bytes(value)) for key, value in values.items() if key != "gone"}
    assert sorted(large(table.walk(), count, 0)) == sorted((size, key) for key, size in sizes.items())
    at_least = sorted((size, key) for key, size in sizes.items() if size >= 40)
    assert sorted(large(table.walk(), count, 40)) == at_least
    assert len(at_least) == 61
    assert large(table.walk(), count, 2**40) == []


def test_a_place_can_be_asked_for_again(table: Memory) -> None:
    for number in range(10):
        table.put(str(number), b"x")
    walk = table.walk()
    _, place = walk.keys_at(0, 4)
    assert walk.keys_at(place, 4) == walk.keys_at(place, 4)
    table.clear()
    assert not [key for key in walk.keys_at(place, 100)[0] if key in table]
