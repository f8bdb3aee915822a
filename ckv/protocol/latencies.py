"""How long calls for single keys took, by the method that carried them out: histograms as Prometheus has them.

https://prometheus.io/docs/practices/histograms/ says what can be made of them. Several sources know different calls:

- Calls that memory decides in compiled code (``ckv/core/times.pxd``): all of a batch, what several clients had sent by
  the time it was their turn, are answered together. Each of them took as long as the batch.
- Calls that compiled code of a primary passes on: from when the message with them was begun to its answer, each of
  them; one that has an answer of its own, to that (``Late`` in :mod:`ckv.node.lanes`).
- Calls that handlers answer at once: of many some are timed, chosen by chance, and each stands for others
  (:mod:`ckv.node.hotkeys`).
- Calls that wait, for the database or for others: from their begin to their answer, each of them
  (:mod:`ckv.protocol.slow`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ckv.commands import STEP_METHODS

BOUNDS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Seconds up to which each bucket goes; one more has what took longer."""

KINDS: Final = ("GET", "PUT", "DEL", "EXISTS")
"""What compiled code decides, by the numbers in ``ckv/core/request.pxd``."""

SAME: Final = {"SET": "PUT", "PUTEX": "PUT"}
"""Methods that are counted as another one: a SET of a client of Redis is any of the three, by its options."""


@dataclass(slots=True)
class Histogram:
    """The calls of one method."""

    counts: list[int]
    """By bucket; none is in two of them."""

    seconds: float
    """That all of them took together."""


class Timed(Protocol):
    """Compiled code: the ``Server`` of either protocol in ``ckv/core/``, or a ``Lane``."""

    def told_times(self) -> list[tuple[list[int], float]]:
        """The counts and the seconds of each of the :data:`KINDS`."""


class Latencies:
    """Those of one node, since its start."""

    def __init__(self) -> None:
        self._histograms = {name: _empty() for name in sorted(STEP_METHODS - SAME.keys())}
        self._of: dict[object, Histogram] = {}
        """By all spellings of what carries a call out."""
        for name in STEP_METHODS:
            self._of[name] = self._of[name.encode()] = self._histograms[SAME.get(name, name)]
        self._timed: list[Timed] = []

    def name(self, command: str, method: str) -> None:
        """From now on a command of Redis counts as this method, which carries it out; if that is about a single key."""
        histogram = self._of.get(method)
        if histogram is not None:
            self._of |= {command.lower().encode(): histogram, command.upper().encode(): histogram}

    def add(self, method: object, seconds: float, count: int = 1) -> None:
        """Takes note of calls of a method, or of a command of Redis; of any other one not."""
        histogram = self._of.get(method)
        if histogram is not None:
            histogram.counts[bisect_left(BOUNDS, seconds)] += count
            histogram.seconds += count * seconds

    def take(self, timed: Timed) -> None:
        """Has what compiled code has timed told from now on."""
        self._timed.append(timed)

    def drop(self, timed: Timed | None) -> None:
        """Takes over what it has timed until now, for good."""
        if timed is not None:
            self._timed.remove(timed)
            _add(timed, self._histograms)

    def told(self) -> dict[str, Histogram]:
        """By method; of those that were called."""
        found = {name: Histogram([*one.counts], one.seconds) for name, one in self._histograms.items()}
        for timed in self._timed:
            _add(timed, found)
        return {name: one for name, one in found.items() if any(one.counts)}

    def total(self) -> tuple[int, float]:
        """How many calls there were of all methods, and the seconds that they took together."""
        found = self.told().values()
        return sum(sum(one.counts) for one in found), sum(one.seconds for one in found)


def _empty() -> Histogram:
    return Histogram([0] * (len(BOUNDS) + 1), 0.0)


def _add(timed: Timed, histograms: Mapping[str, Histogram]) -> None:
    for name, (counts, seconds) in zip(KINDS, timed.told_times(), strict=True):
        histogram = histograms[name]
        for bucket, count in enumerate(counts):
            histogram.counts[bucket] += count
        histogram.seconds += seconds
