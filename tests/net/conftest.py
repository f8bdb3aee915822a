"""Servers, peers and clients in the process of the test, on gevent's loop.

Nothing is monkey-patched: the loop turns whenever a test waits for something through gevent, and only then. So the code
under test runs between two lines of the test and never during one.
"""

from __future__ import annotations

import logging
import socket as plain_socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, TracebackType
from typing import Any

import gevent
import gevent.socket
import msgpack
import pytest

from ckv.address import Address
from ckv.net.peer import Peer
from ckv.net.poller import Poller
from ckv.net.server import Server
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.limits import Limits
from tests.support.wire import pack

interpreted = pytest.mark.skipif(
    not isinstance(Poller.turn, FunctionType), reason="nothing of a compiled class can be replaced"
)

LONGEST = 20.0
"""Seconds for one of these tests, and for everything that it waits for. They take a fraction of one."""


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Lets the loop turn until the condition is true."""
    with gevent.Timeout(LONGEST, AssertionError(f"never came true: {what}")):
        while not condition():
            gevent.sleep(0.001)


class Asker:
    """A client in the process of the test: a socket that waits through gevent."""

    def __init__(self, address: Address, receive_buffer: int | None = None) -> None:
        """``receive_buffer``: bytes that the kernel takes while nobody reads, more or less."""
        self.socket = gevent.socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((address.host, address.port))
        self._unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", max_buffer_size=2**30)

    def send(self, *messages: object) -> None:
        self.socket.sendall(b"".join(map(pack, messages)))

    def send_each(self, messages: Iterable[object]) -> None:
        """Sends each by itself."""
        for message in messages:
            self.send(message)

    def answer(self) -> list[Any]:
        """The next response, without its first element; ``[]`` when the node has closed the connection."""
        with gevent.Timeout(LONGEST, AssertionError("no answer")):
            while True:
                for kind, *response in self._unpacker:
                    assert kind == 1
                    return list(response)
                data = self.socket.recv(65536)
                if not data:
                    return []
                self._unpacker.feed(data)

    def answers(self, count: int) -> list[list[Any]]:
        return [self.answer() for _ in range(count)]

    def feed(self, data: bytes) -> None:
        """Takes bytes that somebody else has received."""
        self._unpacker.feed(data)

    def finish(self) -> None:
        """Closes the sending side."""
        self.socket.shutdown(plain_socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


class Later:
    """A handler whose answers come when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Caller, int, tuple[object, ...]]] = []

    def __call__(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        self.asked.append((caller, msgid, params))
        return LATER

    def has(self, count: int) -> bool:
        """Whether so many requests wait."""
        return len(self.asked) == count

    def answer(self, index: int = 0) -> None:
        """Answers one of the requests that wait, with its own params."""
        caller, msgid, params = self.asked.pop(index)
        caller.respond(msgid, None, list(params))


def echo(_caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
    return list(params)


class World:
    """What a test started; ends all of it."""

    def __init__(self) -> None:
        self.poller = Poller(gevent.get_hub().loop)
        self.later = Later()
        self._started: list[Server | Peer | Asker] = []

    def serve(self, limits: Limits | None = None, port: int = 0, **handlers: Handler) -> tuple[Server, Address]:
        """A server of ECHO, PING (the same), LATER and of further handlers."""
        table: Mapping[str, Handler] = {"ECHO": echo, "PING": echo, "LATER": self.later, **handlers}
        server = Server(self.poller, table, limits or Limits())
        self._started.append(server)
        return server, server.listen(Address("127.0.0.1", port))

    def ask(self, address: Address, receive_buffer: int | None = None) -> Asker:
        asker = Asker(address, receive_buffer)
        self._started.append(asker)
        return asker

    def peer(self, address: Address, call_timeout: float = 10.0, limits: Limits | None = None) -> Peer:
        """A peer that has started to connect."""
        peer = Peer(self.poller, address, limits or Limits(), call_timeout)
        self._started.append(peer)
        peer.start()
        return peer

    def also(self, started: Server | Peer) -> None:
        """Ends this one too."""
        self._started.append(started)

    def turn(self, address: Address) -> None:
        """Lets the loop turn until whatever is readable has been read: a few round trips of another client."""
        other = Asker(address)
        for number in range(10):
            other.send([0, number, "ECHO", []])
            assert other.answer() == [number, None, []]
        other.close()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for started in reversed(self._started):
            started.close()
        gevent.sleep(0.01)
        self.poller.close()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Fails the test when anything was raised in the loop, where nobody would notice."""
    raised: list[BaseException | None] = []
    hub = gevent.get_hub()
    monkeypatch.setattr(hub, "handle_error", lambda context, kind, value, trace: raised.append(value))
    with World() as world, gevent.Timeout(LONGEST, AssertionError("the test hangs")):
        yield world
    assert not raised


class Lines(logging.Handler):
    """Log lines as text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(f"{record.levelname} {self.format(record)}")

    def having(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]


@pytest.fixture
def log() -> Iterator[Lines]:
    """What the package logs during the test."""
    handler = Lines()
    logger = logging.getLogger("ckv")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
