"""A primary that answers what a test wants, in the same process."""

from __future__ import annotations

from typing import Any, Protocol

import gevent.server
import gevent.socket
import msgpack

from ckv.address import Address


class Packs(Protocol):
    """An answer of a primary."""

    def pack(self) -> list[object]: ...


class FakePrimary:
    """Greets, and answers each method as it is told."""

    def __init__(self) -> None:
        self.answers: dict[str, Packs | str | list[object]] = {}
        """By method: an answer, an error, or any result."""
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.connections: set[Any] = set()
        self._server = gevent.server.StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.address = Address("127.0.0.1", int(self._server.server_port or 0))

    def close(self) -> None:
        self._server.stop()
        self.break_connections()

    def break_connections(self) -> None:
        for sock in list(self.connections):
            sock.shutdown(gevent.socket.SHUT_RDWR)

    def _serve(self, sock: Any, _address: object) -> None:
        self.connections.add(sock)
        unpacker = msgpack.Unpacker(raw=False, use_list=False)
        try:
            while data := sock.recv(65536):
                unpacker.feed(data)
                for _, number, method, params in unpacker:
                    sock.sendall(msgpack.packb([1, number, *self._answer(method, params)]))
        except OSError:
            pass
        finally:
            self.connections.discard(sock)
            sock.close()

    def _answer(self, method: str, params: tuple[Any, ...]) -> tuple[object, object]:
        if method in ("PING", "HELLO", "BATCH") and method not in self.answers:
            return None, ["0", []] if method == "HELLO" else "PONG"
        self.asked.append((method, params))
        answer = self.answers.get(method, "Refused: nothing was said about it")
        if isinstance(answer, str):
            return answer, None
        return None, answer if isinstance(answer, list) else answer.pack()
