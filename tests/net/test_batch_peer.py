"""A Peer's side of BATCH: what leaves in one turn of the loop, and who is told what of the answer."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import gevent
import pytest

from ckv import errors
from ckv.address import Address
from ckv.net.connection import Connection
from ckv.net.peer import Peer
from ckv.net.poller import send_all
from ckv.net.server import Server
from ckv.protocol.batch import BATCH_REQUESTS, Batch
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import BULKY_BYTES, MAX_PARTS_BYTES, Limits
from ckv.protocol.packing import MSGIDS
from ckv.protocol.session import Session
from tests.net.calling import Asking, call, connected, hello, node_at
from tests.net.conftest import Lines, World, until
from tests.support import fakenode
from tests.support.fakenode import FakeNode
from tests.support.wire import pack

TIMEOUT = 0.4
"""Seconds after which a call fails, in the tests that wait for it."""

GREETING = {"PING": "PONG", "HELLO": ["9.9.9", ["BATCH"]], "BATCH": []}
"""What a node answers to the three requests that a connection begins with."""

WIDE = "\U0001f600"
"""A character of four bytes."""


class Recording:
    """The script of a node that keeps the messages that it is sent, and answers each as a node does."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def __call__(self, connection: fakenode.Connection) -> None:
        while True:
            message = connection.request()
            _, msgid, method, params = message
            if method in ("PING", "HELLO") or (method == "BATCH" and not params):
                connection.respond(msgid, GREETING[method])
                continue
            self.messages.append(message)
            connection.respond(msgid, [True] * (len(params) // 2) if method == "BATCH" else True)

    @property
    def requests(self) -> list[tuple[str, list[Any]]]:
        """All the requests, as if each had come by itself."""
        found: list[tuple[str, list[Any]]] = []
        for _, _, method, params in self.messages:
            found += zip(params[::2], params[1::2], strict=True) if method == "BATCH" else [(method, params)]
        return found

    @property
    def counts(self) -> list[int]:
        """How many requests were in each of the messages."""
        return [len(params) // 2 if method == "BATCH" else 1 for _, _, method, params in self.messages]


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def peer(world: World, recording: Recording) -> Iterator[Peer]:
    with FakeNode(recording) as node:
        yield connected(world, node_at(node))


def answered(peer: Peer, caller: Asking, count: int) -> None:
    until(lambda: len(caller.answers) == count)
    assert set(caller.answers.values()) == {(None, True)}
    assert not peer.in_flight


# --- what leaves -----------------------------------------------------------------------------------------------------


def test_the_calls_of_one_turn_are_one_message(peer: Peer, recording: Recording) -> None:
    callers = [Asking(), Asking()]
    for msgid in range(20):
        call(peer, callers[msgid % 2], msgid, "PUT", f"key {msgid}", "value")
    assert peer.in_flight == 20
    peer.flush()
    assert peer.in_flight == 20
    for caller in callers:
        until(partial(caller.has, 10))
        assert set(caller.answers.values()) == {(None, True)}
    assert recording.counts == [20]
    assert recording.requests == [("PUT", [f"key {msgid}", "value"]) for msgid in range(20)]
    assert peer.in_flight == 0


def test_a_call_alone_is_an_ordinary_request(peer: Peer, recording: Recording) -> None:
    caller = Asking()
    for msgid in range(3):
        call(peer, caller, msgid, "GET", "k")
        assert caller.result(msgid) is True
    assert [message[2:] for message in recording.messages] == [["GET", ["k"]]] * 3


def test_requests_stay_in_their_order(peer: Peer, recording: Recording) -> None:
    """Those of one key must, whether they are large or small."""
    caller = Asking()
    sizes = [1, 1, BULKY_BYTES + 1, 1, BULKY_BYTES + 1, BULKY_BYTES + 1, 1, 1, 1, 100 * BULKY_BYTES, 1]
    for msgid, size in enumerate(sizes):
        call(peer, caller, msgid, "PUT", "k", f"{msgid}:".ljust(size, "x"))
    answered(peer, caller, len(sizes))
    assert [int(params[1].split(":")[0]) for _, params in recording.requests] == list(range(len(sizes)))
    assert recording.counts == [2, 1, 1, 1, 1, 3, 1, 1]


def test_more_calls_than_fit_into_one_message(peer: Peer, recording: Recording) -> None:
    caller = Asking()
    count = 3 * BATCH_REQUESTS + 1
    for msgid in range(count):
        call(peer, caller, msgid, "GET", f"{msgid}")
    answered(peer, caller, count)
    assert recording.counts == [BATCH_REQUESTS] * 3 + [1]
    assert [params for _, params in recording.requests] == [[f"{msgid}"] for msgid in range(count)]


@pytest.mark.parametrize("value", ["x" * 1000, "x" * (MAX_PARTS_BYTES // 5), WIDE * BULKY_BYTES], ids=len)
def test_no_message_is_too_long_and_the_number_recovers(peer: Peer, recording: Recording, value: str) -> None:
    caller = Asking()
    for msgid in range(BATCH_REQUESTS):
        call(peer, caller, msgid, "PUT", f"{msgid}", value)
    answered(peer, caller, BATCH_REQUESTS)
    assert [params[0] for _, params in recording.requests] == [f"{msgid}" for msgid in range(BATCH_REQUESTS)]
    lengths = [
        len(pack(message)) for message, count in zip(recording.messages, recording.counts, strict=True) if count > 1
    ]
    assert max(lengths, default=0) <= MAX_PARTS_BYTES
    single = len(pack(recording.messages[0])) // recording.counts[0]
    if 2 * single < MAX_PARTS_BYTES:
        assert min(recording.counts[:-1]) * single > MAX_PARTS_BYTES / 4, "nor needlessly short"

    caller = Asking()
    for msgid in range(4 * BATCH_REQUESTS):
        call(peer, caller, msgid, "GET", f"{msgid}")
    answered(peer, caller, 4 * BATCH_REQUESTS)
    assert BATCH_REQUESTS in recording.counts


def test_numbers_start_again_before_a_batch_that_would_pass_the_last(peer: Peer, recording: Recording) -> None:
    assert peer.session is not None
    peer.session.msgid = first = MSGIDS - 10
    caller = Asking()
    for turn in range(6):
        for number in range(3):
            call(peer, caller, 3 * turn + number, "GET", "k")
        answered(peer, caller, 3 * (turn + 1))
    # A BATCH of 3 takes 4 numbers, so there is room for two before the last one. A PING may take one, too.
    numbers = [msgid for _, msgid, method, _ in recording.messages if method == "BATCH" and msgid >= first]
    assert len(numbers) == 2
    assert numbers[-1] + 3 < MSGIDS
    again = [msgid for _, msgid, method, _ in recording.messages if method == "BATCH" and msgid < first]
    assert again[0] in (0, 1)
    assert len(again) == 4


# --- what comes back -------------------------------------------------------------------------------------------------


def scripted(connection: fakenode.Connection, *answers: Any) -> None:
    """Answers a BATCH with these messages, whose msgids count from that of the BATCH; then everything, with true."""
    hello(connection)
    _, msgid, method, _ = connection.request()
    assert method == "BATCH"
    connection.send(b"".join(pack([1, msgid + number, error, result]) for number, error, result in answers))
    try:
        while True:
            _, msgid, method, params = connection.request()
            connection.respond(msgid, [True] * (len(params) // 2) if method == "BATCH" else True)
    except ConnectionError:
        pass


def ask(peer: Peer, count: int) -> list[Asking]:
    """Makes this many calls in one turn, each for a caller of its own."""
    callers = [Asking() for _ in range(count)]
    for msgid, caller in enumerate(callers):
        call(peer, caller, msgid, "GET", f"{msgid}")
    return callers


def test_results_errors_and_answers_that_come_later(world: World) -> None:
    def script(connection: fakenode.Connection) -> None:
        scripted(
            connection,
            (0, None, [True, ["NoRoom: none"], None, [True, "x"], None, False]),
            (5, "KeyTooLong: it is", None),
            (3, None, [False, ""]),
        )

    with FakeNode(script) as node:
        peer = connected(world, node_at(node))
        callers = ask(peer, 6)
        until(lambda: all(caller.answers for caller in callers))
        assert [caller.answers[msgid] for msgid, caller in enumerate(callers)] == [
            (None, True), ("NoRoom: none", None), (None, (False, "")), (None, (True, "x")), ("KeyTooLong: it is", None),
            (None, False),
        ]  # fmt: skip
        assert peer.in_flight == 0


def test_answers_that_come_later_are_in_flight_until_then(world: World) -> None:
    _, address = world.serve()
    peer = connected(world, address)
    caller = Asking()
    for msgid, method in enumerate(["LATER", "LATER", "NONE"]):
        call(peer, caller, msgid, method)
    assert peer.in_flight == 3
    assert caller.error(2) == "UnknownMethod"
    assert peer.in_flight == 2
    world.later.answer()
    assert caller.result(0) == ()
    assert peer.in_flight == 1
    world.later.answer()
    assert caller.result(1) == ()
    assert peer.in_flight == 0


def test_an_error_for_the_whole_of_it(world: World) -> None:
    with FakeNode(lambda connection: scripted(connection, (0, "Overloaded: bye", None))) as node:
        peer = connected(world, node_at(node))
        callers = ask(peer, 3)
        assert [caller.error(msgid) for msgid, caller in enumerate(callers)] == ["Overloaded"] * 3
        assert peer.in_flight == 0
        call(peer, callers[0], 7, "GET", "k")
        assert callers[0].result(7) is True
        assert node.connections == 1


@pytest.mark.parametrize(
    "results",
    [
        [True, True],
        [True] * 4,
        [],
        None,
        True,
        "abc",
        {"a": 1},
        [True, {}, True],
        [True, [True, {}], True],
        [[{}], 1, 1],
    ],
    ids=repr,
)
def test_an_answer_of_a_wrong_shape_loses_the_connection(world: World, log: Lines, results: Any) -> None:
    with FakeNode(lambda connection: scripted(connection, (0, None, results)), Recording()) as node:
        peer = connected(world, node_at(node))
        callers = ask(peer, 3)
        assert [caller.error(msgid) for msgid, caller in enumerate(callers)] == ["NodeLost"] * 3
        assert log.having("lost: not ")
        assert peer.in_flight == 0
        until(lambda: peer.connected)
        call(peer, callers[0], 7, "GET", "k")
        assert callers[0].result(7) is True


def forwarding(world: World, peer: Peer) -> tuple[Server, Address]:
    """A server of FORWARD, whose params are a method and its params, as a primary is."""

    def forward(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        method, *inner = params
        call(peer, caller, msgid, str(method), *inner)
        return LATER

    return world.serve(FORWARD=forward)


def test_answers_go_to_the_connections_that_asked(world: World) -> None:
    """Results that stand side by side are packed in one go: none is lost, and each is counted."""

    def get(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        return True, params[0]

    _, address = world.serve(GET=get)
    server, address = forwarding(world, connected(world, address))
    askers = [world.ask(address) for _ in range(3)]
    methods = ["GET", "GET", "NONE", "GET", "ECHO", "GET", "GET"]
    for number, asker in enumerate(askers):
        asker.send(*([0, msgid, "FORWARD", [method, f"{number} {msgid}"]] for msgid, method in enumerate(methods)))
    for number, asker in enumerate(askers):
        got = {msgid: (error, result) for msgid, error, result in asker.answers(len(methods))}
        for msgid, method in enumerate(methods):
            error, result = got.pop(msgid)
            value = f"{number} {msgid}"
            if method == "NONE":
                assert error.startswith("UnknownMethod: ")
            else:
                assert (error, result) == (None, [True, value] if method == "GET" else [value])
        assert not got
    until(lambda: server.idle)
    assert server.in_flight == 0


def test_a_client_that_goes_before_its_answers_come(world: World) -> None:
    """The others get theirs."""
    _, address = world.serve()
    server, address = forwarding(world, connected(world, address))
    askers = [world.ask(address) for _ in range(2)]
    for asker in askers:
        asker.send(*([0, msgid, "FORWARD", ["LATER"]] for msgid in range(3)))
    until(lambda: len(world.later.asked) == 6)
    askers[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    askers[0].close()
    until(lambda: server.connections == 1)
    while world.later.asked:
        world.later.answer()
    assert sorted(askers[1].answers(3)) == [[msgid, None, []] for msgid in range(3)]
    assert server.in_flight == 0


def test_a_result_that_cannot_be_packed_leaves_the_other_clients_alone(world: World, log: Lines) -> None:
    """No node is known that could send one; but whoever was marked as to be flushed and is not waits for ever."""
    server, address = world.serve()
    askers = [world.ask(address) for _ in range(3)]
    for msgid, asker in enumerate(askers, start=1):
        asker.send([0, msgid, "LATER", []])
    until(lambda: len(world.later.asked) == 3)
    calls = sorted(((caller, msgid) for caller, msgid, _ in world.later.asked), key=lambda call: call[1])
    Batch(["GET", ("k",)] * 3, calls).answered(7, None, (True, object(), True), {}, lambda _batch, _error: False)
    assert server.in_flight == 0
    assert [askers[number].answer() for number in (0, 2)] == [[1, None, True], [3, None, True]]
    assert server.connections == 2
    assert len(log.having("unexpected error while answering")) == 1


@pytest.mark.parametrize("texts", [["a", "\udcff", "b"], ["\udcff", "\udcfe", "a"]])
def test_text_that_is_not_utf8_travels_among_other(world: World, texts: list[str]) -> None:
    asked: list[Any] = []

    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        _, msgid, method, params = connection.request()
        asked.extend([method, *params])
        connection.respond(msgid, [[True, text] for text in texts])

    server, address = world.serve()
    askers = [world.ask(address) for _ in texts]
    for msgid, asker in enumerate(askers):
        asker.send([0, msgid, "LATER", []])
    until(lambda: len(world.later.asked) == len(texts))
    with FakeNode(script) as node:
        peer = connected(world, node_at(node))
        for caller, msgid, _ in world.later.asked:
            call(peer, caller, msgid, "GET", texts[msgid])
        for msgid, asker in enumerate(askers):
            assert asker.answer() == [msgid, None, [True, texts[msgid]]]
    assert asked[0] == "BATCH"
    assert sorted(asked[2::2]) == sorted([text] for text in texts)
    assert server.in_flight == 0


def test_a_client_at_its_limit_goes_on_when_one_answer_came(world: World) -> None:
    """Its only one in that message."""
    with FakeNode(lambda connection: scripted(connection, (0, None, [True, True]))) as node:
        peer = connected(world, node_at(node))

        def forward(caller: Caller, msgid: int, _params: tuple[object, ...]) -> object:
            peer.call("GET", ("k",), caller, msgid)
            return LATER

        server, address = world.serve(Limits(max_in_flight=2), FORWARD=forward)
        held, other = world.ask(address), world.ask(address)
        held.send([0, 1, "LATER", []])
        until(lambda: world.later.asked)
        held.send([0, 2, "FORWARD", []])
        other.send([0, 3, "FORWARD", []])
        assert held.answer() == [2, None, True]
        assert other.answer() == [3, None, True]
        held.send([0, 4, "ECHO", []])
        assert held.answer() == [4, None, []]
        assert server.in_flight == 1
        world.later.answer()


def test_a_closed_connection_writes_nothing(world: World) -> None:
    """Its number may be that of another client's socket by then."""
    _, address = world.serve()
    asker = world.ask(address)
    asker.send([0, 1, "LATER", []])
    until(lambda: world.later.asked)
    session = world.later.asked[0][0]
    assert isinstance(session, Session)
    connection = session.line
    assert isinstance(connection, Connection)
    number = connection.fd
    connection.close("gone")
    pairs = [socket.socketpair()]
    while number not in (sock.fileno() for sock in chain(*pairs)):
        assert len(pairs) < 100
        pairs.append(socket.socketpair())
    session.respond(1, None, "for somebody else")
    connection.post(b"the same")
    send_all(((connection, b"and this"),))
    connection.flush()
    for sock in chain(*pairs):
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(100)
    for sock in chain(*pairs):
        sock.close()


def test_an_answer_of_a_wrong_shape_takes_no_other_with_it(world: World) -> None:
    """A Packer that meets what it cannot pack forgets what it holds, which is what a client had been answered."""
    wrong = (0, None, [True, True, [True, {}], True])
    with FakeNode(lambda connection: scripted(connection, wrong)) as node:
        server, address = forwarding(world, connected(world, node_at(node)))
        asker = world.ask(address)
        asker.send(*([0, msgid, "FORWARD", ["GET", "k"]] for msgid in range(4)))
        answers = asker.answers(4)
        assert sorted(msgid for msgid, _, _ in answers) == list(range(4))
        assert all(error.startswith("NodeLost: ") for _, error, _ in answers)
        until(lambda: server.idle)
        assert server.in_flight == 0


# --- time-outs -------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_not_answered_in_time(world: World) -> None:
    gate = threading.Event()
    late: list[int] = []

    def script(connection: fakenode.Connection) -> None:
        hello(connection)
        waiting = 0
        while True:
            _, msgid, method, params = connection.request()
            if method == "BATCH":
                waiting = msgid
            elif method == "PING":
                connection.respond(msgid, "PONG")
                if gate.is_set() and not late:
                    late.append(waiting)
                    connection.respond(waiting, [None, True, None])
                    connection.respond(waiting + 1, True)
            else:
                connection.respond(msgid, params)

    with FakeNode(script) as node:
        peer = connected(world, node_at(node), TIMEOUT)
        callers = ask(peer, 3)
        assert [caller.error(msgid) for msgid, caller in enumerate(callers)] == ["CallTimeout"] * 3
        assert peer.in_flight <= 1, "a PING, maybe"
        gate.set()
        until(lambda: late, "the answer that is too late")
        call(peer, callers[0], 7, "GET", "k")
        assert callers[0].result(7) == ("k",)
        assert [len(caller.answers) for caller in callers] == [2, 1, 1]
        assert peer.in_flight <= 1
        assert node.connections == 1


def test_what_comes_later_and_not_in_time(world: World) -> None:
    """It is as old as its BATCH, whose answer came in time."""
    server, address = world.serve()
    peer = connected(world, address, TIMEOUT)
    caller = Asking()
    call(peer, caller, 1, "LATER", "late")
    call(peer, caller, 2, "NONE")
    assert caller.error(2) == "UnknownMethod"
    assert caller.error(1) == "CallTimeout"
    until(lambda: len(world.later.asked) == 1)
    world.later.answer()
    call(peer, caller, 3, "ECHO", "y")
    assert caller.result(3) == ("y",)
    assert len(caller.answers) == 3
    assert server.connections == 1


def test_what_comes_later_has_the_time_that_its_batch_has_left(world: World) -> None:
    """Half of the time-out went by before the answer to the BATCH: there is another half, not a whole one."""
    _, address = world.serve()
    peer = connected(world, address, call_timeout=3600)
    caller = Asking()
    call(peer, caller, 1, "LATER")
    call(peer, caller, 2, "NONE")
    peer.flush()
    peer.tick()
    assert caller.error(2) == "UnknownMethod"
    assert 1 not in caller.answers
    peer.tick()
    assert caller.error(1) == "CallTimeout"


# --- loss ------------------------------------------------------------------------------------------------------------


def connection_of(peer: Peer) -> Connection:
    assert peer.connection is not None
    return peer.connection


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("size", [1, BULKY_BYTES + 1])
def test_a_connection_that_is_lost(world: World, recording: Recording, flushed: bool, size: int) -> None:
    with FakeNode(recording) as node:
        peer = connected(world, node_at(node))
        callers = [Asking() for _ in range(5)]
        for caller in callers:
            call(peer, caller, 1, "PUT", "before", "x" * size)
        if flushed:
            peer.flush()
        connection_of(peer).close("broken")
        assert [caller.error(1) for caller in callers] == ["NodeLost"] * 5
        assert peer.in_flight == 0
        with pytest.raises(errors.NodeDown):
            call(peer, callers[0], 2)
        until(lambda: peer.connected)
        call(peer, callers[0], 3, "GET", "after")
        assert callers[0].result(3) is True
        assert all(len(caller.answers) == 1 for caller in callers[1:])
        after = [params[0] for _, params in recording.requests]
        assert after[-1] == "after"
        assert flushed or after == ["after"], "nothing is sent to another connection"


def test_a_loss_that_is_noticed_while_sending(world: World, recording: Recording) -> None:
    """Whoever else is to be sent to in the same turn is."""
    with FakeNode(recording) as node:
        peer = connected(world, node_at(node))
        _, address = world.serve()
        other = connected(world, address)
        caller, second = Asking(), Asking()
        call(peer, caller, 1, "PUT", "k", "x" * 10 * BULKY_BYTES)
        call(other, second, 1, "ECHO", "x")
        with socket.socket(fileno=os.dup(connection_of(peer).fd)) as same:
            same.shutdown(socket.SHUT_WR)  # The next write fails.
        assert second.result(1) == ("x",)
        assert caller.error(1) == "NodeLost"
        until(lambda: peer.connected)


def test_a_peer_that_is_closed_with_calls_of_this_turn(world: World) -> None:
    _, address = world.serve()
    peer = connected(world, address)
    callers = ask(peer, 3)
    peer.close()
    assert [caller.error(msgid) for msgid, caller in enumerate(callers)] == ["NodeLost"] * 3
    gevent.sleep(0)
    assert not world.later.asked
    assert peer.in_flight == 0


def test_a_congested_node_holds_whoever_calls(world: World) -> None:
    gate = threading.Event()

    def slow(connection: fakenode.Connection) -> None:
        hello(connection)
        gate.wait()
        Recording()(connection)

    with FakeNode(slow) as node:
        try:
            peer = connected(world, node_at(node), limits=Limits(soft_unsent_bytes=MAX_PARTS_BYTES))
            caller = Asking()
            made = 0
            while not caller.holds:
                for _ in range(BATCH_REQUESTS):
                    call(peer, caller, made, "PUT", "k", "x" * 1000)
                    made += 1
                gevent.sleep(0)
        finally:
            gate.set()
        until(lambda: len(caller.answers) == made)
        assert not caller.holds
