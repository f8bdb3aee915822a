"""Memory that was freed is given back to the system, and not again and again."""

from __future__ import annotations

import pytest

from ckv.node.heap import MADE_ANEW, SHARE_OF_TIME, SLACK_BYTES, Heap
from ckv.protocol.limits import MIB


class Process:
    """A process whose memory and clock are told, looked at every second."""

    def __init__(self, empty: int = 40 * MIB) -> None:
        self.now = 0.0
        self.empty = empty
        self.held = 0
        self.freed = 0
        self.takes = self.spent = 0.0
        self.trims: list[float] = []
        self.heap = Heap(
            lambda: self.held,
            self.trim,
            lambda: self.empty + self.held + self.freed,
            lambda: self.now,
            lambda: self.spent,
        )
        self.heap.look()

    def trim(self) -> None:
        self.trims.append(self.now)
        self.freed = 0
        self.spent += self.takes

    def run(self, seconds: float, freed: int | None = None) -> list[float]:
        """Whenever it looks, so much is freed and not given back; when it was given back."""
        self.trims = []
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            if freed is not None:
                self.freed = freed
            self.heap.look()
        return self.trims


def test_what_was_freed_is_given_back_once() -> None:
    process = Process()
    process.held = 100 * MIB
    assert process.run(10) == []
    process.held, process.freed = 20 * MIB, 80 * MIB
    assert len(process.run(100)) == 1


@pytest.mark.parametrize(("held", "kept"), [(0, SLACK_BYTES), (1000 * MIB, 50 * MIB)])
def test_a_little_may_stay(held: int, kept: int) -> None:
    process = Process()
    process.held = held
    assert process.run(10, kept) == []
    assert process.run(1, kept + 1) != []


@pytest.mark.parametrize("mib", [40, 200, 2000])
def test_the_more_is_made_anew_the_less_often_it_is_given_back(mib: int) -> None:
    pause = mib * MIB / MADE_ANEW / SHARE_OF_TIME
    trims = Process().run(100 * pause, mib * MIB)
    assert 100 * pause / (pause + 1) - 1 <= len(trims) <= 101


def test_it_costs_little_of_the_time() -> None:
    process = Process()
    process.takes = 0.5
    spent = 0.5 * len(process.run(500, SLACK_BYTES + 1))
    assert 0.5 * SHARE_OF_TIME * 500 < spent <= SHARE_OF_TIME * 500


def test_what_it_takes_beside_is_what_it_took_at_its_best() -> None:
    process = Process(empty=500 * MIB)
    assert process.run(10) == []
    process.empty = 100 * MIB  # there was something that it got rid of
    assert process.run(10) == []
    process.empty = 200 * MIB
    assert process.run(1) != []


def test_nothing_is_given_back_where_the_system_does_not_say_what_it_takes() -> None:
    trims: list[None] = []
    held = iter([100 * MIB, 0, 0])
    heap = Heap(lambda: next(held), lambda: trims.append(None), lambda: 0)
    heap.look()
    heap.look()
    assert trims == []
