"""A connection carries whatever protocol its session speaks, over whatever transport."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import cycle
from types import FunctionType
from typing import Any

import gevent
import gevent.socket
import pytest

from ckv.net.connection import Connection
from ckv.net.transport import Transport
from ckv.protocol.handler import Line
from ckv.protocol.limits import Limits
from ckv.protocol.session import Session
from tests.net.conftest import World, until

pytestmark = pytest.mark.skipif(
    not isinstance(Session.received, FunctionType), reason="nobody can inherit from a compiled class"
)


class Shouting(Session):
    """Answers each line in capitals: at once, or later when it begins with a question mark."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, max_in_flight=2)
        self._rest = b""
        self._answers = b""
        self.asked: list[bytes] = []

    def received(self, data: bytes) -> bytes:
        self.feed(data)
        return self.more()

    def feed(self, data: bytes) -> None:
        self._rest += data
        self.attention = True

    def more(self) -> bytes:
        self.attention = False
        answers = b""
        while b"\n" in self._rest and not self.line.held:
            line, _, self._rest = self._rest.partition(b"\n")
            if line == b"rubbish":
                self.failed = "rubbish"
                self.attention = True
                break
            if line.startswith(b"?"):
                self.asked.append(line)
                self.defer()
            else:
                answers += line.upper() + b"\n"
        self.attention = self.attention or b"\n" in self._rest
        return answers

    def respond(self, msgid: int, error: object, result: object) -> None:
        self._answers += self.asked[msgid].upper() + b"\n"
        if not self.waiting:
            self.waiting = True
            self.line.wake()
        self.settle()

    def take(self) -> bytes:
        answers, self._answers = self._answers, b""
        self.waiting = False
        return answers

    def ended(self) -> bool:
        super().ended()
        return not self._rest


class Shouters:
    """Receives for connections whose sessions shout."""

    def __init__(self) -> None:
        self.inbox: list[Any] = []
        self.first: list[int] = []
        self.sessions: list[Shouting] = []

    def new_session(self, line: Line, first: int) -> Session:
        self.first.append(first)
        self.sessions.append(Shouting(line))
        return self.sessions[-1]

    def receive_all(self) -> list[tuple[Connection, bytes]]:
        for connection, data in self.inbox:
            connection.received(data)
        return []


class Alone:
    """A client of one connection, and how that ended."""

    def __init__(self, world: World, make: Callable[[socket.socket], Any] = Transport) -> None:
        self.shouters = Shouters()
        self.ends: list[str] = []
        ours, theirs = socket.socketpair()
        world.poller.add_receiver(self.shouters)
        self.socket = gevent.socket.socket(fileno=theirs.detach())
        self.connection = Connection(
            world.poller, make(ours), "a client", Limits(), self.shouters, lambda _, reason: self.ends.append(reason)
        )

    def answers(self, data: bytes, count: int) -> bytes:
        self.socket.sendall(data)
        return self.read(count)

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data))
        return data


def test_the_session_is_chosen_by_the_first_byte(world: World) -> None:
    alone = Alone(world)
    gevent.sleep(0)
    assert not alone.shouters.sessions
    assert alone.answers(b"one\ntwo\nthr", 8) == b"ONE\nTWO\n"
    assert alone.answers(b"ee\n", 6) == b"THREE\n"
    assert alone.shouters.first == [ord("o")]
    alone.socket.close()
    until(lambda: alone.ends == [""])


def test_what_is_answered_later_and_what_waits_for_it(world: World) -> None:
    alone = Alone(world)
    alone.socket.sendall(b"?a\n?b\nc\n")  # two in flight are all that there may be
    until(lambda: alone.shouters.sessions and len(alone.shouters.sessions[0].asked) == 2)
    (session,) = alone.shouters.sessions
    assert alone.connection.in_flight == 2
    alone.socket.shutdown(socket.SHUT_WR)
    session.respond(1, None, None)
    assert alone.read(5) == b"?B\nC\n"
    session.respond(0, None, None)
    assert alone.read(3) == b"?A\n"
    until(lambda: alone.ends == [""])


def test_a_session_that_fails_ends_the_connection_behind_its_answers(world: World) -> None:
    alone = Alone(world)
    assert alone.answers(b"one\nrubbish\ntwo\n", 4) == b"ONE\n"
    until(lambda: alone.ends == ["rubbish"])
    assert alone.socket.recv(1) == b""


def trickle(sock: socket.socket) -> Transport:
    """A transport that takes one byte at a time, and every other time none."""
    transport = Transport(sock)
    really = transport.write
    refuses = cycle([True, False])

    def write(fd: int, data: bytes | memoryview) -> int:
        if next(refuses):
            raise BlockingIOError
        return really(fd, data[:1])

    transport.write = write
    return transport


def test_a_transport_that_takes_little_at_a_time(world: World) -> None:
    alone = Alone(world, trickle)
    assert alone.answers(b"one\ntwo\n", 8) == b"ONE\nTWO\n"
    assert alone.connection.unsent_bytes == 0
    alone.connection.close("enough")
    assert alone.ends == ["enough"]
