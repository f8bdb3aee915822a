"""Places for clients and for operators, and clients that are silent: a Server over real sockets, on gevent's loop."""

from __future__ import annotations

import errno
import socket as plain_socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from ckv import events
from ckv.net import listening, lobby
from ckv.net import server as servers
from ckv.net.connection import kind_of
from ckv.net.lobby import MOST_GUESTS
from ckv.net.server import Server
from ckv.protocol.limits import Limits
from ckv.protocol.msgpackrpc import RpcSession
from tests.net.conftest import Asker, Lines, World, until
from tests.support.wire import pack

Full = Callable[[int], tuple[Server, Callable[[], Asker], list[Asker]]]


@pytest.fixture
def full(world: World) -> Full:
    """A server with so many places, all of them taken: the server, a way to connect, and the clients."""

    def make(places: int) -> tuple[Server, Callable[[], Asker], list[Asker]]:
        server, address = world.serve(Limits(max_connections=places), INFO=lambda _caller, _msgid, _params: "figures")
        clients = [world.ask(address) for _ in range(places)]
        for client in clients:
            assert ask(client, "ECHO") == [1, None, []]
        return server, lambda: world.ask(address), clients

    return make


def ask(asker: Asker, method: str) -> list[Any]:
    asker.send([0, 1, method, []])
    return asker.answer()


def refused(asker: Asker) -> bool:
    """Whether a request for a record is refused, and the connection lives on."""
    _, error, result = ask(asker, "ECHO")
    return result is None and "Overloaded: all " in error


# --- places ----------------------------------------------------------------------------------------------------------


def test_operators_are_answered_when_all_places_are_taken(full: Full, log: Lines) -> None:
    server, connect, clients = full(3)
    for _ in range(2 * MOST_GUESTS):
        operator = connect()
        assert ask(operator, "INFO") == [1, None, "figures"]
        assert ask(operator, "PING") == [1, None, []]
    assert server.connections == 3 + MOST_GUESTS
    assert server.rejected == 2 * MOST_GUESTS
    assert all(ask(client, "ECHO") == [1, None, []] for client in clients)
    assert log.having("all 3 places are taken (--max-connections)")


def test_a_client_beyond_the_places_gets_an_error_and_the_first_place_that_comes_free(full: Full) -> None:
    server, connect, clients = full(2)
    late = connect()
    assert refused(late)
    late.send([0, 1, "BATCH", ["ECHO", []]])
    assert late.answer()[2][0][0].startswith("Overloaded: ")
    late.send([2, "ECHO", []])  # a notification, which nobody answers
    assert refused(late)
    clients[0].close()
    until(lambda: server.connections == 2)
    assert ask(late, "ECHO") == [1, None, []]
    assert refused(connect())
    late.send([0, 1, "LATER", []], [0, 2, "ECHO", ["a"]])
    assert late.answer() == [2, None, ["a"]]


def say_hello(asker: Asker) -> object:
    asker.send([0, 1, "HELLO", []])
    return asker.answer()[1]


def test_another_node_is_served_though_all_places_are_taken(full: Full) -> None:
    """A primary looks connected in the lobby, and all of its clients would get errors."""
    server, connect, clients = full(2)
    node = connect()
    node.send([0, 1, "PING", []], [0, 2, "HELLO", []], [0, 3, "BATCH", []], [0, 4, "ECHO", []])
    assert [error for _, error, _ in node.answers(4)] == [None] * 4
    assert ask(node, "ECHO") == [1, None, []]
    assert refused(connect()), "it has not taken a place, and has none to give"
    assert all(ask(client, "ECHO") == [1, None, []] for client in clients)
    node.close()
    until(lambda: server.connections == 3)
    clients[0].close()
    until(lambda: server.connections == 2)
    assert say_hello(connect()) is None
    assert refused(connect()), "where there is a place, a node has that"


def test_whom_to_trust_has_to_be_said_again_when_a_guest_has_a_place(full: Full) -> None:
    server, connect, clients = full(1)
    guest = connect()
    assert refused(guest)
    (connection,) = server._lobby.guests
    assert connection.session is not None
    assert not server.trust(connection.session, True)
    clients[0].close()
    until(lambda: server.connections == 1)
    assert ask(guest, "ECHO") == [1, None, []]
    assert server.trust(connection.session, True)


def test_nodes_have_half_of_the_lobby(full: Full) -> None:
    server, connect, _ = full(1)
    nodes = [connect() for _ in range(MOST_GUESTS)]
    assert [say_hello(node) for node in nodes] == [None] * MOST_GUESTS
    assert [ask(node, "ECHO")[1] for node in nodes[: MOST_GUESTS // 2]] == [None] * (MOST_GUESTS // 2)
    assert all(refused(node) for node in nodes[MOST_GUESTS // 2 :])
    for _ in range(2 * MOST_GUESTS):
        assert ask(connect(), "INFO") == [1, None, "figures"]
    assert server.connections <= 1 + MOST_GUESTS
    assert ask(nodes[0], "ECHO")[1] is None
    nodes[0].close()
    until(lambda: server.connections <= MOST_GUESTS)
    node = connect()
    assert say_hello(node) is None
    assert ask(node, "ECHO")[1] is None


def test_whoever_is_silent_cannot_keep_an_operator_out(full: Full) -> None:
    server, connect, _ = full(1)
    silent = [connect() for _ in range(3 * MOST_GUESTS)]
    until(lambda: server.rejected == 3 * MOST_GUESTS)
    assert server.connections <= 1 + MOST_GUESTS
    operator = connect()
    assert ask(operator, "INFO") == [1, None, "figures"]
    silent += [connect() for _ in range(3 * MOST_GUESTS)]
    until(lambda: server.rejected == 6 * MOST_GUESTS + 1)
    assert ask(operator, "INFO") == [1, None, "figures"], "an operator stays before whoever is silent"


def test_a_guest_that_says_nothing_has_to_go(full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby, "GUEST_SILENCE", 0.1)
    monkeypatch.setattr(servers, "TICK", 0.02)
    server, connect, clients = full(1)
    assert connect().answer() == []
    assert server.connections == 1
    assert ask(clients[0], "ECHO") == [1, None, []]


def test_requests_that_arrive_together_with_a_connection_that_is_refused(full: Full) -> None:
    """Many clients that come back at once, each with its request: each is told, and an operator among them served."""
    server, connect, _ = full(1)
    crowd = [connect() for _ in range(20)]
    for asker in crowd:
        asker.send([0, 1, "ECHO", []], [0, 2, "ECHO", []], [0, 3, "PING", []])
    for asker in crowd:
        answers = asker.answers(3)
        assert [number for number, error, _ in answers if error is None] == [3]
    assert server.in_flight == 0


# --- messages that do not end ----------------------------------------------------------------------------------------

REQUEST = pack([0, 1, "ECHO", ["x" * 300]])
UNFINISHED = 0.4
"""Seconds that stand for the minute."""


@pytest.mark.parametrize(
    "begin",
    [
        REQUEST[:1],
        REQUEST[:-1],
        REQUEST + REQUEST[:3],
        REQUEST * 50 + REQUEST[:200],
        pack([0, 1, "ECHO", ["x" * 300_000]])[:-1],
    ],
    ids=["the first byte", "all but the last", "after another", "after many", "a large one"],
)
def test_a_message_that_never_ends_is_cut(world: World, log: Lines, begin: bytes) -> None:
    server, address = world.serve(Limits(unfinished_seconds=UNFINISHED))
    asker = world.ask(address)
    asker.socket.sendall(begin)
    for _ in range((len(begin) - 1) // len(REQUEST) if len(begin) < 100_000 else 0):
        assert asker.answer() == [1, None, ["x" * 300]]
    assert asker.answer() == []
    until(lambda: server.connections == 0)
    assert log.having(f"nothing came of the rest of a message for {UNFINISHED} s")


def test_silence_between_two_messages_is_nobodys_concern(world: World, log: Lines) -> None:
    server, address = world.serve(Limits(unfinished_seconds=UNFINISHED))
    never_spoke, spoke, piped, late = (world.ask(address) for _ in range(4))
    spoke.send([0, 1, "ECHO", []])
    piped.send(*[[0, number, "ECHO", ["x" * 5000]] for number in range(10)])
    late.send([0, 9, "LATER", []])
    assert spoke.answer() == [1, None, []]
    assert len(piped.answers(10)) == 10
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 4 * UNFINISHED)
    for asker in (never_spoke, spoke, piped):
        assert ask(asker, "ECHO") == [1, None, []]
    world.later.answer()
    assert late.answer() == [9, None, []]
    assert server.connections == 4
    assert not log.having("closed")


def test_the_buffers_of_whoever_is_silent_are_given_back(world: World) -> None:
    _, address = world.serve(Limits(unfinished_seconds=UNFINISHED))
    asker = world.ask(address)
    asker.send(*[[0, number, "ECHO", ["x" * 5000]] for number in range(10)])
    asker.answers(10)
    asker.send([0, 10, "LATER", []])
    until(lambda: world.later.asked)
    session = world.later.asked[0][0]
    assert isinstance(session, RpcSession)
    world.later.answer()
    asker.answer()
    assert session._unpacker is not None
    until(lambda: session._unpacker is None)
    assert ask(asker, "ECHO") == [1, None, []]


def test_a_slow_sender_may_take_its_time(world: World) -> None:
    _, address = world.serve(Limits(unfinished_seconds=UNFINISHED))
    asker = world.ask(address)
    for at in range(0, len(REQUEST), 40):
        asker.socket.sendall(REQUEST[at : at + 40])
        gevent.sleep(UNFINISHED / 4)
    assert asker.answer() == [1, None, ["x" * 300]]


def test_who_is_not_read_for_a_while_is_not_cut(world: World) -> None:
    """The rest of its message is there, and the node does not read it: too many of its requests are under way."""
    limits = Limits(unfinished_seconds=UNFINISHED, max_in_flight=2)
    server, address = world.serve(limits)
    asker = world.ask(address)
    asker.socket.sendall(pack([0, 1, "LATER", []]) + pack([0, 2, "LATER", []]) + REQUEST[:-1])
    until(lambda: len(world.later.asked) == 2)
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 3 * UNFINISHED)
    asker.socket.sendall(REQUEST[-1:])
    world.later.answer()
    world.later.answer()
    assert sorted(answer[0] for answer in asker.answers(3)) == [1, 1, 2]
    assert server.connections == 1


# --- no open file, no memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_accepting_pauses_when_nothing_is_left(
    world: World, log: Lines, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """Over and over: a timer of libev that is started again without care fires at once."""
    server, address = world.serve()
    assert server._listener is not None
    real: plain_socket.socket = server._listener._sock
    tries: list[float] = []

    class Poor:
        def accept(self) -> tuple[plain_socket.socket, Any]:
            tries.append(time.monotonic())
            if len(tries) > 5:
                return real.accept()
            raise OSError(getattr(errno, number), "nothing is left")

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    monkeypatch.setattr(server._listener, "_sock", Poor())
    asker = world.ask(address)
    assert ask(asker, "ECHO") == [1, None, []]
    # The loop has a clock of its own, which lags; without a pause it would be a fiftieth of this.
    assert tries[5] - tries[0] > 3 * listening.PAUSE
    said = [record for record in log.records if record.msg == events.CANNOT_ACCEPT]
    assert [record.args for record in said] == [("nothing is left",)], "one line, however many attempts"
    monkeypatch.setattr("ckv.outage.QUIET", 0.0)
    server._tick()
    assert [record for record in log.records if record.msg == events.ACCEPTS_AGAIN]


def test_kinds_of_reasons_do_not_depend_on_what_a_peer_sends() -> None:
    reasons = [f"not msgpack: ValueError {n} exceeds max_array_len(1024)" for n in range(5)]
    assert {kind_of(reason) for reason in reasons} == {"not msgpack"}
