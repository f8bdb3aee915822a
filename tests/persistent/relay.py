"""A way to the database that somebody stands in: who keeps what clients send, and may change what the server says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

CLIENT_SSL = 0x0800
"""The flag with which a server says that it has TLS
(https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html)."""


class Relay:
    """Passes bytes both ways, for any number of clients."""

    def __init__(self, port: int, change: Callable[[bytes], bytes] = bytes) -> None:
        """``change``: what becomes of the greeting of the server at that port of this machine."""
        self.sent = b""
        """What clients have sent, all of them."""
        self._to = port
        self._change = change
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Relay:
        self._run(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # accept() in another thread returns at a shutdown, not at a close.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._ends += [client, server]
            client.sendall(self._change(server.recv(65536)))  # it comes in one piece
            self._run(self._pass, client, server, True)
            self._run(self._pass, server, client, False)

    def _pass(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        with suppress(OSError):  # either has gone away
            while data := source.recv(65536):
                if is_client:
                    self.sent += data
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def without_tls(greeting: bytes) -> bytes:
    """The greeting of a server that seems to have no TLS."""
    at = greeting.index(b"\0", 5) + 1 + 4 + 8 + 1  # behind version, thread and the first half of the salt
    flags = int.from_bytes(greeting[at : at + 2], "little")
    assert flags & CLIENT_SSL
    return greeting[:at] + (flags & ~CLIENT_SSL).to_bytes(2, "little") + greeting[at + 2 :]
