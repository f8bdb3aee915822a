"""Turns over the sockets that are ready. Each is reported once, so whatever is left unread must not be forgotten."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from typing import ClassVar

import gevent
import pytest

from ckv import errors
from ckv.net import poller
from ckv.net.inbox import Inbox
from ckv.net.poller import Polled
from ckv.net.transport import Transport
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import RECV_BYTES, RECV_BYTES_OF_LARGE, RECV_BYTES_OF_ONE, RECV_BYTES_OF_SMALL, Limits
from tests.net.calling import connected, hello, node_at
from tests.net.conftest import Asker, Lines, World, until
from tests.support import fakenode
from tests.support.fakenode import FakeNode
from tests.support.wire import pack


def filled(size: int, msgid: int = 1, method: str = "ECHO") -> bytes:
    """A request of exactly so many bytes."""
    for length in range(size - 20, size):
        message = pack([0, msgid, method, ["x" * length]])
        if len(message) == size:
            return message
    raise AssertionError(f"no request of {size} bytes")


@pytest.mark.parametrize("size", [RECV_BYTES_OF_ONE, RECV_BYTES_OF_SMALL, RECV_BYTES, RECV_BYTES_OF_LARGE])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("before", [0, 1])
def test_what_fills_a_read_is_followed_by_another_one(world: World, size: int, more: int, before: int) -> None:
    """Also after small requests, when less is read at a time."""
    _, address = world.serve()
    asker = world.ask(address)
    for msgid in range(3):
        for _ in range(before):
            asker.send([0, msgid, "PING", []])
            assert asker.answer()[0] == msgid
        message = filled(size + more, msgid)
        asker.socket.sendall(message)
        assert asker.answer()[0] == msgid


def test_a_read_takes_as_much_as_the_last_one_let_expect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    read = os.read

    def note(fd: int, size: int) -> bytes:
        data = read(fd, size)
        sizes.append(size)
        return data

    monkeypatch.setattr(os, "read", note)
    _, address = world.serve()
    asker = world.ask(address)
    for size in (20, 20, RECV_BYTES_OF_ONE + 1, 1000, 20, 20, RECV_BYTES_OF_SMALL + 1, 1000, 1000, 20):
        asker.socket.sendall(filled(size))
        assert asker.answer()[0] == 1
    one, small, usual = RECV_BYTES_OF_ONE, RECV_BYTES_OF_SMALL, RECV_BYTES
    assert sizes == [small, one, one, usual, usual, small, one, one, usual, usual, small, small]


def test_reads_are_larger_as_long_as_they_are_filled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends a lot is answered for more with each turn, and woken less often."""
    sizes: list[int] = []
    read = os.read

    def note(fd: int, size: int) -> bytes:
        sizes.append(size)
        return read(fd, size)

    monkeypatch.setattr(os, "read", note)
    _, address = world.serve()
    asker = world.ask(address)
    count = 6 * RECV_BYTES // len(pack([0, 1000, "PING", []]))
    asker.send(*([0, msgid, "PING", []] for msgid in range(count)))
    assert len(asker.answers(count)) == count
    assert sizes[:3] == [RECV_BYTES_OF_SMALL, RECV_BYTES, RECV_BYTES_OF_LARGE]


def test_more_than_one_read_takes_is_served_though_nothing_else_arrives(world: World) -> None:
    _, address = world.serve()
    asker = world.ask(address)
    count = 3 * RECV_BYTES // len(pack([0, 1000, "PING", []]))
    asker.send(*([0, msgid, "PING", []] for msgid in range(count)))
    assert [answer[0] for answer in asker.answers(count)] == list(range(count))


@pytest.mark.parametrize("requests", [1, 2])
def test_the_end_of_input_is_noticed_when_it_comes_with_the_last_request(world: World, requests: int) -> None:
    server, address = world.serve()
    asker = world.ask(address)
    # One packet with both: nothing else will ever be reported about this socket.
    asker.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    asker.send(*([0, msgid, "PING", []] for msgid in range(requests)))
    asker.finish()
    assert len(asker.answers(requests)) == requests
    assert asker.answer() == []
    until(lambda: server.connections == 0)


def test_what_leaves_with_what_a_node_answered_does_not_leave_again(world: World) -> None:
    """In one turn: clients are answered, and then another node's answer to somebody else comes in."""
    asked = threading.Event()
    let = threading.Event()

    def node(connection: fakenode.Connection) -> None:
        hello(connection)
        _, msgid, _, _ = connection.request()
        asked.set()
        let.wait()
        connection.respond(msgid, "from the node")
        connection.wait_closed()

    def forward(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        peer.call("GET", params, caller, msgid)
        return LATER

    def wait(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        assert peer.connection is not None
        let.set()
        select.select([peer.connection.fd], [], [])
        return "waited"

    with FakeNode(node) as fake:
        peer = connected(world, node_at(fake))
        _, address = world.serve(FORWARD=forward, WAIT=wait)
        first, *others = (world.ask(address) for _ in range(1 + 2 * poller.FEW_SOCKETS))
        for asker in others:  # Their sessions begin.
            asker.send([0, 1, "PING", []])
            asker.answer()
        first.send([0, 1, "FORWARD", ["k"]])
        until(asked.is_set)
        for asker in others:
            asker.send([0, 2, "WAIT", []])
        assert first.answer() == [1, None, "from the node"]
        for asker in others:
            asker.send([0, 3, "PING", []])
            assert asker.answers(2) == [[2, None, "waited"], [3, None, []]]


@pytest.mark.parametrize("rest", [b"", b"\xc1"])
def test_what_was_answered_in_a_turn_is_sent_though_the_connection_ends_in_it(world: World, rest: bytes) -> None:
    """So many are ready that the turn goes on, and finds the end of input, or rubbish, behind what it has answered."""

    def end(_caller: Caller, msgid: int, _params: tuple[object, ...]) -> object:
        sock = askers[msgid].socket
        if rest:
            os.write(sock.fileno(), rest)
        else:
            sock.shutdown(socket.SHUT_WR)
        return msgid

    server, address = world.serve(END=end)
    askers = [world.ask(address) for _ in range(2 * poller.FEW_SOCKETS)]
    for asker in askers:  # Their sessions begin.
        asker.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asker.send([0, 1, "PING", []])
        asker.answer()
    for msgid, asker in enumerate(askers):
        asker.socket.sendall(pack([0, msgid, "END", []]))
    for msgid, asker in enumerate(askers):
        assert asker.answer() == [msgid, None, msgid]
        assert asker.answer() == []
    until(lambda: server.connections == 0)


def test_what_arrived_while_it_was_held_is_read_when_it_is_released(world: World) -> None:
    server, address = world.serve(Limits(max_in_flight=2))
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []], [0, 2, "LATER", []])
    until(lambda: len(world.later.asked) == 2)
    asker.send([0, 3, "PING", []])
    asker.finish()
    world.turn(address)
    assert server.in_flight == 2
    world.later.answer()
    world.later.answer()
    assert sorted(answer[0] for answer in asker.answers(3)) == [1, 2, 3]
    assert asker.answer() == []


def test_requests_of_one_connection_are_served_in_their_order(world: World) -> None:
    """Also when it is read in a turn both for what was left and for what has arrived since."""
    seen: list[int] = []

    def note(_caller: Caller, msgid: int, _params: tuple[object, ...]) -> object:
        seen.append(msgid)
        return None

    _, address = world.serve(NOTE=note)
    asker = world.ask(address)
    for first in range(0, 3000, 300):
        # About one read and a half, then one by one into the turns that follow.
        asker.send(*([0, msgid, "NOTE", ["x" * 20]] for msgid in range(first, first + 290)))
        for msgid in range(first + 290, first + 300):
            asker.send([0, msgid, "NOTE", []])
    asker.answers(3000)
    assert seen == list(range(3000))


def test_more_sockets_than_a_turn_takes(world: World) -> None:
    _, address = world.serve()
    askers = [world.ask(address) for _ in range(2 * poller.SOCKETS_PER_TURN + 1)]
    for number, asker in enumerate(askers):
        asker.send([0, number, "ECHO", [number]])
    assert [asker.answer() for asker in askers] == [[number, None, [number]] for number in range(len(askers))]


def test_an_error_in_one_connection_costs_the_others_nothing(world: World, log: Lines) -> None:
    """An error of the program itself, which nobody foresaw: a result that has no form in msgpack."""
    server, address = world.serve(STRANGE=lambda _caller, _msgid, _params: object())
    before, unlucky, after = (world.ask(address) for _ in range(3))
    unlucky.send([0, 1, "PING", []])
    unlucky.answer()
    before.send([0, 1, "PING", []], [0, 2, "PING", []])
    unlucky.send([0, 1, "STRANGE", []])
    after.send([0, 1, "PING", []], [0, 2, "PING", []])
    assert len(before.answers(2)) == len(after.answers(2)) == 2
    assert unlucky.answer() == []
    until(lambda: server.connections == 2)
    assert log.having("unexpected error")


def test_other_nodes_are_told_before_clients_are_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They can work while the answers are being written."""
    written: list[str] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        written.append("client" if b"PONG" in data else "node")
        return write(fd, data)

    def pong(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        return "PONG"

    def forward(caller: Caller, msgid: int, _params: tuple[object, ...]) -> object:
        peer.call("ECHO", (), caller, msgid)
        return LATER

    monkeypatch.setattr(os, "write", note)
    _, node = world.serve()
    peer = world.peer(node)
    until(lambda: peer.connected)
    _, address = world.serve(PONG=pong, FORWARD=forward)
    asker = world.ask(address)
    written.clear()
    asker.send([0, 1, "PONG", []], [0, 2, "FORWARD", []])
    assert sorted(answer[0] for answer in asker.answers(2)) == [1, 2]
    assert written[:2] == ["node", "client"]


@pytest.mark.parametrize("waits_for_more", [False, True])
def test_a_client_is_answered_before_the_next_requests_leave_if_it_waits_for_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, waits_for_more: bool
) -> None:
    """All in one turn, in which a node's answer comes together with another client's request."""
    batches: list[tuple[int, list[object]]] = []
    answer = threading.Event()

    def node(connection: fakenode.Connection) -> None:
        hello(connection)
        for _ in range(2 if waits_for_more else 1):
            _, msgid, _, params = connection.request()
            batches.append((msgid, params))
        answer.wait()
        connection.respond(batches[0][0], ["first"] * 2)
        connection.wait_closed()

    def forward(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        peer.call("GET", params, caller, msgid)
        return LATER

    written: list[str] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        written.append("client" if b"first" in data else "node")
        return write(fd, data)

    monkeypatch.setattr(os, "write", note)
    with FakeNode(node) as fake:
        peer = connected(world, node_at(fake))
        _, address = world.serve(FORWARD=forward)
        asker, other = world.ask(address), world.ask(address)
        asker.send([0, 1, "FORWARD", ["k"]], [0, 2, "FORWARD", ["k"]])
        until(lambda: len(batches) == 1)
        if waits_for_more:
            asker.send([0, 3, "FORWARD", ["k"]])
            until(lambda: len(batches) == 2)
        written.clear()
        other.socket.sendall(pack([0, 1, "FORWARD", ["k"]]))
        answer.set()
        assert peer.connection is not None
        select.select([peer.connection.fd], [], [])  # and no turn of the loop
        world.poller.turn()
    assert written == (["node", "client"] if waits_for_more else ["client", "node"])
    assert sorted(answer[0] for answer in asker.answers(2)) == [1, 2]


@pytest.mark.parametrize(
    ("answered", "bytes_each", "reads"),
    [
        (True, 50, 1),
        (False, 50, poller.SOCKETS_PER_TURN),
        (False, poller.BYTES_OF_A_SOCKET - 1, poller.SOCKETS_PER_TURN),
        (False, poller.BYTES_OF_A_SOCKET, poller.SOCKETS_PER_TURN // 2),
    ],
)
def test_the_rest_of_the_node_has_its_turn_though_a_socket_is_always_ready(
    world: World, answered: bool, bytes_each: int, reads: int
) -> None:
    """Few that are ready are read on and on as long as nobody waits for an answer, but not for ever."""
    served: list[int] = []
    turned: list[int] = []

    def serve(_caller: Caller, msgid: int, _params: tuple[object, ...]) -> object:
        if not served:
            world.poller.loop.run_callback(lambda: turned.append(len(served)))
        served.append(msgid)
        if not turned and len(served) < 1000:
            os.write(asker.socket.fileno(), filled(bytes_each, msgid + 1, "SERVE"))
        return None if answered else LATER

    _, address = world.serve(Limits(max_in_flight=2000), SERVE=serve)
    asker = world.ask(address)
    asker.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2):  # so that one read takes such a request
        asker.socket.sendall(filled(bytes_each))
        asker.answer()
    asker.socket.sendall(filled(bytes_each, 0, "SERVE"))
    until(lambda: bool(turned))
    assert turned == [reads]


def test_a_lone_request_that_is_refused_is_answered(world: World) -> None:
    def refuse(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        raise errors.BadArguments("no")

    _, address = world.serve(REFUSE=refuse)
    asker = world.ask(address)
    asker.send([0, 1, "REFUSE", []])
    msgid, error, result = asker.answer()
    assert (msgid, result) == (1, None)
    assert isinstance(errors.from_wire(error), errors.BadArguments)


def test_turns_do_not_multiply() -> None:
    """One that was asked for, and one that the loop has anyway, must not make it two that are asked for, and so on."""

    class Watcher:
        def start(self, callback: object) -> None: ...
        def stop(self) -> None: ...
        def close(self) -> None: ...

    class Loop:
        callbacks: ClassVar[list[Callable[[], None]]] = []

        def io(self, _fd: int, _events: int) -> Watcher:
            return Watcher()

        def run_callback(self, callback: Callable[[], None]) -> None:
            self.callbacks.append(callback)

    loop = Loop()
    turning = poller.Poller(loop)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        closed = Polled(Transport(ours), [], calls=False)
        turning.add(closed)
        turning.remove(closed)
    for _ in range(3):
        turning.again(closed)
        turning.turn()
    assert len(loop.callbacks) == 1
    loop.callbacks.pop()()
    turning.again(closed)
    assert len(loop.callbacks) == 1
    turning.close()
    loop.callbacks.pop()()  # what was asked for and comes too late


def test_what_a_socket_brought_is_served_before_it_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it was reported. The buffer of its connection has room for one read behind half a message."""
    unserved: list[int] = []
    read = os.read

    def note(fd: int, size: int) -> bytes:
        data = read(fd, size)
        unserved.append(fd)
        assert unserved.count(fd) == 1, "read twice"
        return data

    receive_all = Inbox.receive_all

    def served(self: Inbox) -> object:
        unserved.clear()
        return receive_all(self)

    monkeypatch.setattr(os, "read", note)
    monkeypatch.setattr(Inbox, "receive_all", served)
    _, address = world.serve(PUT=lambda _caller, _msgid, _params: True)
    askers = [world.ask(address) for _ in range(3)]
    values = ["x" * length for length in (20, 5_000, 70_000, 300_000, 1_000_000)]

    def send(asker: Asker) -> None:
        for msgid in range(100):
            asker.send([0, msgid, "PUT", [values[msgid % len(values)]]])

    senders = [gevent.spawn(send, asker) for asker in askers]
    for asker in askers:
        assert [answer[0] for answer in asker.answers(100)] == list(range(100))
    gevent.joinall(senders, raise_error=True)


def test_those_that_send_a_lot_do_not_keep_the_others_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn reads as much from them as can be served quickly, however many they are, and each has its turn."""
    most: list[int] = []
    receive_all = Inbox.receive_all

    def note(self: Inbox) -> object:
        most.append(sum(len(data) for _, data in self.inbox))
        return receive_all(self)

    monkeypatch.setattr(Inbox, "receive_all", note)
    _, address = world.serve(PUT=lambda _caller, _msgid, _params: True)
    askers = [world.ask(address) for _ in range(200)]

    def send(asker: Asker) -> None:
        for msgid in range(3):
            asker.send([0, msgid, "PUT", ["x" * 300_000]])

    senders = [gevent.spawn(send, asker) for asker in askers]
    for asker in askers:
        assert [answer[0] for answer in asker.answers(3)] == [0, 1, 2]
    gevent.joinall(senders, raise_error=True)
    assert max(most) <= poller.SOCKETS_PER_TURN * RECV_BYTES + poller.BYTES_LEFT_BEHIND + RECV_BYTES_OF_LARGE
