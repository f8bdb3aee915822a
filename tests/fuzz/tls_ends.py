"""Both ends of a connection by TLS without a network in between, and a way between them on which bytes are changed."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ckv.net.handshakes import Handshakes
from ckv.net.tls import Seal, TlsTransport
from ckv.protocol.limits import RECV_BYTES, RECV_BYTES_OF_ONE, RECV_BYTES_OF_SMALL
from ckv.security.certificates import Certificates
from ckv.tls import Tls
from tests.fuzz.choices import Choices
from tests.support.certificate import Authority

HOST: Final = "127.0.0.1"
PIECES_MOST: Final = 500
PIECES_PER_TURN: Final = 40
"""More than a handshake may go on at a time."""

TURNS: Final = 1000
"""More than anything takes."""

MUCH: Final = 2**20

_FOLDER: Final = tempfile.TemporaryDirectory()
FOLDER: Final = Path(_FOLDER.name)

_authority: Final = Authority(FOLDER)
_node: Final = _authority.issue("node")
CA: Final = _authority.path
CLIENT: Final = Tls(CA)
TLS_ONLY: Final = Certificates(_node.path, _node.key_path, CA)
PLAIN_TOO: Final = Certificates(_node.path, _node.key_path, CA, takes_plain=True)


class Way:
    """What carries the bytes of one end to the other, and may change them."""

    def __init__(self, choices: Choices) -> None:
        self._choices: Final = choices
        self.is_changed = False

    def carried(self, data: bytes) -> bytes:
        """What arrives of them."""
        choices = self._choices
        if not data or not choices.left:
            return data
        kind, at = choices.below(7), choices.below(len(data))
        if kind == 0:
            arrives = data
        elif kind == 1:
            arrives = data[:at] + bytes([data[at] ^ (1 + choices.below(255))]) + data[at + 1 :]
        elif kind == 2:
            arrives = data[:at]
        elif kind == 3:
            arrives = data[at:]
        elif kind == 4:
            arrives = data + data[at:]
        else:
            arrives = data[:at] + choices.taken(1 + choices.below(40)) + data[at:]
        self.is_changed = self.is_changed or arrives != data
        return arrives


class Loop:
    """What :class:`Handshakes` wants of gevent's; its time does not pass."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []
        self.active = False

    def run_callback(self, do: Callable[[], None]) -> None:
        self._due.append(do)

    def turn(self) -> bool:
        """Does what is due; whether there was anything."""
        due, self._due = self._due, []
        for do in due:
            do()
        return bool(due)

    # --- the timer ---

    def timer(self, *_args: float, **_options: bool) -> Loop:
        return self

    def start(self, _do: object) -> None:
        self.active = True

    def stop(self) -> None:
        self.active = False


class NodeEnd:
    """A node's transport and its socket, read and carried on as the Poller would; the other end is the peer."""

    def __init__(self, choices: Choices, certificates: Certificates = TLS_ONLY, seal: Seal | None = None) -> None:
        """``seal``: of a connection whose handshake is over."""
        self._size = choices.one_of((65_536, 1, 5, 100, 1500))
        self._count = choices.one_of((RECV_BYTES_OF_ONE, RECV_BYTES_OF_SMALL, RECV_BYTES, 1))
        self._loop: Any = Loop()
        self.handshakes: Final = Handshakes(self._loop, certificates)
        ours, self._peer = socket.socketpair()
        self._peer.setblocking(False)
        self.transport: Final[Any] = TlsTransport(ours, seal) if seal is not None else self.handshakes.transport(ours)
        self.transport.belongs_to(self)
        self._is_due = False
        self.opened = b""
        """All that the node has read."""
        self.is_over = False
        self.failure: OSError | None = None
        """Why, where it was no end."""

    def arrives(self, data: bytes, *, is_last: bool = False) -> None:
        """Sends it from the peer's end in pieces, each of which is read before the next one. With the last one comes
        the end."""
        size = max(self._size, len(data) // PIECES_MOST)
        for start in range(0, len(data), size):
            if self.is_over:
                return
            self._peer.sendall(data[start : start + size])
            has_ended = is_last and start + size >= len(data)
            if has_ended:
                self._peer.shutdown(socket.SHUT_WR)
            self._read(to_the_end=has_ended)
            if start // size % PIECES_PER_TURN == 0:
                self._turns()
        self._turns()

    def said(self) -> bytes:
        """What the node has sent since the last time."""
        data = b""
        while True:
            try:
                arrived = self._peer.recv(MUCH)
            except ConnectionResetError:
                continue  # told once, before what was sent: the node has left something unread
            except BlockingIOError:
                return data
            data += arrived
            if not arrived:
                return data

    def write(self, data: bytes) -> int:
        """How many of the bytes the node could send."""
        if self.is_over:
            return 0
        try:
            return int(self.transport.write(self.transport.fd, data))
        except BlockingIOError:
            return 0

    def end(self) -> None:
        """The peer sends nothing more, and the node has seen that: nothing is left of the handshake."""
        if not self.is_over:
            self._peer.shutdown(socket.SHUT_WR)
            self._read(to_the_end=True)
            self._turns()
            assert self.is_over, "an end was not seen"
        self._peer.close()
        handshakes = self.handshakes
        left = [*handshakes._since, *handshakes._waiting, *handshakes._let]
        assert not left, "a handshake has left something"
        assert handshakes.done + handshakes.failures <= 1

    def _turns(self) -> None:
        for _ in range(TURNS):
            if self.is_over or not (self._loop.turn() or self._is_due):
                return
            if self._is_due:
                self._read(to_the_end=True)
        raise AssertionError("it is read again and again")

    def _read(self, *, to_the_end: bool) -> None:
        """``to_the_end``: as where an end of input was reported, or it has asked to be read again: until there is
        nothing more, and not until there is less than was asked for."""
        self._is_due = False
        count = self._count
        try:
            while not self.is_over:
                data = self.transport.read(self.transport.fd, count)
                self.opened += data
                if not data:
                    self._over()
                elif len(data) < count and not to_the_end:
                    break
            # Less than was asked for is all that there is, unless it has asked to be read again.
            if not (self.is_over or self._is_due):
                assert not self.transport.read(self.transport.fd, 1), "something was left that nobody would read"
                raise AssertionError("an end was left that nobody would see")
        except BlockingIOError:
            pass
        except OSError as error:
            self.failure = error
            self._over()

    def _over(self) -> None:
        self.transport.close()
        self.is_over = True

    # --- as the owner of the transport ---

    def read_again(self) -> None:
        self._is_due = True

    def close(self, _reason: str) -> None:
        self._over()


class ServerEnd:
    """A socket of a greenlet: what a client sends goes to a server's seal, which sends it back, by a way."""

    def __init__(self, way: Way, size: int) -> None:
        self._way = way
        self._size = size
        self._seal = Seal(TLS_ONLY.server)
        self._is_open = self._is_over = False
        self._arriving = b""

    def sendall(self, data: bytes) -> None:
        if self._is_over:
            raise ConnectionResetError
        self._seal.arrived(self._way.carried(data))
        try:
            self._is_open = self._is_open or self._seal.shake_hands()
            while self._is_open and (opened := self._seal.open(MUCH)):
                self._seal.seal(opened)
        except OSError:
            self._is_over = True
        self._arriving += self._way.carried(self._seal.take())

    def recv(self, count: int) -> bytes:
        data = self._arriving[: min(count, self._size)]
        self._arriving = self._arriving[len(data) :]
        return data


class Bytes:
    """A socket of a greenlet whose other end says this, whatever it is told."""

    def __init__(self, data: bytes, size: int) -> None:
        self._left: Iterator[bytes] = (data[start : start + size] for start in range(0, len(data), size))

    def sendall(self, data: bytes) -> None:
        """Nobody reads it."""

    def recv(self, _count: int) -> bytes:
        return next(self._left, b"")
