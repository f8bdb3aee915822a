"""BIG of one node: the largest records, found between what others ask."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from ckv import errors
from ckv.node.bigkeys import MAX_WALKS, PIECE, BigKeys
from ckv.node.hotkeys import MAX_BYTES
from ckv.protocol.handler import LATER
from ckv.store.memory import PLAIN, TABLES, Memory
from tests.node.callers import Told


class World:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.turns: list[Callable[[], None]] = []
        self.big = BigKeys(memory, self.turns.append)
        self.told = Told()

    def ask(self, count: object) -> None:
        assert self.big.big(self.told, 1, (count,)) is LATER

    def turn(self) -> None:
        self.turns.pop(0)()

    def answers(self) -> list[Any]:
        while self.turns:
            self.turn()
        answers, self.told.answers = self.told.answers, []
        return [result if error is None else error for _, error, result in answers]


@pytest.fixture(params=list(product(TABLES, PLAIN)), ids=lambda param: "-".join(param))
def world(request: pytest.FixtureRequest) -> World:
    kind, policy = request.param
    return World(TABLES[kind][policy](10**6))


def test_the_largest_are_told_in_their_order(world: World) -> None:
    chance = random.Random(1)
    values = {f"key {number}": chance.randbytes(chance.randrange(2000)) for number in range(2 * PIECE + 100)}
    for key, value in values.items():
        world.memory.put(key, value)
    largest = sorted(((len(value), key) for key, value in values.items()), reverse=True)
    for count in (1, 10, 100):
        world.ask(count)
        (((_, _, found),),) = world.answers()
        assert [size for size, _ in found] == [size for size, _ in largest[:count]]
        assert all(len(values[key]) == size for size, key in found)
        assert len({key for _, key in found}) == count


def test_it_goes_on_piece_by_piece(world: World) -> None:
    for number in range(2 * PIECE + 100):
        world.memory.put(f"key {number}", b"x")
    world.memory.put("large", "ü" * 100)
    world.ask(1)
    pieces = 0
    while world.turns:
        world.turn()
        pieces += 1
        world.memory.remove(f"key {pieces}")
    assert pieces == 3
    assert world.answers() == [[["", "", [[200, "large"]]]]]


def test_there_may_be_nothing(world: World) -> None:
    world.ask(10)
    assert world.answers() == [[["", "", []]]]


def test_who_is_gone_is_searched_for_no_longer(world: World) -> None:
    for number in range(2 * PIECE):
        world.memory.put(f"key {number}", b"x")
    world.ask(1)
    world.told.is_open = False
    world.turn()
    assert world.turns == []


def test_not_many_search_at_a_time(world: World) -> None:
    for _ in range(MAX_WALKS):
        world.ask(1)
    with pytest.raises(errors.Overloaded):
        world.ask(1)
    assert len(world.answers()) == MAX_WALKS
    world.ask(1)
    assert len(world.answers()) == 1


def test_a_defect_is_told_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(TABLES["plain"]["lru"](10))
    monkeypatch.setattr("ckv.node.bigkeys._Search.step", lambda _search: 1 // 0)
    for _ in range(MAX_WALKS + 1):
        world.ask(1)
        (answer,) = world.answers()
        assert answer.startswith("ServerError: ")


def test_an_answer_has_as_many_keys_as_fit(world: World) -> None:
    for number in range(100):
        world.memory.put(f"{number:02}" + "k" * 1000, b"x")
    world.ask(100)
    (((_, _, found),),) = world.answers()
    assert len(found) == MAX_BYTES // 1002


@pytest.mark.parametrize("params", [(), (1, 2), (0,), (101,), ("1",)])
def test_wrong_arguments_are_refused(params: tuple[object, ...]) -> None:
    with pytest.raises(errors.BadArguments):
        World(TABLES["plain"]["lru"](10)).big.big(Told(), 1, params)
