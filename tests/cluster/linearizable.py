"""Whether what clients saw of one register can have happened one after the other, each call at a moment of its own.

The search goes along the history and keeps all states that are possible so far ("just-in-time linearization": Lowe,
*Testing for linearizability*, 2017). A loss is what a crash may do to a register: it has one of some older values then.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, Literal, NamedTuple

NEVER: Final = float("inf")
"""The end of a call without an answer: it may have happened at any time since, or not."""


class _Kept(Enum):
    SAME = "same"


SAME: Final = _Kept.SAME
"""Among the values of a loss: perhaps nothing was lost."""

Kind = Literal["read", "write", "loss"]


class Call(NamedTuple):
    """What one client did, or what became of the register in a crash."""

    began: float
    ended: float
    kind: Kind
    value: object
    """What was written or read; of a loss all values of which the register then has one."""


def is_linearizable(calls: Iterable[Call], initial: object = None) -> bool:
    """Whether there is an order. All values that are written differ."""
    events = _events(calls)
    open_: dict[int, Call] = {}
    possible = {(initial, 0)}
    """States of the register, with the open calls that have happened already, as bits."""
    for _, step, number, call in events:
        if step == _BEGINS:
            open_[1 << number] = call
        elif call.kind == "loss":
            values = call.value
            assert isinstance(values, tuple)
            reached = _closure(possible, open_)
            possible = {(state if value is SAME else value, done) for state, done in reached for value in values}
        else:
            bit = 1 << number
            possible = {(state, done & ~bit) for state, done in _closure(possible, open_) if done & bit}
            del open_[bit]
        if not possible:
            return False
    return True


_BEGINS, _LOSES, _ENDS = range(3)


def _events(calls: Iterable[Call]) -> list[tuple[float, int, int, Call]]:
    known = list(calls)
    seen = {call.value for call in known if call.kind == "read"}
    for call in known:
        if call.kind == "loss":
            assert isinstance(call.value, tuple)
            seen.update(call.value)
    events: list[tuple[float, int, int, Call]] = []
    number = 0
    for call in known:
        if call.kind == "loss":
            events.append((call.began, _LOSES, 0, call))
        elif call.ended < NEVER or (call.kind == "write" and call.value in seen):
            # Of the others nothing was ever seen: they need not have happened.
            number += 1
            events.append((call.began, _BEGINS, number, call))
            if call.ended < NEVER:
                events.append((call.ended, _ENDS, number, call))
    events.sort(key=lambda event: event[:3])
    return events


def _closure(possible: set[tuple[object, int]], open_: dict[int, Call]) -> set[tuple[object, int]]:
    """All that can be after any of the open calls has happened, in any order."""
    reached = set(possible)
    left = list(possible)
    while left:
        state, done = left.pop()
        for bit, call in open_.items():
            if done & bit or (call.kind == "read" and call.value != state):
                continue
            after = (call.value if call.kind == "write" else state, done | bit)
            if after not in reached:
                reached.add(after)
                left.append(after)
    return reached
