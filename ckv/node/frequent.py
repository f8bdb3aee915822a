"""Which keys are asked for most often lately, in bounded memory.

A sketch of frequent items as Anderson, Bevin, Lang, Liberty, Rhodes and Thaler have it (2017, `A High-Performance
Algorithm for Identifying Frequent Items in Data Streams`, https://arxiv.org/abs/1705.07001): that of Misra and Gries
(1982), in which half of the counters make room at once. Counts fade as the caller has them halved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

SLOTS: Final = 512
"""Keys that are counted at a time."""

SURELY: Final = 4 / SLOTS
"""Of all calls, the part beyond which a key is told whatever else is asked for, but for chance. Each time that room is
made, half of the counters are above the floor by what it rises, or more, and all of that came with calls: so the floor
is no more than half of this, and what a key may have missed is no more than the floor."""

SIGMAS: Final = 2
"""Standard deviations that an error has room for: 95 of 100 estimates by chance are that near."""


class Often(NamedTuple):
    """A key that is asked for often."""

    key: bytes
    calls: float
    error: float
    """How far off that may be."""


@dataclass(slots=True)
class _Counter:
    calls: float
    """Since it is counted."""

    variance: float
    """Of these, which are an estimate."""

    missed: float
    """It had no more calls than that before."""

    @property
    def most(self) -> float:
        return self.calls + self.missed

    @property
    def error(self) -> float:
        return float(SIGMAS * self.variance**0.5 + self.missed)


class Frequent:
    """Counts the calls for keys, of which it is given samples."""

    def __init__(self) -> None:
        self._counters: dict[bytes, _Counter] = {}
        self._floor = 0.0
        """No key that is not counted has had more calls."""
        self.calls = 0.0
        """For all keys."""

    def add(self, key: bytes, stride: int) -> None:
        """Takes note of a call, which was chosen by chance as one of ``stride``, and so stands for as many."""
        self.calls += stride
        counter = self._counters.get(key)
        if counter is None:
            if len(self._counters) >= SLOTS:
                self._make_room()
            counter = self._counters[key] = _Counter(0.0, 0.0, self._floor)
        counter.calls += stride
        counter.variance += stride * (stride - 1)

    def halve(self) -> None:
        """Has all calls until now count half as much."""
        self.calls /= 2
        self._floor /= 2
        for counter in self._counters.values():
            counter.calls /= 2
            counter.variance /= 4
            counter.missed /= 2

    def most(self, count: int) -> list[Often]:
        """Up to so many keys with the most calls, the first with the most; none that chance alone may have brought."""
        known = [(key, counter) for key, counter in self._counters.items() if counter.calls > counter.error]
        known.sort(key=lambda pair: pair[1].calls, reverse=True)
        return [Often(key, counter.calls, counter.error) for key, counter in known[:count]]

    def _make_room(self) -> None:
        kept = sorted(self._counters.items(), key=lambda pair: pair[1].most, reverse=True)
        self._floor = kept[SLOTS // 2][1].most
        self._counters = dict(kept[: SLOTS // 2])
