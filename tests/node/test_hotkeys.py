"""HOT of one node: what it costs is bounded, what it tells is right on average, and it forgets."""

from __future__ import annotations

import random
from itertools import accumulate, pairwise
from typing import Any

import pytest

from ckv import errors
from ckv.node.hotkeys import HALF_LIFE, MAX_BYTES, MAX_COUNT, MOST, HotKeys
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.latencies import BOUNDS, KINDS, Latencies
from tests.node.callers import Told


@pytest.fixture(autouse=True)
def seed() -> None:
    random.seed(11)


class Server:
    """Counts down as compiled code does."""

    def __init__(self) -> None:
        self.to_skip = 0
        self.sampled = 0

    def watch(self, sample: Any, bounds: tuple[float, ...]) -> None:
        assert bounds == BOUNDS
        self._sample = sample

    def told_times(self) -> list[tuple[list[int], float]]:
        return [([0] * (len(BOUNDS) + 1), 0.0)] * len(KINDS)

    def asked(self, key: bytes) -> None:
        self.to_skip -= 1
        if self.to_skip < 0:
            self.sampled += 1
            self.to_skip = self._sample(key)


class World:
    """Requests of one key after the other, at a time that passes as it is told; half of them reach handlers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.latencies = Latencies()
        self.hot = HotKeys(lambda: self.now, self.latencies)
        self.server = Server()
        self.hot.watch(self.server)
        self.carried_out = 0
        self.handlers = self.hot.noting({"GET": self._get, "PUT": self._put})

    def _get(self, _caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        self.carried_out += 1
        return True

    def _put(self, _caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        """Takes as long as the value says; a negative one is answered later."""
        seconds: Any = params[1]
        self.now += abs(seconds)
        return LATER if seconds < 0 else True

    def second(self, keys: list[str]) -> int:
        """These are asked for within a second; how many of those that compiled code answers were sampled."""
        before = self.server.sampled
        for number, key in enumerate(keys):
            if number % 2:
                self.server.asked(key.encode())
            else:
                assert self.handlers["GET"](Told(), 1, (key,)) is True
            if number % 100 == 0:
                self.now += 100 / len(keys)
                self.hot.tick()
        return self.server.sampled - before

    def told(self, count: int = MAX_COUNT) -> tuple[float, float, dict[str, tuple[float, float]]]:
        seconds, calls, keys = self.hot.told(count)
        found: Any = keys
        return float(seconds), float(calls), {key: (rate, error) for key, rate, error in found}  # type: ignore[arg-type]


def test_few_requests_are_all_counted() -> None:
    world = World()
    for _ in range(10):
        world.second(["a", "b", "a", "c"] * 50)
    seconds, calls, keys = world.told()
    assert seconds == pytest.approx(10)
    assert calls * seconds == pytest.approx(2000)
    assert {key: rate * seconds for key, (rate, _) in keys.items()} == pytest.approx({"a": 1000, "b": 500, "c": 500})
    assert not any(error for _, error in keys.values())
    assert list(keys) == ["a", "b", "c"]
    assert world.carried_out == 1000


def test_of_many_few_are_looked_at_and_the_estimate_is_as_good_as_it_says() -> None:
    world, chance = World(), random.Random(5)
    weights = list(accumulate(1 / rank for rank in range(1, 2001)))
    names = [f"key {rank}" for rank in range(1, 2001)]
    sampled = [world.second(chance.choices(names, cum_weights=weights, k=20_000)) for _ in range(12)]
    assert max(sampled[2:]) <= MOST
    assert min(sampled) > MOST / 10
    seconds, calls, keys = world.told(20)
    assert calls * seconds == pytest.approx(12 * 20_000, rel=0.1)
    true = {name: 12 * 20_000 / rank / weights[-1] for rank, name in enumerate(names, 1)}
    good = [name for name, (rate, error) in keys.items() if abs(rate * seconds - true[name]) <= error * seconds]
    assert len(good) >= 17
    assert next(iter(keys)) == "key 1"
    assert keys["key 1"][1] < 0.2 * keys["key 1"][0]


def test_when_the_load_falls_all_are_looked_at_again() -> None:
    world = World()
    world.second(["a"] * 60_000)
    sampled = 0
    for _ in range(12):
        sampled = world.second(["b"] * 100)
    assert sampled == 50


def test_a_key_that_is_asked_for_no_more_fades() -> None:
    world = World()
    world.second(["was"] * 400)
    rates = []
    for _ in range(6):
        world.now += HALF_LIFE
        world.second(["is"] * 300)
        _, _, keys = world.told()
        rates.append(keys["was"][0])
    assert list(keys) == ["is", "was"]
    assert all(later < earlier / 1.4 for earlier, later in pairwise(rates))
    seconds, _, _ = world.told()
    assert seconds < 2.5 * HALF_LIFE


@pytest.mark.parametrize("params", [(), (7,), (None, "a"), ("k" * 2000,), (b"k" * 2000,)])
def test_what_is_no_key_is_left_to_its_handler(params: tuple[object, ...]) -> None:
    world = World()
    assert world.handlers["GET"](Told(), 1, params) is True
    assert world.told()[1:] == (0, {})


def test_other_methods_are_not_looked_at() -> None:
    handler: Handler = World()._get
    assert World().hot.noting({"PING": handler, "INFO": handler}) == {"PING": handler, "INFO": handler}


def test_what_is_answered_at_once_is_timed() -> None:
    world = World()
    for seconds in (0.0002, 0.0002, 0.5, -0.5):
        world.handlers["PUT"](Told(), 1, ("k", seconds))
    (put,) = world.latencies.told().values()
    assert put.counts == [0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert put.seconds == pytest.approx(0.5004)


def test_of_many_that_are_answered_at_once_those_that_are_timed_stand_for_the_others() -> None:
    world = World()
    for _ in range(20):
        for _ in range(2500):
            world.handlers["PUT"](Told(), 1, ("k", 0.0002))
        world.now += 0.5
        world.hot.tick()
    (put,) = world.latencies.told().values()
    assert sum(put.counts) == pytest.approx(50_000, rel=0.1)
    assert put.seconds == pytest.approx(50_000 * 0.0002, rel=0.1)


def test_an_answer_has_as_many_keys_as_fit() -> None:
    world = World()
    world.second([f"{number:02}" + "k" * 1000 for number in range(100)])
    assert len(world.told()[2]) == MAX_BYTES // 1002


@pytest.mark.parametrize("count", [0, -1, MAX_COUNT + 1, "10", 1.0, True, None])
def test_a_count_that_is_none_is_refused(count: object) -> None:
    with pytest.raises(errors.BadArguments, match="it is 1 to 100"):
        World().hot.told(count)
