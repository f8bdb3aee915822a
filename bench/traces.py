"""Keys in the order in which they are asked for, to compare policies: made anew from the same seeds each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Final

SCANNED_PART: Final = 3
"""Of a trace with scans, one in so many keys is of a scan."""

SCANS: Final = 30
"""How many there are, each of keys that are asked for once."""

PHASES: Final = 10
"""Of a trace that drifts: in each, other keys are the popular ones."""


def zipf(exponent: float, keys: int, calls: int, seed: int) -> list[str]:
    """So many calls for keys that are popular by Zipf's law: the n-th one is asked for n^-exponent times as often as
    the first."""
    chance = random.Random(seed)
    by_rank = [f"key {number}" for number in range(keys)]
    chance.shuffle(by_rank)
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(keys)))
    return chance.choices(by_rank, cum_weights=weights, k=calls)


def scans(keys: int, calls: int, seed: int) -> list[str]:
    """Zipf's law with exponent 1, and from time to time a pass over keys that nobody asks for again."""
    long = calls // SCANNED_PART // SCANS
    between = calls // SCANS - long
    popular = zipf(1.0, keys, between * SCANS, seed)
    trace = []
    for number in range(SCANS):
        trace += popular[number * between : (number + 1) * between]
        trace += [f"scanned {number} {place}" for place in range(long)]
    return trace


def loop(keys: int, calls: int, seed: int) -> list[str]:
    """All keys in turn, again and again, which leaves nothing to a seed."""
    del seed
    return [f"key {number % keys}" for number in range(calls)]


def drift(keys: int, calls: int, seed: int) -> list[str]:
    """Zipf's law with exponent 1, with other keys popular in each phase."""
    return [key for phase in range(PHASES) for key in zipf(1.0, keys, calls // PHASES, seed + phase)]


TRACES: Final[Mapping[str, Callable[[int, int, int], list[str]]]] = {
    "Zipf 0.8": lambda keys, calls, seed: zipf(0.8, keys, calls, seed),
    "Zipf 1.0": lambda keys, calls, seed: zipf(1.0, keys, calls, seed),
    "Zipf 1.2": lambda keys, calls, seed: zipf(1.2, keys, calls, seed),
    "scans": scans,
    "loop": loop,
    "drift": drift,
}
"""By name: what makes it of a number of keys, a number of calls, and a seed."""
