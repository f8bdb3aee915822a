"""Which keys the load generator chooses."""

from __future__ import annotations

import subprocess
from collections import Counter
from math import sqrt

import pytest

KEYS = 1000
CALLS, MANY = 200_000, 1_000_000


def choices(loadgen: str, *options: str, keys: int = KEYS, calls: int = CALLS) -> list[int]:
    command = [loadgen, "--print-choices", f"--keys={keys}", f"--calls={calls}", *options]
    return list(map(int, subprocess.run(command, capture_output=True, check=True).stdout.split()))


@pytest.mark.parametrize("exponent", [0.5, 0.99, 1.0, 1.5])
def test_popularity_follows_zipf(loadgen: str, exponent: float) -> None:
    counts = [count for _, count in Counter(choices(loadgen, f"--zipf={exponent}", calls=MANY)).most_common()]
    total = sum(rank**-exponent for rank in range(1, KEYS + 1))
    for rank in (1, 2, 3, 10):
        expected = MANY * rank**-exponent / total
        # Five standard deviations; the seed is the same every time.
        assert counts[rank - 1] == pytest.approx(expected, abs=5 * sqrt(expected))
    # The tail as a whole, which says that no rank is left out.
    tail = MANY * sum(rank**-exponent for rank in range(101, KEYS + 1)) / total
    assert sum(counts[100:]) == pytest.approx(tail, rel=0.03)


def test_popular_keys_are_spread(loadgen: str) -> None:
    popular = [number for number, _ in Counter(choices(loadgen, "--zipf=0.99")).most_common(10)]
    assert min(abs(one - other) for one in popular for other in popular if one != other) > 1
    assert min(popular) < KEYS / 3
    assert max(popular) > KEYS * 2 / 3


def test_without_an_exponent_all_are_alike(loadgen: str) -> None:
    counts = Counter(choices(loadgen))
    expected = CALLS / KEYS
    assert set(counts) == set(range(KEYS))
    # Chi-square with 999 degrees of freedom: mean 999, standard deviation 45.
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < KEYS + 5 * sqrt(2 * KEYS)


def test_a_sequence_goes_around(loadgen: str) -> None:
    assert choices(loadgen, "--sequential", keys=3, calls=7) == [0, 1, 2, 0, 1, 2, 0]


def test_seeds_differ_and_repeat(loadgen: str) -> None:
    first, again, other = (choices(loadgen, f"--seed={seed}", calls=100) for seed in (1, 1, 2))
    assert first == again != other


def test_three_million_keys_are_all_in_reach(loadgen: str) -> None:
    numbers = choices(loadgen, "--zipf=0.99", keys=3_000_000)
    assert max(numbers) < 3_000_000
    assert len(set(numbers)) > CALLS / 4
