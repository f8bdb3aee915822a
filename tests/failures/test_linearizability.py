"""The checker: histories that a register could have had, and ones that it could not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ckv import errors
from ckv.values import Value
from tests.failures.linearizability import (
    INFINITY,
    Call,
    Fate,
    Kind,
    Register,
    Version,
    _Move,
    _Search,
    _State,
    by_key,
    linearize,
    smallest,
)

TIMED_OUT = errors.CallTimeout("no answer")

NOTHING_YET = Version(None, -INFINITY, -INFINITY)


def put(value: Value, begin: float, end: float, error: errors.CkvError | None = None) -> Call:
    return Call("k", Kind.PUT, begin, end, argument=value, error=error)


def get(answer: Value | None, begin: float, end: float, error: errors.CkvError | None = None) -> Call:
    return Call("k", Kind.GET, begin, end, answer=answer, error=error)


def delete(answer: bool | None, begin: float, end: float, error: errors.CkvError | None = None) -> Call:
    return Call("k", Kind.DEL, begin, end, answer=answer, error=error)


def seen(answer: Value | None, begin: float, end: float) -> Call:
    return Call("k", Kind.SEEN, begin, end, answer=answer)


def crash(begin: float, keeps: float = -INFINITY) -> Call:
    return Call("k", Kind.CRASH, begin, begin, keeps=keeps)


POSSIBLE = {
    "nothing": [],
    "one after another": [put("a", 0, 1), get("a", 2, 3), delete(True, 4, 5), get(None, 6, 7), delete(False, 8, 9)],
    "a read beside a write sees the old value": [put("a", 0, 1), put("b", 2, 5), get("a", 3, 4)],
    "a read beside a write sees the new value": [put("a", 0, 1), put("b", 2, 5), get("b", 3, 4)],
    "two writes beside each other, the later one first": [put("a", 0, 5), put("b", 1, 4), get("a", 6, 7)],
    "of two deletions beside each other one finds it": [put("a", 0, 1), delete(False, 2, 5), delete(True, 3, 4)],
    "a str": [put("a", 0, 1), get("a", 2, 3)],
    "bytes": [put(b"a", 0, 1), get(b"a", 2, 3)],
    "empty": [put("", 0, 1), get("", 2, 3), delete(True, 4, 5)],
    # without an answer
    "a lost put that happened": [put("a", 0, 1, TIMED_OUT), get("a", 2, 3)],
    "a lost put that did not": [put("a", 0, 1, TIMED_OUT), get(None, 2, 3)],
    "a lost put that happened late": [put("a", 0, 1, TIMED_OUT), get(None, 2, 3), get("a", 4, 5)],
    "a lost put over a newer one": [put("a", 0, 1, TIMED_OUT), put("b", 2, 3), get("b", 4, 5), get("a", 6, 7)],
    "a lost put that only a deletion saw": [put("a", 0, 1, TIMED_OUT), delete(True, 2, 3), get(None, 4, 5)],
    "two lost puts, one for a deletion and one for a read": [
        put("a", 0, 1, TIMED_OUT),
        put("b", 0, 1, TIMED_OUT),
        delete(True, 2, 3),
        get("b", 4, 5),
    ],
    "a lost deletion that happened": [put("a", 0, 1), delete(None, 2, 3, TIMED_OUT), get(None, 4, 5)],
    "a lost deletion that did not": [put("a", 0, 1), delete(None, 2, 3, TIMED_OUT), get("a", 4, 5)],
    "a lost deletion that another one saw": [put("a", 0, 1), delete(None, 2, 3, TIMED_OUT), delete(False, 4, 5)],
    "a lost get": [put("a", 0, 1), get("nonsense", 2, 3, TIMED_OUT)],
    "a get that nobody could answer": [put("a", 0, 1), get(None, 2, 3, errors.TierUnavailable(""))],
    "a refused put": [put("a", 0, 1, errors.NoRoom("")), get(None, 2, 3)],
    "a refused deletion": [put("a", 0, 1), delete(None, 2, 3, errors.NodeDown("")), get("a", 4, 5)],
    "a deletion that happened and could not tell": [
        put("a", 0, 1),
        delete(None, 2, 3, errors.TierUnavailable("")),
        get(None, 4, 5),
    ],
    "a deletion of nothing that could not tell": [delete(None, 2, 3, errors.TierUnavailable("")), get(None, 4, 5)],
    # sightings
    "the table lags": [put("a", 0, 1), put("b", 2, 3), seen("a", 4, 5), get("b", 6, 7), seen("b", 8, 9)],
    "the table skips": [put("a", 0, 1), put("b", 2, 3), put("c", 4, 5), seen("a", 6, 7), seen("c", 8, 9)],
    "two looks into the table beside each other": [put("a", 0, 1), seen("a", 2, 5), seen(None, 3, 4)],
    "the table has no row yet": [put("a", 0, 1), seen(None, 2, 3), seen("a", 4, 5)],
    "the table has no row any more": [put("a", 0, 1), seen("a", 2, 3), delete(True, 4, 5), seen(None, 6, 7)],
    "the table has what was lost": [put("a", 0, 1, TIMED_OUT), put("b", 2, 3), seen("a", 4, 5), get("b", 6, 7)],
    "the table lacks what a lost deletion took": [
        put("a", 0, 1),
        seen("a", 2, 3),
        delete(None, 4, 5, TIMED_OUT),
        put("b", 6, 7),
        seen(None, 8, 9),
        get("b", 10, 11),
    ],
    # crashes
    "a crash that undoes nothing": [put("a", 0, 1), crash(2), get("a", 3, 4)],
    "a crash back to nothing": [put("a", 0, 1), put("b", 2, 3), crash(4), get(None, 5, 6)],
    "a crash back to an earlier value": [put("a", 0, 1), put("b", 2, 3), crash(4), get("a", 5, 6)],
    "a crash that undoes a deletion": [put("a", 0, 1), delete(True, 2, 3), crash(4), get("a", 5, 6)],
    "a crash back to what was seen": [put("a", 0, 1), seen("a", 2, 3), put("b", 4, 5), crash(6), get("a", 7, 8)],
    "a crash back to later than what was seen": [
        put("a", 0, 1),
        put("b", 2, 3),
        seen("a", 4, 5),
        put("c", 6, 7),
        crash(8),
        get("b", 9, 10),
    ],
    "a crash that undoes what was over too late to be kept": [
        put("a", 0, 1),
        put("b", 2, 3),
        put("c", 4, 5),
        crash(6, keeps=1),
        get("a", 7, 8),
    ],
    "a crash while a put is under way": [put("a", 0, 1), put("b", 2, 9, TIMED_OUT), crash(4), get("b", 5, 6)],
    "a crash that undoes a read put without an answer": [
        put("a", 0, 1, TIMED_OUT),
        get("a", 2, 3),
        crash(4, keeps=2),
        get(None, 5, 6),
    ],
    "two crashes": [
        put("a", 0, 1),
        put("b", 2, 3),
        crash(4),
        get("a", 5, 6),
        put("c", 7, 8),
        crash(9),
        get("a", 10, 11),
    ],
}

IMPOSSIBLE = {
    "a value from nowhere": [get("a", 0, 1)],
    "a value of another type": [put("a", 0, 1), get(b"a", 2, 3)],
    "a lost write": [put("a", 0, 1), get(None, 2, 3)],
    "an old value": [put("a", 0, 1), put("b", 2, 3), get("a", 4, 5)],
    "a value before it was put": [get("a", 0, 1), put("a", 2, 3)],
    "back and forth": [put("a", 0, 1), put("b", 2, 9), get("b", 3, 4), get("a", 5, 6)],
    "two readers disagree on the order": [
        put("a", 0, 9),
        put("b", 0, 9),
        get("a", 10, 11),
        get("b", 12, 13),
    ],
    "a deleted value comes back": [put("a", 0, 1), delete(True, 2, 3), get("a", 4, 5)],
    "a deletion that found nothing": [put("a", 0, 1), delete(False, 2, 3)],
    "a deletion that found something": [delete(True, 0, 1)],
    "two deletions that found the same": [put("a", 0, 1), delete(True, 2, 5), delete(True, 3, 4)],
    # without an answer
    "a lost put that happened before it began": [get("a", 0, 1), put("a", 2, 3, TIMED_OUT)],
    "a lost put that happened twice": [
        put("a", 0, 1, TIMED_OUT),
        get("a", 2, 3),
        delete(True, 4, 5),
        get("a", 6, 7),
    ],
    "a lost put that a deletion and then a read saw": [put("a", 0, 1, TIMED_OUT), delete(True, 2, 3), get("a", 4, 5)],
    "a lost deletion that happened twice": [
        put("a", 0, 1),
        delete(None, 2, 3, TIMED_OUT),
        get(None, 4, 5),
        put("b", 6, 7),
        get(None, 8, 9),
    ],
    "a lost put does not explain nothing": [put("a", 0, 1), put("b", 2, 3, TIMED_OUT), get(None, 4, 5)],
    "a lost deletion does not explain an old value": [
        put("a", 0, 1),
        put("b", 2, 3),
        delete(None, 4, 5, TIMED_OUT),
        get("a", 6, 7),
    ],
    "a refused put that happened": [put("a", 0, 1, errors.NoRoom("")), get("a", 2, 3)],
    "a refused deletion that happened": [put("a", 0, 1), delete(None, 2, 3, errors.NodeDown("")), get(None, 4, 5)],
    "a deletion that did not happen though it said so": [
        put("a", 0, 1),
        delete(None, 2, 3, errors.TierUnavailable("")),
        get("a", 4, 5),
    ],
    "a put after an error that says nothing of the kind": [
        put("a", 0, 1, errors.TierUnavailable("")),
        get("a", 2, 3),
        get(None, 4, 5),
    ],
    # sightings
    "the table has what nobody wrote": [seen("a", 0, 1)],
    "the table is ahead": [seen("a", 0, 1), put("a", 2, 3)],
    "the table goes back": [put("a", 0, 1), put("b", 2, 3), seen("b", 4, 5), seen("a", 6, 7)],
    "a deleted row comes back": [
        put("a", 0, 1),
        seen("a", 2, 3),
        delete(True, 4, 5),
        seen(None, 6, 7),
        seen("a", 8, 9),
    ],
    # crashes
    "a crash back to what was never there": [put("a", 0, 1), crash(2), get("b", 3, 4)],
    "a crash back before what was seen": [
        put("a", 0, 1),
        put("b", 2, 3),
        seen("b", 4, 5),
        put("c", 6, 7),
        crash(8),
        get("a", 9, 10),
    ],
    "a crash back before a deletion that was seen": [
        put("a", 0, 1),
        seen("a", 2, 3),
        delete(True, 4, 5),
        seen(None, 6, 7),
        crash(8),
        get("a", 9, 10),
    ],
    "a crash that undoes what was over in time": [put("a", 0, 1), put("b", 2, 3), crash(6, keeps=3), get("a", 7, 8)],
    "a crash that keeps everything": [put("a", 0, 1), put("b", 2, 3), crash(4, keeps=INFINITY), get("a", 5, 6)],
    "a crash that undoes a write and leaves one before it that was over in time": [
        put("a", 0, 1),
        put("b", 2, 3),
        put("c", 4, 5),
        crash(6, keeps=3),
        get("a", 7, 8),
    ],
    "a crash that undoes a put without an answer that was read in time": [
        put("a", 0, 1, TIMED_OUT),
        get("a", 2, 3),
        crash(4, keeps=3),
        get(None, 5, 6),
    ],
    "an old value without a crash": [put("a", 0, 1), put("b", 2, 3), get("a", 4, 5), crash(6)],
    "an old value long after a crash": [put("a", 0, 1), put("b", 2, 3), crash(4), get("b", 5, 6), get("a", 7, 8)],
    "a newer value long after a crash": [put("a", 0, 1), put("b", 2, 3), crash(4), get("a", 5, 6), get("b", 7, 8)],
    "a second crash further back than the first": [
        put("a", 0, 1),
        put("b", 2, 3),
        crash(4),
        get("b", 5, 6),
        crash(7),
        get("a", 8, 9),
    ],
}


@pytest.mark.parametrize("calls", POSSIBLE.values(), ids=POSSIBLE)
def test_what_a_register_could_do(calls: list[Call]) -> None:
    order = linearize(calls)
    assert order is not None
    placed = [step.call for step in order]
    assert {call for call in calls if call.fate in (Fate.ANSWERED, Fate.DONE) and call.kind is not Kind.SEEN} <= {
        *placed
    }
    for earlier, later in itertools.combinations(placed, 2):
        assert later.fate is Fate.LOST or later.end >= earlier.begin, "the order is against the clock"


@pytest.mark.parametrize("calls", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_no_register_could_do(calls: list[Call]) -> None:
    assert linearize(calls) is None
    assert smallest(calls)


def test_the_initial_value() -> None:
    assert linearize([get("a", 0, 1)], initial="a") is not None


def test_a_crash_is_taken_for_harmless_where_it_can_be() -> None:
    order = linearize([put("a", 0, 1), put("b", 2, 3), crash(4), get("b", 5, 6)])
    assert order is not None
    (step,) = (step for step in order if step.call.kind is Kind.CRASH)
    assert step.before == Register(Version("b", 2, 3), frozenset({NOTHING_YET, Version("a", 0, 1)}))
    assert step.after == Register(Version("b", 2, 3))


def test_the_smallest_piece_is_what_matters() -> None:
    before = [put(f"v{number}", number, number + 0.5) for number in range(100)]
    bad = [put("a", 200, 201), put("b", 202, 203), get("a", 204, 205)]
    after = [put(f"w{number}", number, number + 0.5) for number in range(300, 400)]
    piece = smallest([*before, *bad, *after])
    assert {call.argument or call.answer for call in piece} >= {"b", "a"}
    assert len(piece) <= 4


# --- against an oracle that tries everything ------------------------------------------------------------------------


def orders(calls: list[Call]) -> Iterator[tuple[Call, ...]]:
    """Every order of every choice of calls that the clock allows."""
    sure = [call for call in calls if call.fate in (Fate.ANSWERED, Fate.DONE)]
    lost = [call for call in calls if call.fate is Fate.LOST]
    for count in range(len(lost) + 1):
        for happened in itertools.combinations(lost, count):
            for order in itertools.permutations([*sure, *happened]):
                if all(
                    later.fate is Fate.LOST or later.end >= earlier.begin
                    for earlier, later in itertools.combinations(order, 2)
                ):
                    yield order


def explains(order: tuple[Call, ...], past: list[Version]) -> bool:
    """Whether all answers are right in this order: one call after another, with every choice that a crash has."""
    if not order:
        return True
    call, rest, current = order[0], order[1:], past[-1].value
    end = min(INFINITY if each.fate is Fate.LOST else each.end for each in order)
    if call.kind is Kind.PUT:
        return explains(rest, [*past, Version(call.argument, call.begin, end)])
    if call.kind is Kind.GET:
        return call.answer == current and explains(rest, past)
    if call.kind is Kind.DEL:
        right = call.fate is not Fate.ANSWERED or call.answer is (current is not None)
        return right and explains(rest, past if current is None else [*past, Version(None, call.begin, end)])
    if call.kind is Kind.SEEN:
        return any(explains(rest, past[at:]) for at in range(len(past)) if past[at].value == call.answer)
    first = max((at for at in range(len(past)) if past[at].end <= call.keeps), default=0)
    return any(explains(rest, [past[at]]) for at in range(first, len(past)))


VALUES = st.sampled_from(["a", "b", "c"])
OUTCOMES = st.sampled_from([None, None, None, TIMED_OUT, errors.TierUnavailable(""), errors.NoRoom("")])


@st.composite
def histories(draw: st.DrawFn, one_by_one: bool, with_crashes: bool) -> list[Call]:
    count = draw(st.integers(1, 6))
    kinds = [Kind.PUT, Kind.PUT, Kind.GET, Kind.GET, Kind.DEL, *([Kind.SEEN, Kind.CRASH] if with_crashes else [])]
    values = ["a", "b", "c", "d", "e", "f"]
    calls: list[Call] = []
    for number in range(count):
        begin = 2.0 * number if one_by_one else float(draw(st.integers(0, 7)))
        end = begin + (1 if one_by_one else draw(st.integers(0, 4)))
        kind = draw(st.sampled_from(kinds))
        if kind is Kind.PUT:
            calls.append(put(values.pop(0), begin, end, draw(OUTCOMES)))
        elif kind is Kind.GET:
            calls.append(get(draw(st.none() | VALUES), begin, end, draw(OUTCOMES)))
        elif kind is Kind.DEL:
            calls.append(delete(draw(st.booleans()), begin, end, draw(OUTCOMES)))
        elif kind is Kind.SEEN:
            calls.append(seen(draw(st.none() | VALUES), begin, end))
        elif not any(call.kind is Kind.CRASH for call in calls):
            calls.append(crash(end, draw(st.sampled_from([-INFINITY, 3.0, 5.0, INFINITY]))))
    return calls


def possible(calls: list[Call]) -> bool:
    truth = any(explains(order, [NOTHING_YET]) for order in orders(calls))
    event(f"possible: {truth}")
    return truth


@settings(max_examples=500, deadline=None)
@given(histories(one_by_one=False, with_crashes=False))
def test_it_agrees_with_trying_everything(calls: list[Call]) -> None:
    assert (linearize(calls) is not None) is possible(calls)


@settings(max_examples=500, deadline=None)
@given(histories(one_by_one=True, with_crashes=True))
def test_it_agrees_on_crashes_of_calls_that_are_not_beside_each_other(calls: list[Call]) -> None:
    # A sighting of what a lost call may have written counts for nothing, so then it may accept too much.
    vague = any(call.fate is Fate.LOST for call in calls) and any(call.kind is Kind.SEEN for call in calls)
    assert (linearize(calls) is not None) is possible(calls) or (vague and not possible(calls))


@settings(max_examples=500, deadline=None)
@given(histories(one_by_one=False, with_crashes=True))
def test_it_never_raises_a_false_alarm(calls: list[Call]) -> None:
    assert linearize(calls) is not None or not possible(calls)


# --- effort ----------------------------------------------------------------------------------------------------------


def simulated(count: int, clients: int, keys: int, seed: int, lost: float = 0.0) -> list[Call]:
    """The calls of that many clients on real registers: each takes effect at some moment between begin and end."""
    rng = random.Random(seed)
    registers: dict[str, Value | None] = {}
    effects: list[tuple[float, float, float, str, Kind]] = []
    for _ in range(clients):
        now = rng.random()
        for _ in range(count // clients):
            begin, now = now, now + rng.expovariate(1)
            kind = rng.choices((Kind.GET, Kind.PUT, Kind.DEL), (5, 4, 1))[0]
            effects.append((rng.uniform(begin, now), begin, now, f"key {rng.randrange(keys)}", kind))
    calls = []
    for number, (_, begin, end, key, kind) in enumerate(sorted(effects)):
        before = registers.get(key)
        error = TIMED_OUT if rng.random() < lost else None
        if kind is Kind.PUT:
            registers[key] = f"value {number}"
            calls.append(Call(key, kind, begin, end, argument=registers[key], error=error))
        elif kind is Kind.DEL:
            registers[key] = None
            calls.append(Call(key, kind, begin, end, answer=before is not None, error=error))
        else:
            calls.append(Call(key, kind, begin, end, answer=before, error=error))
    return calls


@pytest.mark.parametrize(("keys", "lost"), [(50, 0.0), (5, 0.0), (5, 0.05)])
def test_ten_thousand_calls_are_hardly_more_states(keys: int, lost: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search goes straight on: it comes back from few of the orders that it tries."""
    calls = simulated(10_000, clients=8, keys=keys, seed=1, lost=lost)
    states = 0
    moves = _Search.moves

    def counted(search: _Search, state: _State) -> Iterator[_Move]:
        nonlocal states
        states += 1
        return moves(search, state)

    monkeypatch.setattr(_Search, "moves", counted)
    assert all(linearize(history) is not None for history in by_key(calls).values())
    assert states < 1.5 * len(calls)
