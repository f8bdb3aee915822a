"""The judge of the simulation: what it accepts, and what it does not."""

from __future__ import annotations

import pytest

from tests.cluster.linearizable import NEVER, Call, is_linearizable


def w(began: float, ended: float, value: str) -> Call:
    return Call(began, ended, "write", value)


def r(began: float, ended: float, value: str | None) -> Call:
    return Call(began, ended, "read", value)


def lost(when: float, *values: str | None) -> Call:
    return Call(when, when, "loss", values)


FINE = {
    "nothing": [],
    "one after the other": [r(0, 1, None), w(2, 3, "a"), r(4, 5, "a"), w(6, 7, "b"), r(8, 9, "b")],
    "a read during a write sees either": [w(0, 9, "a"), r(1, 2, None), r(3, 4, "a")],
    "two writes at once, in either order": [w(0, 9, "a"), w(0, 9, "b"), r(10, 11, "a")],
    "a write without an answer that happened": [w(0, NEVER, "a"), r(5, 6, None), r(7, 8, "a")],
    "a write without an answer that did not": [w(0, NEVER, "a"), w(1, 2, "b"), r(3, 4, "b")],
    "a loss": [w(0, 1, "a"), w(2, 3, "b"), lost(4, "a"), r(5, 6, "a")],
    "a loss that may be none": [w(0, 1, "a"), w(2, 3, "b"), lost(4, "a", "b"), r(5, 6, "b")],
    "a write that comes after a loss": [w(0, 9, "a"), lost(4, None), r(10, 11, "a")],
    "a write that is lost before its answer": [w(0, 9, "a"), lost(4, None), r(10, 11, None)],
}

WRONG = {
    "never written": [r(0, 1, "a")],
    "older": [w(0, 1, "a"), w(2, 3, "b"), r(4, 5, "a")],
    "gone": [w(0, 1, "a"), r(2, 3, None)],
    "there and back": [w(0, 9, "a"), r(1, 2, "a"), r(3, 4, None)],
    "before it was asked for": [r(0, 1, "a"), w(2, 3, "a")],
    "two readers that disagree": [w(0, 9, "a"), w(0, 9, "b"), r(10, 11, "a"), r(12, 13, "b")],
    "a loss of more than that": [w(0, 1, "a"), w(2, 3, "b"), lost(4, "a"), r(5, 6, None)],
    "back after a loss": [w(0, 1, "a"), w(2, 3, "b"), lost(4, "a"), r(5, 6, "a"), r(7, 8, "b")],
}


@pytest.mark.parametrize("calls", FINE.values(), ids=FINE)
def test_fine(calls: list[Call]) -> None:
    assert is_linearizable(calls)


@pytest.mark.parametrize("calls", WRONG.values(), ids=WRONG)
def test_wrong(calls: list[Call]) -> None:
    assert not is_linearizable(calls)
