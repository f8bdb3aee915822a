"""A node that gets another secret while it is connected to others, or while it connects to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ckv.net.connecting import log_in_as
from ckv.net.peer import Peer
from ckv.net.relogin import log_in_again
from ckv.security.account import Account
from tests.net.calling import Asking, call, connected, hello, node_at
from tests.net.conftest import Lines, World, until
from tests.support.fakenode import Connection, FakeNode

FIRST: Final = ("AUTH", ["node", b"first"])
SECOND: Final = ("AUTH", ["node", b"second"])
ECHO: Final[tuple[str, list[object]]] = ("ECHO", [])
"""What a node is asked."""


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """The file with the node's own secret, which is ``first``."""
    file = tmp_path / "secret"
    file.write_text("first")
    log_in_as(Account("node", file))
    yield file
    log_in_as(None)


class Noting:
    """A node that lets in whoever it is not told to refuse, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Any]]] = []
        self.refuses = ""

    def take(self, connection: Connection) -> None:
        _, msgid, method, params = connection.request()
        self.asked.append((method, params))
        connection.respond(msgid, None if self.refuses else True, self.refuses or None)

    def __call__(self, connection: Connection) -> None:
        self.take(connection)
        hello(connection)
        while True:
            self.take(connection)


def answered(peer: Peer) -> None:
    """All that the node was asked before is answered."""
    caller = Asking()
    call(peer, caller, 1, "ECHO")
    assert caller.result(1) is True


def test_a_connection_logs_in_again_with_another_secret_alone(world: World, secret: Path, log: Lines) -> None:
    noting = Noting()
    with FakeNode(noting) as node:
        peer = connected(world, node_at(node))
        log_in_again([peer.login])
        answered(peer)
        secret.write_text("second")
        for _ in range(2):
            log_in_again([peer.login])
            answered(peer)
        assert node.connections == 1
    assert noting.asked == [FIRST, ECHO, SECOND, ECHO, ECHO]
    assert len(log.having("logged in again at")) == 1


def test_a_secret_that_was_refused_is_tried_again(world: World, secret: Path, log: Lines) -> None:
    noting = Noting()
    with FakeNode(noting) as node:
        peer = connected(world, node_at(node))
        secret.write_text("second")
        noting.refuses = "LoginFailed: there is no user of this name with this secret"
        log_in_again([peer.login])
        until(lambda: log.having(f"login at {peer.address} refused: LoginFailed"))
        noting.refuses = ""
        log_in_again([peer.login])
        until(lambda: log.having(f"logged in again at {peer.address}"))
    assert noting.asked == [FIRST, SECOND, SECOND]


def test_a_node_without_users_is_told_once(world: World, secret: Path, log: Lines) -> None:
    noting = Noting()
    noting.refuses = "UnknownMethod: no method 'AUTH'"
    with FakeNode(noting) as node:
        peer = connected(world, node_at(node))
        secret.write_text("second")
        for _ in range(2):
            log_in_again([peer.login])
            until(lambda: not peer.in_flight)
    assert noting.asked == [FIRST, SECOND]
    assert not log.having("login at")


def test_a_secret_that_changes_while_a_connection_begins_is_sent_over_it(world: World, secret: Path) -> None:
    noting = Noting()
    changed = threading.Event()

    def slow(connection: Connection) -> None:
        noting.take(connection)
        assert changed.wait(10)
        hello(connection)
        while True:
            noting.take(connection)

    with FakeNode(slow) as node:
        peer = world.peer(node_at(node))
        until(lambda: noting.asked)
        secret.write_text("second")
        log_in_again([peer.login])  # It is not connected.
        changed.set()
        until(lambda: peer.connected)
        answered(peer)
    assert noting.asked == [FIRST, SECOND, ECHO]
