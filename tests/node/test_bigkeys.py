"""BIG of one node: the largest records, found between what others ask."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from ckv import errors
from ckv.node.bigkeys import PLACES, TURN_SECONDS, BigKeys
from ckv.node.hotkeys import MAX_BYTES
from ckv.protocol.handler import LATER
from ckv.store.memory import PLAIN, TABLES, Memory
from tests.node.callers import Told


class World:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.turns: list[Callable[[], None]] = []
        self.now = 0.0
        self.look_seconds = 1.0
        """Between two looks at the clock; by default a piece is as short as it can be."""
        self.big = BigKeys(memory, self.turns.append, self._clock)
        self.told = Told()

    def _clock(self) -> float:
        self.now += self.look_seconds
        return self.now

    def fill(self, count: int) -> None:
        for number in range(count):
            self.memory.put(f"key {number}", b"x")

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
    values = {f"key {number}": chance.randbytes(chance.randrange(2000)) for number in range(2 * PLACES + 100)}
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
    world.fill(2 * PLACES + 100)
    world.memory.put("large", "ü" * 100)
    world.ask(1)
    pieces = 0
    while world.turns:
        world.turn()
        pieces += 1
        world.memory.remove(f"key {pieces}")
    assert pieces == 3
    assert world.answers() == [[["", "", [[200, "large"]]]]]


@pytest.mark.parametrize(("look_seconds", "turns"), [(0.0, 1), (0.9 * TURN_SECONDS, 5), (TURN_SECONDS, 10)])
def test_a_piece_is_as_long_as_others_may_wait(world: World, look_seconds: float, turns: int) -> None:
    world.fill(10 * PLACES)
    world.look_seconds = look_seconds
    world.ask(1)
    done = 0
    while world.turns:
        world.turn()
        done += 1
    assert done == turns


def test_there_may_be_nothing(world: World) -> None:
    world.ask(10)
    assert world.answers() == [[["", "", []]]]


def test_who_is_gone_is_searched_for_no_longer(world: World) -> None:
    world.fill(2 * PLACES)
    world.ask(1)
    world.told.is_open = False
    world.turn()
    assert world.turns == []


def test_those_who_ask_during_a_walk_share_the_next_one(world: World) -> None:
    world.fill(2 * PLACES + 100)
    world.ask(1)
    world.turn()
    world.memory.put("large", b"x" * 100)
    world.memory.put("larger", b"x" * 200)
    for count in (2, 1, 100) * 10:
        world.ask(count)
    world.told.answers.clear()
    turns = 0
    while world.turns:
        world.turn()
        turns += 1
    assert turns == 2 + 3
    answers = [found for ((_, _, found),) in world.answers()][1:]
    assert [len(found) for found in answers] == [2, 1, 100] * 10
    assert all(found[:2] == [[200, "larger"], [100, "large"]][: len(found)] for found in answers)
    world.ask(1)
    assert world.answers() == [[["", "", [[200, "larger"]]]]]


def test_the_next_walk_is_made_also_when_nobody_waits_for_this_one(world: World) -> None:
    world.fill(2 * PLACES)
    world.ask(1)
    gone, world.told = world.told, Told()
    world.ask(1)
    gone.is_open = False
    assert len(world.answers()) == 1


def test_a_defect_is_told_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(TABLES["plain"]["lru"](10))
    monkeypatch.setattr("ckv.node.bigkeys._Search.step", lambda _search: 1 // 0)
    for _ in range(3):
        world.ask(1)
        world.ask(1)
        assert [answer[:13] for answer in world.answers()] == ["ServerError: "] * 2


def test_a_walk_that_cannot_begin_is_told_to_those_who_wait_for_it() -> None:
    world = World(TABLES["plain"]["lru"](10))
    world.ask(1)
    world.ask(1)
    turn = world.turns.pop()
    world.big._next_turn = lambda _do: 1 // 0
    turn()
    assert sorted(map(str, world.answers())) == ["ServerError: unexpected error in BIG", "[['', '', []]]"]


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
