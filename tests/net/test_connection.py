"""Connection, session and Server over real sockets, on gevent's loop: order, limits, ends, failures."""

from __future__ import annotations

import os
import select
import socket
import struct
from functools import partial
from typing import Any

import gevent
import gevent.socket
import pytest

from ckv import errors
from ckv.net.connection import Connection
from ckv.protocol.handler import Caller, Line
from ckv.protocol.limits import KIB, MIB, Limits
from ckv.protocol.session import Session
from tests.net.conftest import LONGEST, Lines, World, until
from tests.support.wire import pack


def requests(count: int, method: str, *params: object) -> list[list[object]]:
    return [[0, number, method, list(params)] for number in range(count)]


# --- order ---------------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_in_its_order(world: World) -> None:
    _, address = world.serve()
    asker = world.ask(address)
    asker.send(*requests(1000, "ECHO", "x"))
    assert asker.answers(1000) == [[number, None, ["x"]] for number in range(1000)]


def test_answers_may_come_late_and_in_another_order(world: World) -> None:
    _, address = world.serve()
    asker = world.ask(address)
    asker.send([0, 1, "LATER", ["a"]], [0, 2, "LATER", ["b"]], [0, 3, "ECHO", ["c"]])
    assert asker.answer() == [3, None, ["c"]]
    world.later.answer(1)
    assert asker.answer() == [2, None, ["b"]]
    asker.send([0, 4, "ECHO", ["d"]])
    assert asker.answer() == [4, None, ["d"]]
    world.later.answer()
    assert asker.answer() == [1, None, ["a"]]


def test_answers_go_to_the_connection_that_asked(world: World) -> None:
    _, address = world.serve()
    askers = [world.ask(address) for _ in range(10)]
    for number, asker in enumerate(askers):
        asker.send([0, 7, "LATER", [number]])
        until(partial(world.later.has, number + 1))
    for _ in askers:
        world.later.answer(-1)
    assert [asker.answer() for asker in askers] == [[7, None, [number]] for number in range(10)]


@pytest.mark.parametrize("msgid", [0, 1, 2**32 - 1, 2**64 - 1, -1, -(2**63)])
def test_any_integer_is_a_msgid(world: World, msgid: int) -> None:
    _, address = world.serve()
    asker = world.ask(address)
    asker.send([0, msgid, "ECHO", []], [0, msgid, "NONE", []], [0, msgid, "LATER", []])
    until(lambda: world.later.asked)
    world.later.answer()
    assert [answer[0] for answer in asker.answers(3)] == [msgid] * 3


# --- limits --------------------------------------------------------------------------------------------------------


def test_the_limit_of_requests_in_flight_stops_reading_and_resumes(world: World) -> None:
    _, address = world.serve(Limits(max_in_flight=8))
    asker = world.ask(address)
    asker.send(*requests(20, "LATER"))
    until(lambda: len(world.later.asked) == 8)
    asker.send([0, 20, "ECHO", []])
    world.turn(address)  # and the others are served
    assert len(world.later.asked) == 8

    for _ in range(4):
        world.later.answer()
    until(lambda: len(world.later.asked) == 8, "further requests are read when half of them are answered")
    world.turn(address)
    assert len(world.later.asked) == 8

    def rest() -> bool:
        while world.later.asked:
            world.later.answer()
        return served.ready()

    served = gevent.spawn(asker.answers, 21)
    until(rest)
    assert sorted(answer[0] for answer in served.get()) == list(range(21))


def test_requests_that_come_one_by_one_have_the_same_limit(world: World) -> None:
    server, address = world.serve(Limits(max_in_flight=4))
    asker = world.ask(address)
    for msgid in range(6):
        asker.send([0, msgid, "LATER", []])
        world.turn(address)
    assert len(world.later.asked) == server.in_flight == 4
    for _ in range(2):
        world.later.answer()
    until(lambda: len(world.later.asked) == 4)
    while world.later.asked:
        world.later.answer()
    assert sorted(answer[0] for answer in asker.answers(6)) == list(range(6))


def test_an_answer_waits_behind_what_the_socket_did_not_take(world: World) -> None:
    """Also the answer to one request that came by itself, which is otherwise written without further ado."""
    large = "x" * MIB
    lines: list[Line] = []

    def give(caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        assert isinstance(caller, Session)
        lines.append(caller.line)
        return large

    _, address = world.serve(Limits(soft_unsent_bytes=100 * MIB), GIVE=give)
    asker = world.ask(address, receive_buffer=4 * KIB)
    asker.send(*([0, msgid, "GIVE", []] for msgid in range(10)))  # more than the system keeps for a socket
    until(lambda: len(lines) == 10 and lines[0].unsent_bytes)
    # The client takes so much that there is room in the socket again, and before the loop notices comes a request.
    taken = without_the_loop(asker.socket, 2 * MIB)
    os.write(asker.socket.fileno(), pack([0, 10, "ECHO", ["small"]]))
    world.poller.turn()
    asker.feed(taken)
    assert asker.answers(11) == [*([msgid, None, large] for msgid in range(10)), [10, None, ["small"]]]


def without_the_loop(sock: gevent.socket.socket, count: int) -> bytes:
    """At least so many bytes, received while gevent's loop stands still."""
    data = b""
    with socket.socket(fileno=os.dup(sock.fileno())) as same:
        while len(data) < count:
            select.select([same], [], [], LONGEST)
            data += same.recv(MIB, socket.MSG_DONTWAIT)
    return data


def test_what_was_read_already_when_it_became_held_waits(world: World) -> None:
    _, address = world.serve(Limits(max_in_flight=1))
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []])
    until(lambda: world.later.asked)
    session = world.later.asked[0][0]
    assert isinstance(session, Session)
    connection = session.line
    assert isinstance(connection, Connection)
    world.later.answer()
    assert asker.answer()[0] == 1
    # As when it was read several times before it was served.
    connection.inbox += [(connection, pack([0, msgid, "LATER", []])) for msgid in (2, 3)]
    os.write(asker.socket.fileno(), pack([0, 4, "LATER", []]))
    world.poller.turn()
    for msgid in (2, 3, 4):
        until(lambda: world.later.asked)
        assert [asked for _, asked, _ in world.later.asked] == [msgid]
        world.later.answer()
    assert [answer[0] for answer in asker.answers(3)] == [2, 3, 4]


def test_rubbish_behind_a_request_that_held_the_connection(world: World, log: Lines) -> None:
    server, address = world.serve(Limits(max_in_flight=1))
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []], [9, 9])
    until(lambda: world.later.asked)
    world.later.answer()
    assert asker.answers(2) == [[1, None, []], []]
    until(lambda: server.connections == 0)
    assert log.having("neither a request nor a notification")


def test_notifications_count_as_in_flight(world: World) -> None:
    _, address = world.serve(Limits(max_in_flight=8))
    asker = world.ask(address)
    asker.send(*([2, "LATER", []] for _ in range(100)), [0, 5, "ECHO", []])
    until(lambda: world.later.asked)
    world.turn(address)
    assert len(world.later.asked) == 8

    def rest() -> bool:
        while world.later.asked:
            world.later.answer()
        return served.ready()

    served = gevent.spawn(asker.answer)
    until(rest)
    assert served.get() == [5, None, []]


def test_a_peer_that_does_not_read_is_read_no_further_until_it_does(world: World) -> None:
    made = []

    def large(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        made.append(1)
        return b"x" * 16 * KIB

    server, address = world.serve(Limits(soft_unsent_bytes=64 * KIB), LARGE=large)
    asker = world.ask(address, receive_buffer=16 * KIB)
    # Many batches, each below what is looked at in one go.
    sender = gevent.spawn(asker.send_each, ([0, number, "LARGE", []] for number in range(4000)))
    stalled = 0
    while stalled < 5:
        before = len(made)
        world.turn(address)
        stalled = stalled + 1 if len(made) == before > 0 else 0
    assert len(made) < 4000
    assert not server.idle

    answers = asker.answers(4000)
    assert [answer[0] for answer in answers] == list(range(4000))
    assert all(answer[2] == b"x" * 16 * KIB for answer in answers)
    sender.join()
    until(lambda: server.idle)


def test_answers_that_pile_up_beyond_the_hard_limit_close_the_connection(world: World, log: Lines) -> None:
    """These were asked for before anything was unsent, so not reading any further does not help."""
    limits = Limits(soft_unsent_bytes=64 * KIB, max_value_bytes=KIB)
    server, address = world.serve(limits)
    asker = world.ask(address, receive_buffer=16 * KIB)
    asker.send(*requests(200, "LATER"))
    until(lambda: len(world.later.asked) == 200)
    caller = world.later.asked[0][0]
    assert isinstance(caller, Session)
    for msgid in range(200):
        caller.respond(msgid, "x" * (limits.hard_unsent_bytes // 100), None)
        gevent.sleep(0)
    until(lambda: server.connections == 0)
    assert log.having("the peer does not read")
    world.turn(address)


# --- ends ----------------------------------------------------------------------------------------------------------


def test_a_half_closed_connection_gets_its_answers_and_is_closed(world: World, log: Lines) -> None:
    server, address = world.serve()
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []], [0, 2, "ECHO", ["x" * 500_000]], [2, "LATER", []], [0, 3, "LATER", []])
    asker.finish()
    assert asker.answer()[0] == 2
    world.turn(address)
    until(lambda: server.connections == 1, "only the other client is gone")
    answers: list[Any] = [[1, None, []], None, [3, None, []]]
    for answer in answers:
        assert server.connections == 1
        world.later.answer()
        if answer is not None:
            assert asker.answer() == answer
    assert asker.answer() == []
    until(lambda: server.connections == 0)
    assert not log.having("closed")


def test_a_half_closed_connection_that_was_held_gets_its_answers(world: World) -> None:
    """Requests that were read and not served yet, because of a limit, are not forgotten at the end of the input."""
    server, address = world.serve(Limits(max_in_flight=2))
    asker = world.ask(address)
    asker.send(*requests(10, "LATER"))
    asker.finish()

    def rest() -> bool:
        while world.later.asked:
            world.later.answer()
        return served.ready()

    served = gevent.spawn(asker.answers, 11)
    until(rest)
    assert [answer[:1] for answer in served.get()] == [[number] for number in range(10)] + [[]]
    until(lambda: server.connections == 0)


def test_a_connection_that_is_closed_without_a_word(world: World, log: Lines) -> None:
    server, address = world.serve()
    asker = world.ask(address)
    asker.send([0, 1, "ECHO", []])
    asker.answer()
    asker.close()
    until(lambda: server.connections == 0)
    assert not log.having("closed"), "an ordinary end is worth no line"


def test_a_connection_that_is_broken_off(world: World, log: Lines) -> None:
    server, address = world.serve()
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []])
    until(lambda: world.later.asked)
    asker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asker.close()
    until(lambda: server.connections == 0)
    assert log.having("Connection reset by peer")
    world.later.answer()  # It goes nowhere, and hurts nobody.
    world.turn(address)
    assert server.idle


def test_nothing_more_is_served_to_a_connection_that_broke(world: World) -> None:
    """One read may hold thousands of requests for large values; making answers that nobody gets stops the node."""
    made = []

    def large(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        made.append(1)
        return b"x" * 64 * KIB

    server, address = world.serve(LARGE=large)
    asker = world.ask(address)
    asker.send(*requests(5000, "LARGE"))
    asker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asker.close()
    until(lambda: server.connections == 0 and made)
    assert len(made) < 100


def test_draining(world: World) -> None:
    server, address = world.serve()
    asker, idle = world.ask(address), world.ask(address)
    asker.send([0, 1, "LATER", []])
    until(lambda: world.later.asked)
    server.drain(errors.Draining("bye"), ["PING"])
    late = world.ask(address)
    late.send([0, 1, "ECHO", []], [0, 2, "PING", []], [0, 3, b"PING", []], [0, 4, "HELLO", []], [0, 5, "BATCH", []])
    assert late.answers(5) == [
        [1, "Draining: bye", None], [2, None, []], [3, None, []], [4, "Draining: bye", None], [5, "Draining: bye", None]
    ]  # fmt: skip
    asker.send([0, 2, "ECHO", []], [0, 3, "NONE", []])
    assert asker.answer() == [2, "Draining: bye", None]
    assert asker.answer()[1].startswith("UnknownMethod: ")
    idle.send([0, 1, "ECHO", []])
    assert idle.answer() == [1, "Draining: bye", None]
    assert not server.idle
    world.later.answer()
    assert asker.answer() == [1, None, []]
    until(lambda: server.idle)
    server.close()
    assert asker.answer() == idle.answer() == late.answer() == []
    assert server.connections == 0
    with pytest.raises(ConnectionRefusedError):
        world.ask(address)


def test_a_taken_port(world: World) -> None:
    _, address = world.serve()
    with pytest.raises(OSError, match="in use"):
        world.serve(port=address.port)


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_handler_that_fails(world: World, log: Lines) -> None:
    def defect(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        nothing: dict[object, object] = {}
        return nothing[params[0]]

    _, address = world.serve(DEFECT=defect)
    asker = world.ask(address)
    wrong: list[list[object]] = [["a key"], [], [[]]]
    for params in wrong:  # KeyError, IndexError, TypeError or KeyError
        asker.send([0, 1, "DEFECT", params], [0, 2, "ECHO", []])
        assert asker.answer() == [1, "ServerError: unexpected error in DEFECT", None]
        assert asker.answer() == [2, None, []]
    lines = log.having("unexpected error in DEFECT")
    assert len(lines) == 3
    assert all(line.startswith("ERROR") and "Traceback" in line for line in lines)


def test_a_handler_that_refuses(world: World, log: Lines) -> None:
    def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise errors.NoRoom("none \udcff")

    _, address = world.serve(REFUSE=refuse)
    asker = world.ask(address)
    asker.send([0, 1, "REFUSE", []], [0, 2, "ECHO", []])
    assert asker.answers(2) == [[1, "NoRoom: none \udcff", None], [2, None, []]]
    assert not [line for line in log.lines if not line.startswith("DEBUG ")]


def test_notifications(world: World, log: Lines) -> None:
    got = []

    def note(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        got.append(params)
        if params == ("refuse",):
            raise errors.BadArguments("no")
        if params == ("fail",):
            raise RuntimeError("a defect")
        return True

    server, address = world.serve(NOTE=note)
    asker = world.ask(address)
    asker.send([2, "NOTE", ["a"]], [2, "NOTE", ["refuse"]], [2, "NONE", []], [2, "NOTE", ["fail"]], [0, 1, "ECHO", []])
    assert asker.answer() == [1, None, []], "the only one that is answered"
    assert got == [("a",), ("refuse",), ("fail",)]
    assert [line.split(" ")[0] for line in log.having("NOTE")] == ["DEBUG", "DEBUG", "ERROR", "DEBUG"]

    asker.send([2, "LATER", []])
    until(lambda: world.later.asked)
    assert not server.idle, "it is waited for at the end"
    world.later.answer()
    until(lambda: server.idle)


@pytest.mark.parametrize(
    "data", [b"\xc1", b"GET bob\r\n", b"\x91" * 2000, b"\x93\x01\x02\x03", b"\xdd\xff\xff\xff\xff"]
)
def test_bad_bytes_after_good_ones(world: World, log: Lines, data: bytes) -> None:
    """What came before them is answered; what waits for an answer does not get one."""
    server, address = world.serve()
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []], [0, 2, "ECHO", ["x"]])
    asker.socket.sendall(data)
    assert asker.answer() == [2, None, ["x"]]
    assert asker.answer() == []
    until(lambda: server.connections == 0)
    assert len(log.having("closed: not msgpack")) + len(log.having("closed: a message that is neither")) == 1
    world.later.answer()
    world.turn(address)
