"""BATCH at a node: every request in it has exactly one answer, and no limit of a connection is stretched by it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest

from ckv import errors
from ckv.node.auditing import Audits
from ckv.node.handlers import own
from ckv.node.secondary import handlers, operator_handlers
from ckv.protocol.batch import BATCH_REQUESTS, BATCH_RESULT_CHARACTERS, LAST_MSGID_OF_BATCH
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import BULKY_BYTES, KIB, Limits
from ckv.protocol.session import Session
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from tests.net.conftest import Asker, Lines, World, until

MSGID = 7

Request = tuple[str, list[Any]]


def batch(requests: Iterable[Request], msgid: int = MSGID) -> list[Any]:
    return [0, msgid, "BATCH", list(chain.from_iterable(requests))]


def served(world: World, **table: Handler) -> Asker:
    """A client of a new server."""
    _, address = world.serve(None, 0, **table)
    return world.ask(address)


def as_requests(count: int, answers: list[list[Any]], msgid: int = MSGID) -> list[tuple[Any, Any]]:
    """The (error, result) of each of the requests, from the answers to one BATCH in the order in which they came.

    Fails unless each has exactly one, and the one to the BATCH is the first.
    """
    own, error, results = answers[0]
    assert (own, error) == (msgid, None)
    assert len(results) == count
    found = {
        msgid + 1 + number: (result[0], None) if isinstance(result, list) and len(result) == 1 else (None, result)
        for number, result in enumerate(results)
        if result is not None
    }
    for own, error, result in answers[1:]:
        assert own not in found, "answered twice"
        found[own] = (error, result)
    assert sorted(found) == list(range(msgid + 1, msgid + 1 + count))
    return [found[number] for number in sorted(found)]


def alone(asker: Asker) -> bool:
    """Whether no further answer is on its way."""
    asker.send([0, 2**32, "ECHO", []])
    return asker.answer() == [2**32, None, []]


def value_of(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
    """As GET: a value of the length that is asked for."""
    (length,) = params
    return (True, "x" * length)  # type: ignore[operator]


def flag(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
    """As PUT and DEL."""
    return bool(params)


# --- results ---------------------------------------------------------------------------------------------------------


def test_results_stand_in_their_order(world: World) -> None:
    asker = served(world, FLAG=flag, GET=value_of)
    asker.send(batch([("FLAG", [1]), ("FLAG", []), ("GET", [3]), ("FLAG", [1])]))
    assert asker.answer() == [MSGID, None, [True, False, [True, "xxx"], True]]
    assert alone(asker)


def test_an_empty_one(world: World) -> None:
    asker = served(world)
    asker.send(batch([]))
    assert asker.answer() == [MSGID, None, []]


def test_the_most_requests(world: World) -> None:
    asker = served(world, FLAG=flag)
    asker.send(batch([("FLAG", [1] if number % 3 else []) for number in range(BATCH_REQUESTS)]))
    assert asker.answer() == [MSGID, None, [number % 3 > 0 for number in range(BATCH_REQUESTS)]]


def test_errors_stand_in_their_place(world: World, log: Lines) -> None:
    def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise errors.NoRoom("none")

    def defect(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise RuntimeError("a defect")

    asker = served(world, FLAG=flag, REFUSE=refuse, DEFECT=defect)
    strange: list[Any] = [5, [], None, {"a": 1}]
    asker.send(
        batch([
            ("FLAG", [1]), ("REFUSE", []), ("NONE", []), ("DEFECT", []), ("FLAG", 5), ("FLAG", {}),  # type: ignore[list-item]
            *((method, []) for method in strange), ("BATCH", ["FLAG", [1]]), ("FLAG", []),
        ])
    )  # fmt: skip
    _, error, results = asker.answer()
    assert error is None
    codes = [result[0].split(":")[0] if isinstance(result, list) else result for result in results]
    unknown = "UnknownMethod"
    assert codes == [
        True, "NoRoom", unknown, "ServerError", "BadArguments", "BadArguments", *[unknown] * 4, unknown, False,
    ]  # fmt: skip
    assert alone(asker)
    assert len(log.having("ERROR")) == 1, "the defect alone"


@pytest.mark.parametrize("name", ["RETRY", b"RETRY"])
def test_a_number_is_carried_as_a_value_is(world: World, name: Any) -> None:
    """By what the command table says of the command, and whoever sends the requests behind it does not wait."""
    asker = served(
        world, RETRY=lambda _caller, _msgid, _params: 2**40, GET=lambda _caller, _msgid, _params: (True, "v")
    )
    asker.send(batch([(name, []), ("GET", ["k"]), (name, [])]))
    assert asker.answer() == [MSGID, None, [2**40, [True, "v"], 2**40]]


@pytest.mark.parametrize(
    "params", [["FLAG"], ["FLAG", [], "FLAG"], ["FLAG", []] * (BATCH_REQUESTS + 1)], ids=["one", "odd", "too many"]
)
def test_another_number_of_arguments_is_refused_as_a_whole(world: World, params: list[Any]) -> None:
    done = []
    asker = served(world, FLAG=lambda _caller, _msgid, _params: done.append(1))
    asker.send([0, MSGID, "BATCH", params])
    msgid, error, result = asker.answer()
    assert (msgid, result) == (MSGID, None)
    assert error.startswith(f"BadArguments: {len(params)} arguments")
    assert not done
    assert alone(asker)


def test_it_is_no_notification(world: World, log: Lines) -> None:
    """Which would have no numbers for the answers that come later."""
    done = []
    asker = served(world, FLAG=lambda _caller, _msgid, _params: done.append(1))
    asker.send([2, "BATCH", ["FLAG", []]])
    assert alone(asker)
    assert not done
    assert log.having("notification 'BATCH'")


# --- answers by themselves -------------------------------------------------------------------------------------------


def test_what_has_to_wait_is_answered_by_itself(world: World) -> None:
    asker = served(world, FLAG=flag)
    asker.send(batch([("LATER", ["a"]), ("FLAG", [1]), ("LATER", ["b"])]))
    assert asker.answer() == [MSGID, None, [None, True, None]]
    assert alone(asker), "nobody waits for the slow ones"
    world.later.answer(1)
    assert asker.answer() == [MSGID + 3, None, ["b"]]
    world.later.answer()
    assert asker.answer() == [MSGID + 1, None, ["a"]]
    assert alone(asker)


def test_what_has_waited_already_comes_after_the_batch(world: World) -> None:
    """A caller who is told later has to know of it: the answer to the BATCH is always the first."""

    def at_once(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        caller.respond(msgid, None, list(params))
        return LATER

    asker = served(world, ONCE=at_once, GET=value_of)
    asker.send(batch([("ONCE", ["a"]), ("GET", [10 * BATCH_RESULT_CHARACTERS]), ("ONCE", ["b"])]))
    answers = as_requests(3, asker.answers(4))
    assert answers == [(None, ["a"]), (None, [True, "x" * 10 * BATCH_RESULT_CHARACTERS]), (None, ["b"])]
    assert alone(asker)


@pytest.mark.parametrize(
    "lengths",
    [
        [BATCH_RESULT_CHARACTERS // 8] * 20,
        [BULKY_BYTES, BULKY_BYTES + 1, 0, 5],
        [5, 4 * BATCH_RESULT_CHARACTERS] * 4,
        [4 * BATCH_RESULT_CHARACTERS] * 30,
        [BULKY_BYTES] * BATCH_REQUESTS,
    ],
    ids=["many", "around the limit", "mixed", "large", "the most"],
)
def test_values_that_are_too_much_for_one_answer(world: World, lengths: list[int]) -> None:
    server, address = world.serve(GET=value_of)
    asker = world.ask(address)
    asker.send(batch([("GET", [length]) for length in lengths]))
    first = asker.answer()
    inside = [len(result[1]) for result in first[2] if result is not None]
    assert sum(inside) <= BATCH_RESULT_CHARACTERS
    assert max(inside, default=0) <= BULKY_BYTES
    rest = asker.answers(len(lengths) - len(inside))
    assert as_requests(len(lengths), [first, *rest]) == [(None, [True, "x" * length]) for length in lengths]
    assert alone(asker)
    until(lambda: server.idle and not server.in_flight)


def test_what_comes_behind_large_results_in_one_read_is_answered(world: World) -> None:
    """The buffer of the answers is given back for its size while there are requests to be served yet."""
    asker = served(world, GET=value_of)
    large = batch([("GET", [4 * BATCH_RESULT_CHARACTERS])])
    asker.send([0, 1, "ECHO", ["before"]], large, [0, 2, "ECHO", ["behind"]])
    assert asker.answer() == [1, None, ["before"]]
    assert as_requests(1, asker.answers(2)) == [(None, [True, "x" * 4 * BATCH_RESULT_CHARACTERS])]
    assert asker.answer() == [2, None, ["behind"]]
    assert alone(asker)


def test_results_of_other_shapes(world: World) -> None:
    """What could be taken for an error, or for an answer that comes later, does not stand among the results."""
    shapes: list[Any] = [
        None, [], ["text"], ["a", "b", "c"], ["a", b"b"], "text", 5, {"a": 1}, [1, [2, 3]], [True, b"x"], [[], "text"],
    ]  # fmt: skip
    as_tuples = [tuple(shape) if isinstance(shape, list) else shape for shape in shapes]

    def shape_of(_caller: Caller, _msgid: int, params: tuple[Any, ...]) -> object:
        return as_tuples[params[0]]

    asker = served(world, SHAPE=shape_of)
    for number, shape in enumerate(shapes):
        asker.send(batch([("SHAPE", [number])]))
        first = asker.answer()
        answers = [first, asker.answer()] if first[2] == [None] else [first]
        assert as_requests(1, answers) == [(None, shape)]
    assert alone(asker)


def test_the_methods_of_a_secondary(world: World) -> None:
    store = MemoryStore(POLICIES["lru"](100))
    table = {
        **handlers(store, KIB),
        **operator_handlers(store, Audits(store, lambda: 0.0)),
        "INFO": own("INFO", lambda: {"role": "a test"}),
    }
    asker = served(world, **table)
    requests: list[Request] = [
        ("PUT", ["k", "v"]), ("INFO", []), ("GET", ["k"]), ("AUDIT", [0, 10]), ("PEEK", ["k"]), ("RETRY", []),
        ("PING", []), ("PUT", ["k", "x" * KIB]), ("PUT", ["k", "x" * (KIB + 1)]), ("DEL", ["k"]), ("GET", ["k"]),
        ("GET", []), ("NONE", []), ("BATCH", ["PING", []]), ("GET", 5),  # type: ignore[list-item]
    ]  # fmt: skip
    asker.send(batch(requests))
    first = asker.answer()
    got = as_requests(len(requests), [first, *asker.answers(first[2].count(None))])
    assert [result for error, result in got if error is None] == [
        True, {"role": "a test"}, [True, "v"], got[3][1], got[4][1], 0, "PONG", True, True, [False, ""],
    ]  # fmt: skip
    cursor, entries = got[3][1]
    assert cursor == 0
    assert entries == [["k", *got[4][1]]]
    assert [error.split(":")[0] for error, _ in got if error is not None] == [
        "ValueTooLarge", "BadArguments", "UnknownMethod", "UnknownMethod", "BadArguments",
    ]  # fmt: skip
    assert alone(asker)


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("msgid", [-(2**63), -5, 0, 2**32 - 1, LAST_MSGID_OF_BATCH])
def test_any_msgid_that_leaves_room_for_the_others(world: World, msgid: int) -> None:
    asker = served(world)
    asker.send(batch([("LATER", [])] * BATCH_REQUESTS, msgid))
    first = asker.answer()
    while world.later.asked:
        world.later.answer()
    assert len(as_requests(BATCH_REQUESTS, [first, *asker.answers(BATCH_REQUESTS)], msgid)) == BATCH_REQUESTS


@pytest.mark.parametrize("msgid", [LAST_MSGID_OF_BATCH + 1, 2**64 - 1])
def test_a_msgid_that_leaves_no_room_for_the_others(world: World, msgid: int) -> None:
    """Their answers could not be packed: the loss would be noticed when it is too late, and at somebody else's."""
    server, address = world.serve()
    asker = world.ask(address)
    asker.send(batch([("LATER", [])], msgid))
    assert asker.answer()[1].startswith("BadArguments: ")
    assert not world.later.asked
    assert not server.in_flight


def test_the_limit_of_requests_in_flight(world: World) -> None:
    server, address = world.serve(Limits(max_in_flight=8), FLAG=flag)
    asker = world.ask(address)
    asker.send(batch([("LATER", [number]) for number in range(20)]), batch([("LATER", [20]), ("FLAG", [])], 100))
    first = asker.answer()
    assert first == [MSGID, None, [None] * 20]
    world.turn(address)
    assert [params for _, _, params in world.later.asked] == [(number,) for number in range(8)]
    assert server.in_flight == 8
    for number in range(21):
        until(lambda: world.later.asked)
        assert len(world.later.asked) <= 8
        assert world.later.asked[0][2] == (number,), "in their order"
        world.later.answer()
    answers = asker.answers(22)
    assert [100, None, [None, False]] in answers
    answers.remove([100, None, [None, False]])
    assert answers.pop() == [101, None, [20]]
    assert as_requests(20, [first, *answers]) == [(None, [number]) for number in range(20)]
    until(lambda: server.idle)
    assert not server.in_flight


def test_requests_that_were_put_off_come_before_what_was_sent_after_them(world: World) -> None:
    done: list[object] = []

    def note(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        done.extend(params)
        return ["a table"]

    asker = served(world, NOTE=note)
    for base in range(0, 40, 10):
        asker.send(batch([("NOTE", [base + number]) for number in range(9)], base * 10), [0, 1, "NOTE", [base + 9]])
    asker.answers(44)
    assert done == list(range(40))


def test_a_client_that_does_not_read_large_values_is_not_refused_any(world: World) -> None:
    """They are made as fast as they are read, also when one BATCH asks for more than a node keeps unread."""
    limits = Limits(soft_unsent_bytes=64 * KIB, max_value_bytes=KIB)
    made = []

    def large(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        made.append(1)
        return (True, b"x" * (limits.hard_unsent_bytes // 100))

    server, address = world.serve(limits, GET=large)
    asker = world.ask(address, receive_buffer=16 * KIB)
    asker.send(batch([("GET", [])] * BATCH_REQUESTS))
    stalled = 0
    while stalled < 5:
        before = len(made)
        world.turn(address)
        stalled = stalled + 1 if len(made) == before > 0 else 0
    assert len(made) < 40
    got = as_requests(BATCH_REQUESTS, asker.answers(1 + BATCH_REQUESTS))
    assert {error for error, _ in got} == {None}
    assert len(made) == BATCH_REQUESTS
    until(lambda: server.idle)


# --- the end ---------------------------------------------------------------------------------------------------------


def test_the_end_of_the_input_forgets_none(world: World) -> None:
    server, address = world.serve(Limits(max_in_flight=2), GET=value_of)
    asker = world.ask(address)
    asker.send(batch([("GET", [BULKY_BYTES * 2]), *[("LATER", [])] * 9]))
    asker.finish()
    for _ in range(9):
        until(lambda: world.later.asked)
        world.later.answer()
    answers = asker.answers(12)
    assert answers.pop() == []
    assert len(as_requests(10, answers)) == 10
    until(lambda: server.connections == 0)


def test_a_client_that_is_gone_is_served_no_further(world: World) -> None:
    server, address = world.serve(Limits(max_in_flight=2))
    asker = world.ask(address)
    asker.send(batch([("LATER", [])] * 10))
    until(lambda: len(world.later.asked) == 2)
    asker.send([0, 1, "ECHO", []])
    other = world.ask(address)
    session = world.later.asked[0][0]
    assert isinstance(session, Session)
    session.line.close("gone")
    world.later.answer()
    world.later.answer()
    world.turn(address)
    assert not world.later.asked
    assert alone(other)
    assert server.idle


def test_draining_refuses_it_and_what_was_put_off(world: World) -> None:
    server, address = world.serve(Limits(max_in_flight=2))
    asker = world.ask(address)
    asker.send(batch([("LATER", ["x"])] * 4))
    until(lambda: len(world.later.asked) == 2)
    first = asker.answer()
    server.drain(errors.Draining("bye"))
    world.later.answer()
    world.later.answer()
    got = as_requests(4, [first, *asker.answers(4)])
    assert got == [(None, ["x"])] * 2 + [("Draining: bye", None)] * 2
    asker.send(batch([("ECHO", [])]))
    assert asker.answer() == [MSGID, "Draining: bye", None]
    until(lambda: server.idle)
    assert not server.in_flight


def test_texts_and_the_values_that_a_set_tells_go_along(world: World) -> None:
    """A result of any size of another kind is sent by itself."""

    def text(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        return "1.5"

    def told(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        (length,) = params
        return (True, True, "x" * length)  # type: ignore[operator]

    asker = served(world, TEXT=text, SET=told)
    asker.send(batch([("TEXT", []), ("SET", [2]), ("SET", [BULKY_BYTES + 1]), ("TEXT", [])]))
    first, *others = asker.answers(3)
    assert first == [MSGID, None, ["1.5", [True, True, "xx"], None, None]]
    assert [answer[0] for answer in others] == [MSGID + 3, MSGID + 4]
