"""Medians, and ratios between two things that were measured in turn."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Spread:
    """The middle of several rounds, and the lowest and highest of them, or bounds of where it may be."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises :class:`ValueError` without values."""
        if not values:
            raise ValueError("there is nothing to take the median of")
        return cls(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours divided by theirs, round by round.

    Absolute figures drift while a run goes on, both sides alike; within a round the two were measured one right after
    the other. So the median of the ratios says more than the ratio of the medians.

    Raises :class:`ValueError` when the sides have different numbers of rounds, or none.
    """
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def interval(values: Sequence[float]) -> Spread:
    """The median, and where that of endless many lies with a chance of 95 %, by the bootstrap: of values drawn anew
    from these. The same ones always give the same.

    Raises :class:`ValueError` without values.
    """
    middle = Spread.of(values).median
    chance = random.Random(len(values))
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return Spread(middle, medians[RESAMPLES // 40], medians[-RESAMPLES // 40])
