"""Whether what clients saw is what one register per key could have done: a linearizability checker.

The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of the states
that were tried already ("Testing for linearizability", 2017): it looks for an order of the calls, each at a moment
between its begin and its end, in which every answer is right.

Three kinds of calls are special:

- A call without an answer may have happened at any moment after its begin, or not at all. It is placed only directly
  before a call whose answer needs it: anywhere else it would change nothing that anybody saw. So it costs nothing to
  have many of them.
- A *sighting* is a look into the table of the database: what stands there was the current value at some time, and the
  table never goes back to an older one.
- A *crash* may take the register back, to a value that was current earlier. How far is its ``keeps``: no write that
  was over by then may be undone, and no value that was seen in the table may be undone either.

Values are unique: no value is put twice under a key. :func:`smallest` cuts a history that has no such order down to
what a person can read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from ckv.errors import CkvError, TierUnavailable
from ckv.values import Value

INFINITY: Final = math.inf


class Kind(Enum):
    """What was called."""

    PUT = "put"
    GET = "get"
    DEL = "del"
    SEEN = "seen"
    """A sighting; its answer is the value in the table, or None when there was no row."""
    CRASH = "crash"
    """A crash."""


class Fate(Enum):
    """What is known of a call."""

    ANSWERED = "answered"
    DONE = "done"
    """It happened, and its answer did not come."""
    LOST = "lost"
    """It may have happened or not, or happen yet."""
    NOTHING = "nothing"
    """It did not happen, or, being a GET, it tells nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one client, with its times in seconds of one clock. An error stands in the place of an answer."""

    key: str
    kind: Kind
    begin: float
    end: float
    argument: Value | None = None
    answer: Value | bool | None = None
    error: CkvError | None = None
    keeps: float = INFINITY
    """Of a crash: the writes that were over by this time survive it."""

    @property
    def fate(self) -> Fate:
        """What is known of it; :mod:`ckv.errors` says so for every error."""
        if self.error is None:
            return Fate.ANSWERED
        if self.error.written == "no" or self.kind is Kind.GET:
            return Fate.NOTHING
        if self.kind is Kind.DEL and isinstance(self.error, TierUnavailable):
            return Fate.DONE
        return Fate.LOST

    def __str__(self) -> str:
        what = f"{self.kind.value.upper()} {self.key}" + (f" {self.argument!r}" if self.kind is Kind.PUT else "")
        outcome = f"{type(self.error).__name__}: {self.error}" if self.error is not None else repr(self.answer)
        if self.kind is Kind.CRASH:
            outcome = (
                "may undo anything unseen" if self.keeps == -INFINITY else f"keeps what was over by {self.keeps:.4f}"
            )
        return f"{self.begin:10.4f} to {self.end:10.4f}  {what} -> {outcome}"


class Version(NamedTuple):
    """A value that the register had, and the times of the call that gave it."""

    value: Value | None
    begin: float
    end: float


class Register(NamedTuple):
    """What a key has, and what it had."""

    current: Version
    earlier: frozenset[Version] = frozenset()
    """The versions to which a crash may take it back. A set: two writes beside each other may be in it in either
    order, or each such pair would double the states to try, for as long as a crash may come."""


class Step(NamedTuple):
    """One call at its place in the order."""

    call: Call
    before: Register
    after: Register


class _State(NamedTuple):
    placed: int
    """A bit for each call that has its place."""
    register: Register


_Move = tuple[list[Step], _State]
"""Calls that get their places, and the state after them."""


def linearize(calls: Iterable[Call], initial: Value | None = None) -> list[Step] | None:
    """An order of the calls of one key that explains every answer; None when there is none."""
    known = [call for call in calls if call.fate is not Fate.NOTHING]
    lost = sorted((call for call in known if call.fate is Fate.LOST), key=lambda call: call.begin)
    sure = sorted((call for call in _informative(known, lost)), key=lambda call: call.begin)
    search = _Search(sure, lost)
    moves: list[list[Step]] = []
    # A stack of its own, because a history has more calls than Python has frames. It begins with an empty move.
    branches: list[Iterator[_Move]] = [iter([([], _State(0, Register(Version(initial, -INFINITY, -INFINITY))))])]
    tried: set[_State] = set()
    while branches:
        move = next(branches[-1], None)
        if move is None:
            branches.pop()
            if moves:
                moves.pop()
            continue
        steps, state = move
        if state in tried:
            continue
        tried.add(state)
        moves.append(steps)
        if state.placed & search.goal == search.goal:
            return [step for steps in moves for step in steps]
        branches.append(search.moves(state))
    return None


def _informative(calls: Iterable[Call], lost: Sequence[Call]) -> Iterator[Call]:
    """The calls that must have a place. A sighting of what a lost call may have written tells nothing for sure."""
    maybe = {call.argument for call in lost if call.kind is Kind.PUT}
    maybe_deleted = min((call.begin for call in lost if call.kind is Kind.DEL), default=INFINITY)
    for call in calls:
        vague = call.answer in maybe or (call.answer is None and maybe_deleted <= call.end)
        if call.fate is not Fate.LOST and not (call.kind is Kind.SEEN and vague):
            yield call


_SOMETHING: Final = True
"""Any value at all, which is what a deletion needs to find something."""


class _Search:
    """The moves from one state to the next. Of ``placed``, the lower bits are the calls that must have a place."""

    def __init__(self, sure: Sequence[Call], lost: Sequence[Call]) -> None:
        self._sure = sure
        self._remember = any(call.kind in (Kind.SEEN, Kind.CRASH) for call in sure)
        self._read = {call.answer for call in sure if call.kind is Kind.GET} - {None}
        self._makes: defaultdict[Value | bool | None, list[tuple[Call, int]]] = defaultdict(list)
        for index, call in enumerate(lost, len(sure)):
            self._makes[call.argument].append((call, 1 << index))
            if call.kind is Kind.PUT:
                self._makes[_SOMETHING].append((call, 1 << index))
        self.goal = (1 << len(sure)) - 1

    def moves(self, state: _State) -> Iterator[_Move]:
        """What can come next, most likely first."""
        window = []
        deadline = INFINITY
        first = (~state.placed & (state.placed + 1)).bit_length() - 1
        for index in range(first, len(self._sure)):
            call = self._sure[index]
            if call.begin > deadline:  # some call was over before this one began, and goes first
                break
            if not state.placed >> index & 1:
                window.append((index, call))
                deadline = min(deadline, call.end)
        placed, register = state
        crashing = any(call.kind is Kind.CRASH for _, call in window)
        for index, call in window:
            # What can be placed now and stands in nobody's way is placed now: no other move needs a try.
            for after in self._outcomes(call, register):
                # A sighting is in the way of another one when it rules out what was there earlier.
                if after == register and not (call.kind is Kind.CRASH or crashing):
                    yield [Step(call, register, after)], _State(placed | 1 << index, after)
                    return
        for index, call in window:
            for after in self._outcomes(call, register):
                yield [Step(call, register, after)], _State(placed | 1 << index, after)
        for index, call in window:
            for helper, bit in self._helpers(call, placed, deadline):
                between = self._written(register, helper.argument, helper.begin, call.end)
                for after in self._outcomes(call, between):
                    steps = [Step(helper, register, between), Step(call, between, after)]
                    yield steps, _State(placed | 1 << index | bit, after)

    def _outcomes(self, call: Call, register: Register) -> Iterator[Register]:
        """What the register may be after the call; nothing when its answer would be wrong here."""
        current = register.current.value
        match call.kind:
            case Kind.PUT:
                yield self._written(register, call.argument, call.begin, call.end)
            case Kind.GET:
                if call.answer == current:
                    yield register
            case Kind.DEL:
                if call.fate is Fate.DONE or (call.answer and current is not None):
                    yield self._written(register, None, call.begin, call.end)
                elif not call.answer and current is None:
                    yield register
            case Kind.SEEN:
                yield from _seen(call, register)
            case Kind.CRASH:
                yield from after_crash(call, register)

    def _helpers(self, call: Call, placed: int, deadline: float) -> Iterator[tuple[Call, int]]:
        """The lost calls that may have happened directly before this one and would explain its answer."""
        if call.fate is not Fate.ANSWERED or call.kind not in (Kind.GET, Kind.DEL):
            return
        needed: Value | bool | None = call.answer
        if call.kind is Kind.DEL:
            needed = _SOMETHING if call.answer else None
        for lost, bit in self._makes[needed]:
            if lost.begin > deadline:
                return
            if not placed & bit:
                yield lost, bit
                if lost.argument not in self._read:
                    return  # nobody else asks for it, so it is as good as any other

    def _written(self, register: Register, value: Value | None, begin: float, end: float) -> Register:
        earlier = register.earlier | {register.current} if self._remember else register.earlier
        return Register(Version(value, begin, end), earlier)


def _seen(sighting: Call, register: Register) -> Iterator[Register]:
    """The register without what is older than what was seen; nothing when that was never there."""
    versions = register.earlier | {register.current}
    # The oldest of several deletions, for nobody knows which one it was that was seen.
    begin = min((version.begin for version in versions if version.value == sighting.answer), default=None)
    if begin is not None:
        yield Register(register.current, frozenset(version for version in register.earlier if version.end >= begin))


def after_crash(crash: Call, register: Register) -> Iterator[Register]:
    """What the register may be after the crash: first as it was, then taken back."""
    versions = register.earlier | {register.current}
    kept = max((version.begin for version in versions if version.end <= crash.keeps), default=-INFINITY)
    yield Register(register.current)
    for version in sorted(register.earlier, key=lambda version: version.end, reverse=True):
        if version.end >= kept:
            yield Register(version)


def by_key(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """The calls of each key, in the order in which they began."""
    keys: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.begin):
        keys[call.key].append(call)
    return dict(keys)


# --- for the reader of a violation ----------------------------------------------------------------------------------


def smallest(calls: Sequence[Call]) -> list[Call]:
    """A short piece of a history without an order that has none either, whatever the value was before it."""
    calls = [call for call in calls if call.fate is not Fate.NOTHING]
    ends = sorted({call.end for call in calls})
    low, high = 0, len(ends) - 1
    while low < high:  # the first moment at which it was too late
        middle = (low + high) // 2
        if linearize(_until(calls, ends[middle])) is None:
            high = middle
        else:
            low = middle + 1
    piece = _until(calls, ends[low])
    begins = sorted((call.begin for call in piece), reverse=True)
    for length in (2**power for power in range(len(begins).bit_length())):
        shorter = _since(piece, begins[min(length, len(begins) - 1)])
        if _hopeless(shorter, piece):
            piece = shorter
            break
    for call in list(piece):
        without = [other for other in piece if other is not call]
        if call.kind in (Kind.GET, Kind.SEEN, Kind.CRASH) and _hopeless(without, calls):
            piece = without
    return piece


def _until(calls: Iterable[Call], time: float) -> list[Call]:
    """What was known at that time: writes under way may have happened or not."""
    return [_unfinished(call) if call.end > time else call for call in calls if call.begin <= time]


def _since(calls: Iterable[Call], time: float) -> list[Call]:
    """What began then or later, and the writes that were under way."""
    return [_unfinished(call) if call.begin < time else call for call in calls if call.end >= time]


def _unfinished(call: Call) -> Call:
    error = CkvError("cut off here")
    return replace(call, error=error) if call.kind is not Kind.SEEN else replace(call, kind=Kind.GET, error=error)


def _hopeless(piece: Sequence[Call], calls: Sequence[Call]) -> bool:
    values = {None, *(call.argument for call in calls if call.kind is Kind.PUT)}
    return all(linearize(piece, value) is None for value in values)
