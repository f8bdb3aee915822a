"""Connecting to a node whose name is slow, has several addresses, or changes; and to one that is older."""

from __future__ import annotations

import socket as plain_socket
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent import monkey

from ckv.address import Address
from ckv.net import connecting
from ckv.net.peer import Peer
from ckv.protocol.greeting import PROCESS, Share, calls
from ckv.protocol.limits import Limits
from tests.net.calling import Asking, call, connected, hello, node_at
from tests.net.conftest import Lines, World, until
from tests.support import fakenode
from tests.support.fakenode import FakeNode
from tests.support.ports import free_port, silent_address

NAMED = Address("several.test", 1)

SHARE = Share(1, 2)

Places = Callable[[], list[Address]]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Places], None]:
    """Says what :data:`NAMED` is looked up as; what it raises, the look-up raises."""

    def use(places: Places) -> None:
        def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
            assert (host, port) == (NAMED.host, NAMED.port)
            kind = plain_socket.SOCK_STREAM
            return [(plain_socket.AF_INET, kind, 0, "", (place.host, place.port)) for place in places()]

        monkeypatch.setattr(gevent.socket, "getaddrinfo", getaddrinfo)

    return use


def mute(connection: fakenode.Connection) -> None:
    connection.wait_closed()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of one address, made short."""
    monkeypatch.setattr(connecting, "ADDRESS_TIMEOUT", 0.2)
    monkeypatch.setattr(connecting, "GREETING_TIMEOUT", 0.2)


def test_the_first_address_is_silent(world: World, resolve: Callable[[Places], None]) -> None:
    _, address = world.serve()
    with silent_address() as hole:
        resolve(lambda: [Address(*hole), Address(*hole), address])
        peer = connected(world, NAMED)
        caller = Asking()
        call(peer, caller, 1, "ECHO", "x")
        assert caller.result(1) == ("x",)


def test_the_first_address_refuses(world: World, resolve: Callable[[Places], None]) -> None:
    _, address = world.serve()
    resolve(lambda: [Address("127.0.0.1", free_port()), address])
    connected(world, NAMED)


def test_the_first_address_accepts_and_says_nothing(world: World, resolve: Callable[[Places], None]) -> None:
    """A process that is stopped, or a proxy without anything behind it."""
    _, address = world.serve()
    with FakeNode(mute) as node:
        resolve(lambda: [node_at(node), address])
        connected(world, NAMED)
        # The other attempt is given up: the node hears of the end, and waits no longer.
        assert node.connections == 1


def test_the_first_address_is_late(world: World, resolve: Callable[[Places], None]) -> None:
    """Both answer in the end. One connection stays, the other one is closed."""
    server, address = world.serve()
    ended: list[bool] = []

    def late(connection: fakenode.Connection) -> None:
        connection.request()
        until_connected.wait()
        connection.wait_closed()
        ended.append(True)

    until_connected = monkey.get_original("threading", "Event")()
    with FakeNode(late) as node:
        resolve(lambda: [node_at(node), address])
        connected(world, NAMED)
        until_connected.set()
        until(lambda: ended)
        assert server.connections == 1


def test_no_address_answers(world: World, log: Lines, quick: None, resolve: Callable[[Places], None]) -> None:
    closed = Address("127.0.0.2", free_port())
    with silent_address() as hole, FakeNode(mute) as node:
        resolve(lambda: [Address(*hole), closed, node_at(node)])
        world.peer(NAMED)
        until(lambda: node.connections >= 2, "it tries again")
        (line,) = log.having("cannot be reached")
    for part in (
        "peer several.test:1 ",
        "127.0.0.1: no connection within 0.2 s",
        "127.0.0.2: Connection refused",
        "127.0.0.1: no greeting within 0.2 s",
    ):
        assert part in line


def test_a_name_that_takes_longer_than_any_address(
    world: World, quick: None, resolve: Callable[[Places], None]
) -> None:
    _, address = world.serve()

    def slow() -> list[Address]:
        gevent.sleep(0.6)
        return [address]

    resolve(slow)
    connected(world, NAMED)


def test_a_name_that_is_never_found(
    world: World, log: Lines, resolve: Callable[[Places], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "NAME_TIMEOUT", 0.2)

    def never() -> list[Address]:
        gevent.sleep(60)
        return []

    resolve(never)
    world.peer(NAMED)
    until(lambda: log.having("the name several.test: not found within 0.2 s"))


@pytest.mark.parametrize("error", [plain_socket.gaierror(-2, "Name or service not known"), UnicodeError("too long")])
def test_a_name_that_is_found_later(
    world: World, log: Lines, resolve: Callable[[Places], None], error: Exception
) -> None:
    _, address = world.serve()
    asked: list[int] = []

    def later() -> list[Address]:
        asked.append(1)
        if len(asked) == 1:
            return []
        if len(asked) < 4:
            raise error
        return [address]

    resolve(later)
    connected(world, NAMED)
    assert len(log.having("the name several.test has no address")) == 1
    assert len(log.having("the name several.test: ")) == 1, "each reason once"


def test_the_name_is_looked_up_again_for_each_connection(world: World, resolve: Callable[[Places], None]) -> None:
    first, old = world.serve()
    second, new = world.serve()
    now = [old]
    resolve(lambda: now)
    peer = connected(world, NAMED)
    now[:] = [new]
    first.close()
    until(lambda: second.connections == 1 and peer.connected, "it is connected to the new address")


def test_each_attempt_has_a_greeting_of_its_own(world: World) -> None:
    """What this node knows of others changes meanwhile."""
    heard: list[object] = []

    def ends(connection: fakenode.Connection) -> None:
        heard.append([connection.request() for _ in range(3)][1][3][4])

    def stays(connection: fakenode.Connection) -> None:
        for _ in range(3):
            _, msgid, method, params = connection.request()
            heard.extend(params[4:])
            connection.respond(msgid, ["9.9.9", ["BATCH"]] if method == "HELLO" else [])
        connection.wait_closed()

    with FakeNode(ends, ends, stays) as node:
        peer = Peer(world.poller, node_at(node), Limits(), 10.0, greeting=lambda: calls(SHARE, (), [2] * len(heard)))
        world.also(peer)
        peer.start()
        until(lambda: peer.connected)
    assert heard == [[], [2], [2, 2]]


# --- what the other node knows ---------------------------------------------------------------------------------------


def older(*known: str) -> fakenode.Script:
    """A node that knows only these of the methods that a greeting has, and PUT and GET."""

    def script(connection: fakenode.Connection) -> None:
        records: dict[str, object] = {}
        while True:
            _, msgid, method, params = connection.request()
            match method, params:
                case "PING", []:
                    connection.respond(msgid, "PONG")
                case "PUT", [key, value]:
                    records[key] = value
                    connection.respond(msgid, True)
                case "GET", [key]:
                    connection.respond(msgid, [True, records[key]])
                case "BATCH", _ if "BATCH" in known:
                    assert all(name == "PUT" for name in params[::2])
                    records.update(params[1::2])
                    connection.respond(msgid, [True] * (len(params) // 2))
                case _:
                    connection.respond(msgid, None, f"UnknownMethod: no method {method!r}; there are PUT, GET, PING")

    return script


def test_a_node_that_does_not_know_batch_gets_single_requests(world: World, log: Lines) -> None:
    with FakeNode(older()) as node:
        peer = connected(world, node_at(node))
        caller = Asking()
        for turn in range(3):  # What one message may hold grows with each that was not full.
            for number in range(100):
                call(peer, caller, 1000 * turn + number, "PUT", f"key {number}", f"value {turn}")
            until(lambda: not peer.in_flight)
        assert set(caller.answers.values()) == {(None, True)}
        for number in range(100):
            call(peer, caller, 9000 + number, "GET", f"key {number}")
        assert [caller.result(9000 + number) for number in range(100)] == [(True, "value 2")] * 100
        assert node.connections == 1
        assert not log.having("lost")


@pytest.mark.parametrize("script", [older("BATCH"), hello], ids=["BATCH without HELLO", "both"])
def test_a_node_that_knows_batch_gets_it(world: World, script: fakenode.Script) -> None:
    got: list[object] = []

    def noting(connection: fakenode.Connection) -> None:
        request = connection.request

        def note() -> Any:
            got.append(request())
            return got[-1]

        connection.request = note  # type: ignore[method-assign]
        script(connection)
        connection.respond(connection.request()[1], [True, True])
        connection.wait_closed()

    with FakeNode(noting) as node:
        peer = connected(world, node_at(node))
        caller = Asking()
        call(peer, caller, 1, "PUT", "a", "1")
        call(peer, caller, 2, "PUT", "b", "2")
        assert [caller.result(1), caller.result(2)] == [True, True]
    assert [message[2] for message in got] == ["PING", "HELLO", "BATCH", "BATCH"]  # type: ignore[index]


def test_what_a_node_knows_is_asked_at_each_connection(world: World) -> None:
    """It may have been upgraded, or downgraded, meanwhile."""

    def upgraded(connection: fakenode.Connection) -> None:
        hello(connection)
        _, msgid, method, params = connection.request()
        assert method == "BATCH"
        connection.respond(msgid, [True] * (len(params) // 2))
        # It ends, and an older one takes its place.

    with FakeNode(upgraded, older()) as node:
        peer = connected(world, node_at(node))
        caller = Asking()
        call(peer, caller, 1, "PUT", "a", "1")
        call(peer, caller, 2, "PUT", "b", "2")
        assert [caller.result(1), caller.result(2)] == [True, True]
        until(lambda: node.connections == 2 and peer.connected)
        call(peer, caller, 3, "PUT", "a", "1")
        call(peer, caller, 4, "PUT", "b", "2")
        assert [caller.result(3), caller.result(4)] == [True, True]


def test_the_nodes_of_today_tell_what_they_know(world: World) -> None:
    _, address = world.serve()
    asker = world.ask(address)
    for params in ([], None, ["what a caller may say in times to come"]):
        asker.send([0, 1, "HELLO", params])
        _, error, (version, features, process) = asker.answer()
        assert error is None
        assert version
        assert features == ["BATCH"]
        assert process == PROCESS


def refusing(connection: fakenode.Connection) -> None:
    """A node that has other keys than it is taken for."""
    for error in (None, "WrongNode: this node is number 2 of 2", None):
        _, msgid, _, _ = connection.request()
        connection.respond(msgid, None if error else "PONG", error)
    connection.wait_closed()


def test_a_node_that_refuses_is_told_from_one_that_is_away(world: World, resolve: Callable[[Places], None]) -> None:
    with FakeNode(refusing) as wrong, FakeNode(hello_and_wait) as right:
        places = [Address("127.0.0.1", free_port()), node_at(wrong)]
        resolve(lambda: places)
        peer = world.peer(NAMED)
        until(lambda: peer.is_refused)
        assert peer.is_down
        assert "WrongNode: this node is number 2 of 2" in peer.reason
        places[:] = [Address("127.0.0.1", free_port())]
        until(lambda: not peer.is_refused)
        assert peer.is_down
        places[:] = [node_at(wrong)]
        until(lambda: peer.is_refused)
        places[:] = [node_at(right)]
        until(lambda: peer.connected)
        assert not peer.is_refused
        assert not peer.is_down


def hello_and_wait(connection: fakenode.Connection) -> None:
    hello(connection)
    connection.wait_closed()


@pytest.mark.parametrize("position", [0, 1])
def test_a_node_that_is_draining_is_not_connected_to(world: World, log: Lines, position: int) -> None:
    """The nodes of today say so to HELLO, older ones to PING."""

    def draining(connection: fakenode.Connection) -> None:
        for at in range(3):
            _, msgid, _, _ = connection.request()
            connection.respond(msgid, "PONG", "Draining: bye" if at >= position else None)
        connection.wait_closed()

    with FakeNode(draining) as node:
        peer = world.peer(node_at(node))
        until(lambda: node.connections >= 2, "it tries again")
        assert not peer.connected
        assert log.having("cannot be reached (Draining: bye)")
