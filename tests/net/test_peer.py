"""Peer: many callers on one connection, and a node that is away, hangs, breaks, answers late, or is slow."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from ckv import errors
from ckv.address import Address
from ckv.net import connecting
from ckv.net.connecting import FIRST_BACKOFF
from ckv.net.peer import Peer
from ckv.protocol.limits import KIB, Limits
from ckv.protocol.packing import MSGIDS
from tests.net.calling import Asking, call, connected, hello, node_at
from tests.net.conftest import Lines, World, until
from tests.support import fakenode
from tests.support.fakenode import FakeNode
from tests.support.ports import free_port

TIMEOUT = 0.3
"""Seconds after which a call fails, in the tests that wait for it."""


class Gate:
    """What the scripts of a fake node wait for. At the end of the test it opens, so that the node can end."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.open = self._event.set
        self.wait = self._event.wait  # with so many seconds, no longer

    @contextmanager
    def node(self, *scripts: fakenode.Script) -> Iterator[FakeNode]:
        with FakeNode(*scripts) as node:
            try:
                yield node
            finally:
                self.open()


@pytest.fixture
def gate() -> Gate:
    return Gate()


# --- when all is well ------------------------------------------------------------------------------------------------


def test_many_callers_share_one_connection(world: World) -> None:
    server, address = world.serve()
    peer = connected(world, address)
    callers = [Asking() for _ in range(100)]
    for msgid in range(50):  # every caller has a call of this number
        for number, caller in enumerate(callers):
            call(peer, caller, msgid, "ECHO", number, msgid)
    assert peer.in_flight == 5000
    until(lambda: peer.in_flight == 0)
    for number, caller in enumerate(callers):
        assert caller.answers == {msgid: (None, (number, msgid)) for msgid in range(50)}
        assert not caller.held
    assert server.connections == 1


def test_answers_in_another_order(world: World) -> None:
    _, address = world.serve()
    peer = connected(world, address)
    first, second = Asking(), Asking()
    call(peer, first, 1, "LATER", "a")
    call(peer, second, 1, "LATER", "b")
    call(peer, first, 2, "ECHO", "c")
    assert first.result(2) == ("c",)
    world.later.answer(1)
    assert second.result(1) == ("b",)
    assert not first.answers.keys() - {2}
    world.later.answer()
    assert first.result(1) == ("a",)


def test_an_error_of_the_node_goes_to_the_caller(world: World) -> None:
    _, address = world.serve()
    peer = connected(world, address)
    caller = Asking()
    call(peer, caller, 1, "NONE")
    assert caller.error(1) == "UnknownMethod"


def test_numbers_start_again(world: World) -> None:
    _, address = world.serve(NUMBER=lambda _caller, msgid, _params: msgid)
    peer = connected(world, address)
    assert peer.session is not None
    peer.session.msgid = MSGIDS - 3
    caller = Asking()
    numbers = []
    for msgid in range(10):
        call(peer, caller, msgid, "NUMBER")
        number = caller.result(msgid)
        assert isinstance(number, int)
        numbers.append(number)
    assert numbers[0] == MSGIDS - 3
    assert max(numbers) < MSGIDS
    assert numbers[-1] < 10


def test_a_quiet_connection_is_kept(world: World, log: Lines) -> None:
    server, address = world.serve()
    peer = connected(world, address, TIMEOUT)
    gevent.sleep(4 * TIMEOUT)  # many times what a node may be silent
    assert peer.connected
    assert server.connections == 1
    assert not log.having("lost")


# --- a node that is not there ----------------------------------------------------------------------------------------


def test_a_node_that_comes_up_later(world: World, log: Lines) -> None:
    port = free_port()
    peer = world.peer(Address("127.0.0.1", port))
    until(lambda: log.having("cannot be reached"))
    caller = Asking()
    for _ in range(2):
        with pytest.raises(errors.NodeDown, match=f"127.0.0.1:{port}"):
            call(peer, caller, 1)
    assert not peer.in_flight
    assert not caller.answers

    world.serve(port=port)
    until(lambda: peer.connected)
    call(peer, caller, 1, "ECHO", "x")
    assert caller.result(1) == ("x",)
    assert len(log.having("cannot be reached")) == 1, "one line, however many attempts"
    assert len(log.having("connected")) == 1


def test_a_node_that_goes_and_comes_back(world: World, log: Lines) -> None:
    server, address = world.serve()
    peer = connected(world, address)
    caller = Asking()
    call(peer, caller, 1, "LATER")
    call(peer, caller, 2, "LATER")
    until(lambda: len(world.later.asked) == 2)
    server.close()
    assert [caller.error(msgid) for msgid in (1, 2)] == ["NodeLost"] * 2
    with pytest.raises(errors.NodeDown):
        call(peer, caller, 4)
    assert len(log.having("lost")) == 1

    world.serve(port=address.port)
    until(lambda: peer.connected)
    assert log.having("back")
    call(peer, caller, 5, "ECHO", "x")
    assert caller.result(5) == ("x",)
    assert len(world.later.asked) == 2, "nothing was sent again"


def test_what_was_not_sent_before_a_loss_is_not_sent_after_it(world: World) -> None:
    """Its caller was told that it is lost."""
    _, address = world.serve()
    peer = connected(world, address)
    caller = Asking()
    call(peer, caller, 1, "LATER")  # It is sent at the end of this turn of the loop,
    assert peer.connection is not None
    peer.connection.close("broken")  # which it does not live to see.
    assert caller.error(1) == "NodeLost"
    until(lambda: peer.connected)
    call(peer, caller, 2, "ECHO")
    assert caller.result(2) == ()
    assert not world.later.asked


def test_a_peer_that_is_closed(world: World) -> None:
    server, address = world.serve()
    peer = connected(world, address)
    caller = Asking()
    call(peer, caller, 1, "LATER")
    peer.close()
    assert caller.error(1) == "NodeLost"
    with pytest.raises(errors.NodeDown):
        call(peer, caller, 2)
    until(lambda: server.connections == 0)
    gevent.sleep(3 * FIRST_BACKOFF)
    assert server.connections == 0, "it does not connect again"


def test_a_node_that_accepts_and_never_answers(
    world: World, log: Lines, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is stopped, or that hangs: the kernel accepts for it."""
    monkeypatch.setattr(connecting, "GREETING_TIMEOUT", TIMEOUT)

    def hang(_: fakenode.Connection) -> None:
        gate.wait()

    with gate.node(hang) as node:
        peer = world.peer(node_at(node))
        until(lambda: node.connections >= 2, "it tries again")
        assert not peer.connected
        with pytest.raises(errors.NodeDown):
            call(peer, Asking(), 1)
        assert log.having("cannot be reached")


@pytest.mark.parametrize(
    "answer", [b"\xc1", b"HTTP/1.1 400\r\n\r\n", b"\x94\x01\x00\xa1x\xc0", b""], ids=["bytes", "HTTP", "error", "end"]
)
def test_something_that_is_no_node(world: World, log: Lines, answer: bytes) -> None:
    def script(connection: fakenode.Connection) -> None:
        connection.request()
        if answer:
            connection.send(answer)
            connection.wait_closed()

    with FakeNode(script, hello_and_echo) as node:
        peer = world.peer(node_at(node))
        until(lambda: peer.connected, "it tries again")
        assert node.connections == 2
        assert log.having("cannot be reached")


# --- a node that does not answer, or answers nonsense ----------------------------------------------------------------


def hello_and_echo(connection: fakenode.Connection) -> None:
    while True:
        _, msgid, _, params = connection.request()
        connection.respond(msgid, params)


def test_a_call_without_an_answer(world: World, log: Lines) -> None:
    server, address = world.serve()
    peer = connected(world, address, TIMEOUT)
    caller = Asking()
    call(peer, caller, 1, "LATER", "late")
    call(peer, caller, 2, "ECHO", "x")
    assert caller.result(2) == ("x",)
    assert caller.error(1) == "CallTimeout"
    assert not log.having("lost"), "the node is there, it is only one call"

    world.later.answer()  # It comes too late, and is nobody else's.
    call(peer, caller, 3, "ECHO", "y")
    assert caller.result(3) == ("y",)
    assert caller.error(1) == "CallTimeout"
    assert server.connections == 1


def test_a_node_that_falls_silent(world: World, log: Lines, gate: Gate) -> None:
    def silent(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()

    with gate.node(silent, hello_and_echo) as node:
        peer = connected(world, node_at(node), TIMEOUT)
        caller = Asking()
        call(peer, caller, 1, "GET", "k")
        assert caller.error(1) in ("NodeLost", "CallTimeout")
        until(lambda: node.connections == 2, "it is given up, and connected to again")
        assert log.having("silent for")
        until(lambda: peer.connected)
        call(peer, caller, 2, "GET", "k")
        assert caller.result(2) == ("k",)


def test_a_node_that_falls_silent_is_noticed_without_any_call(world: World, log: Lines, gate: Gate) -> None:
    def silent(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()

    with gate.node(silent, hello_and_echo) as node:
        peer = connected(world, node_at(node), TIMEOUT)
        until(lambda: log.having("silent for"))
        until(lambda: peer.connected)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"\x05",
        b"\x93\x01\x00\xc0",
        b"\x94\x00\x00\xc0\xc0",
        b"\x95\x01\x00\xc0\xc0\xc0",
        b"\x94\x01\x91\x80\xc0\xc0",
    ],
    ids=["no msgpack", "no array", "too short", "a request", "too long", "a strange number"],
)
def test_a_node_that_sends_nonsense(world: World, log: Lines, data: bytes) -> None:
    def nonsense(connection: fakenode.Connection) -> None:
        hello(connection)
        connection.request()
        connection.send(data)
        connection.wait_closed()

    with FakeNode(nonsense, hello_and_echo) as node:
        peer = connected(world, node_at(node))
        caller = Asking()
        call(peer, caller, 1, "GET", "k")
        assert caller.error(1) == "NodeLost"
        assert log.having("lost: not ")
        until(lambda: peer.connected)
        call(peer, caller, 2, "GET", "k")
        assert caller.result(2) == ("k",)


def test_an_answer_to_nobody(world: World) -> None:
    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        _, msgid, _, _ = connection.request()
        connection.respond(msgid + 1000, "nobody's")
        connection.respond(msgid, "mine")
        connection.respond(msgid, "again")
        hello_and_echo(connection)

    with FakeNode(script) as node:
        peer = connected(world, node_at(node))
        caller = Asking()
        call(peer, caller, 1, "GET", "k")
        assert caller.result(1) == "mine"
        call(peer, caller, 2, "GET", "k")
        assert caller.result(2) == ("k",)


# --- a node that is slow ---------------------------------------------------------------------------------------------

SMALL = Limits(soft_unsent_bytes=64 * KIB)


def slow(gate: Gate) -> fakenode.Script:
    """Reads nothing until the gate opens, and then everything."""

    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()
        while True:
            _, msgid, _, _ = connection.request()
            connection.respond(msgid, True)

    return script


def flood(peer: Peer, caller: Asking) -> int:
    """Calls until the caller is held, a batch at a time, as a connection does; returns the number of calls."""
    for msgid in range(10_000):
        call(peer, caller, msgid, "PUT", "k", b"x" * 16 * KIB)
        gevent.sleep(0)
        if caller.holds:
            return msgid + 1
    raise AssertionError("never held")


def test_a_congested_node_holds_its_callers_and_releases_them(world: World, gate: Gate) -> None:
    with gate.node(slow(gate)) as node:
        peer = connected(world, node_at(node), limits=SMALL)
        first, second = Asking(), Asking()
        calls = flood(peer, first)
        call(peer, second, 0, "GET", "k")
        assert second.holds, "whoever calls while it is congested"
        for _ in range(10):
            gevent.sleep(0.001)
        assert first.holds
        assert not first.answers

        gate.open()
        until(lambda: len(first.answers) == calls and second.answers)
        assert not first.holds
        assert not second.holds
        assert set(first.answers.values()) == {(None, True)}

        call(peer, second, 1, "GET", "k")
        assert second.result(1) is True
        assert second.held == 1, "it is not congested any more"


def test_a_congested_node_that_is_lost_releases_its_callers(world: World, gate: Gate) -> None:
    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()

    with gate.node(script) as node:
        peer = connected(world, node_at(node), limits=SMALL)
        caller = Asking()
        calls = flood(peer, caller)
        gate.open()
        assert {caller.error(msgid) for msgid in range(calls)} == {"NodeLost"}
        assert not caller.holds


def large(peer: Peer, count: int) -> list[Asking]:
    """So many callers with a large request each, all of which come to many times what may be unread."""
    callers = [Asking() for _ in range(count)]
    for caller in callers:
        call(peer, caller, 1, "PUT", "k", b"x" * 64 * KIB)
        gevent.sleep(0)
    return callers


def test_large_requests_wait_until_the_node_reads_and_small_ones_pass_them_by(world: World, gate: Gate) -> None:
    """None is refused, and they do not pile up on the way to the node: each waits with its caller, in its order."""
    served: list[int] = []

    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()
        while True:
            _, msgid, _, params = connection.request()
            served.append(len(params[-1]) if params else 0)
            connection.respond(msgid, True)

    with gate.node(script) as node:
        peer = connected(world, node_at(node), limits=SMALL)
        callers = large(peer, 100)
        held = [caller for caller in callers if caller.holds]
        assert len(held) > 90
        assert held == callers[-len(held) :]
        assert peer.in_flight >= 100
        connection = peer.connection
        assert connection is not None
        assert connection.unsent_bytes < 4 * SMALL.soft_unsent_bytes
        small = Asking()
        call(peer, small, 1, "GET", "k")
        gate.open()
        assert small.result(1) is True
        assert served.index(1) < 10
        until(lambda: all(caller.answers for caller in callers))
        assert {caller.answers[1] for caller in callers} == {(None, True)}
        assert not any(caller.holds for caller in callers)
        until(lambda: peer.in_flight == 0, "an answer to the PING behind them")


def test_large_requests_that_wait_for_a_node_that_is_lost_were_not_sent(world: World, gate: Gate) -> None:
    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()

    with gate.node(script, hello_and_echo) as node:
        peer = connected(world, node_at(node), limits=SMALL)
        callers = large(peer, 100)
        waiting = [caller for caller in callers if caller.holds]
        gate.open()
        assert {caller.error(1) for caller in waiting} == {"NodeDown"}
        assert {caller.error(1) for caller in callers if caller not in waiting} == {"NodeLost"}
        assert not any(caller.holds for caller in callers)
        until(lambda: peer.connected, "it is back")
        again = large(peer, 100)
        until(lambda: all(caller.answers for caller in again))
        assert {error for error, _ in (caller.answers[1] for caller in again)} == {None}


def test_large_requests_that_wait_are_for_the_next_connection_when_one_is_about_to_be_there(
    world: World, gate: Gate
) -> None:
    """In their order, and before what their callers ask afterwards."""
    served: list[tuple[str, str]] = []

    def first(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()

    def second(connection: fakenode.Connection) -> None:
        hello(connection)
        while True:
            _, msgid, method, params = connection.request()
            requests = params if method == "BATCH" else [method, params]
            served.extend((each, inner[0]) for each, inner in zip(requests[::2], requests[1::2], strict=True) if inner)
            connection.respond(msgid, [True] * (len(requests) // 2) if method == "BATCH" else True)

    with gate.node(first, second) as node:
        peer = Peer(world.poller, node_at(node), SMALL, 10.0, node_wait=10.0)
        world.also(peer)
        peer.start()
        until(lambda: peer.connected)
        callers = [Asking() for _ in range(100)]
        for number, caller in enumerate(callers):
            call(peer, caller, 1, "PUT", f"{number}", b"x" * 64 * KIB)
            gevent.sleep(0)
        waiting = [number for number, caller in enumerate(callers) if caller.holds]
        gate.open()
        until(lambda: not any(caller.holds for caller in callers))
        for number in waiting:
            call(peer, callers[number], 2, "DEL", f"{number}")
        for number in waiting:
            assert callers[number].result(1) is True
            assert callers[number].result(2) is True
        for number in waiting:
            assert served.index(("PUT", f"{number}")) < served.index(("DEL", f"{number}"))
        assert [key for method, key in served if method == "PUT"] == [f"{number}" for number in waiting]


def test_answers_are_read_however_much_is_unsent(world: World, gate: Gate) -> None:
    """A node reads no further before its answers are read; two that wait for each other do so for ever."""
    sent = threading.Event()

    def script(connection: fakenode.Connection) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 512 * KIB)
        hello(connection)
        gate.wait()
        for _ in range(1000):
            connection.respond(2**31, b"x" * 64 * KIB)  # nobody's
        sent.set()
        while True:
            _, msgid, method, params = connection.request()
            connection.respond(msgid, [True] * (len(params) // 2) if method == "BATCH" else True)

    with gate.node(script) as node:
        peer = connected(world, node_at(node), limits=SMALL)
        callers = [Asking() for _ in range(2000)]
        for caller in callers:
            call(peer, caller, 1, "PUT", "k", b"x" * 16 * KIB)
        gevent.sleep(0)
        gate.open()
        until(sent.is_set, "its answers are read")
        until(lambda: all(caller.answers for caller in callers))
        assert {caller.answers[1] for caller in callers} == {(None, True)}


# --- a node that is busy ---------------------------------------------------------------------------------------------


def test_a_node_that_is_busy_is_not_silent_and_has_its_time_for_what_is_behind(
    world: World, log: Lines, gate: Gate
) -> None:
    """It answers, one after the other, for many times the time-out of a call, and gets to no PING meanwhile."""

    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        for _, msgid, _, _ in [connection.request() for _ in range(20)]:
            gate.wait(TIMEOUT / 4)
            connection.respond(msgid, True)
        hello_and_echo(connection)

    with gate.node(script) as node:
        peer = connected(world, node_at(node), TIMEOUT)
        caller = Asking()
        for msgid in range(20):
            call(peer, caller, msgid, "PUT", "k", b"x" * 20 * KIB)
        assert {caller.result(msgid) for msgid in range(20)} == {True}
        assert not log.having("lost")
        call(peer, caller, 20, "GET", "k")
        assert caller.result(20) == ("k",)


def test_a_node_that_reads_slowly_is_not_silent(world: World, log: Lines, gate: Gate) -> None:
    """As over a slow network: it cannot answer before all of the request has arrived."""
    size = 16 * KIB * KIB

    def script(connection: fakenode.Connection) -> None:
        # So that little is on its way, and the rest waits where it comes from.
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 512 * KIB)
        hello(connection)
        seen = 0
        while seen < size:
            gate.wait(TIMEOUT / 4)  # all in all as long as four calls may take
            data = connection.socket.recv(256 * KIB, socket.MSG_WAITALL)
            if not data:
                return
            seen += len(data)
        connection.respond(0, True)
        gate.wait()

    with gate.node(script) as node:
        peer = connected(world, node_at(node), 4 * TIMEOUT, Limits(max_value_bytes=size))
        caller = Asking()
        call(peer, caller, 1, "PUT", "k", b"x" * size)
        assert caller.result(1) is True
        assert not log.having("lost")


def test_a_call_that_waits_has_its_time_after_the_node_was_busy(world: World, gate: Gate) -> None:
    """What it has got to only now, and which waits for its database, does not fail at once."""
    got = threading.Event()

    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        first, waits = connection.request(), connection.request()
        for _ in range(12):
            gate.wait(TIMEOUT / 4)
            connection.respond(2**31, True)  # somebody's: it is busy
        connection.respond(first[1], True)
        _, ping, _, _ = connection.request()
        connection.respond(ping, "PONG")
        got.set()
        gate.wait(TIMEOUT / 3)
        connection.respond(waits[1], "in time")
        hello_and_echo(connection)

    with gate.node(script) as node:
        peer = connected(world, node_at(node), TIMEOUT)
        caller = Asking()
        call(peer, caller, 1, "PUT", "k", b"x" * 20 * KIB)
        call(peer, caller, 2, "GET", "k")
        until(got.is_set)
        assert caller.result(2) == "in time"
