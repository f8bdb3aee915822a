"""The sketch of frequent keys: its bounds hold for whatever comes, and what it tells is not by chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from ckv.node.frequent import SLOTS, SURELY, Frequent


def key_of(number: int) -> bytes:
    return b"key %d" % number


def told(frequent: Frequent) -> dict[bytes, tuple[float, float]]:
    """All that it tells: calls and error, by key."""
    return {often.key: (often.calls, often.error) for often in frequent.most(2 * SLOTS)}


def test_few_keys_are_counted_exactly() -> None:
    frequent = Frequent()
    for number in range(SLOTS):
        for _ in range(number + 1):
            frequent.add(key_of(number), 1)
    assert told(frequent) == {key_of(number): (number + 1, 0) for number in range(SLOTS)}
    assert [often.key for often in frequent.most(3)] == [key_of(SLOTS - 1), key_of(SLOTS - 2), key_of(SLOTS - 3)]
    assert frequent.calls == SLOTS * (SLOTS + 1) / 2


def skewed(chance: random.Random) -> list[int]:
    return [int(chance.paretovariate(0.6)) % 10**6 for _ in range(50_000)]


def one_after_the_other(_chance: random.Random) -> list[int]:
    """Each time that room was made, those that are back were just dropped."""
    return [-1, -2, *range(1000)] * 40


def one_hot_key_among_others(chance: random.Random) -> list[int]:
    """It is asked for a little more often than the bound, and all others once."""
    calls = [-1] * int(SURELY * 40_000 * 1.01) + list(range(40_000))
    chance.shuffle(calls)
    return calls


@pytest.mark.parametrize("stream", [skewed, one_after_the_other, one_hot_key_among_others])
def test_no_key_is_further_off_than_it_says(stream: Callable[[random.Random], list[int]]) -> None:
    numbers = stream(random.Random(7))
    frequent, true = Frequent(), Counter[bytes]()
    for number in numbers:
        key = key_of(number)
        frequent.add(key, 1)
        true[key] += 1
    found = told(frequent)
    for key, (calls, error) in found.items():
        assert calls <= true[key] <= calls + error
    for key, calls in true.items():
        assert key in found or calls <= SURELY * len(numbers)
    assert frequent.calls == len(numbers)
    hottest = true.most_common(1)[0]
    assert hottest[1] <= SURELY * len(numbers) or frequent.most(1)[0].key in {
        key for key, calls in true.items() if calls == hottest[1]
    }


def test_what_chance_may_have_brought_is_not_told() -> None:
    frequent, chance = Frequent(), random.Random(3)
    for _ in range(20_000):
        frequent.add(key_of(chance.randrange(10**6)), 100)
    assert told(frequent) == {}
    for _ in range(400):
        frequent.add(b"hot", 100)
    (hot,) = frequent.most(10)
    assert hot.key == b"hot"
    assert abs(hot.calls - 40_000) <= hot.error < 12_000


def test_what_was_counts_half() -> None:
    frequent = Frequent()
    for _ in range(100):
        frequent.add(b"was", 4)
    before = told(frequent)[b"was"]
    frequent.halve()
    assert told(frequent)[b"was"] == (before[0] / 2, before[1] / 2)
    for _ in range(60):
        frequent.add(b"is", 4)
    assert [often.key for often in frequent.most(2)] == [b"is", b"was"]
    assert frequent.calls == 440


def test_its_memory_is_bounded() -> None:
    frequent = Frequent()
    for number in range(20 * SLOTS):
        frequent.add(key_of(number), 1)
        assert len(frequent._counters) <= SLOTS
