"""A TCP proxy that is slow, that cuts connections in the middle of a transaction, or through which nothing comes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final

_CHUNK: Final = 1 << 16


class Cut(Enum):
    """What becomes of a piece that a client sends, and of its connection."""

    NOT = "not"
    BEFORE = "before"
    """The connection breaks; the server never gets the piece."""
    AFTER = "after"
    """The server gets the piece, and the connection breaks before its answer is through."""
    LATE = "late"
    """The connection breaks for the client; the server gets the piece some time after."""


def _never(_piece: bytes) -> Cut:
    return Cut.NOT


class Proxy:
    """Passes bytes both ways, from a port of its own to that of a server. Everything can be changed at any time."""

    def __init__(self, server_port: int) -> None:
        self.delay = 0.0
        """Seconds by which each piece that the server sends is late."""
        self.cut: Callable[[bytes], Cut] = _never
        """Asked for each piece that a client sends; a client of MySQL sends one statement at a time."""
        self.cuts = 0
        self.late = 0.5
        """Seconds after its connection broke at which a late piece arrives."""
        self.arrived_late = 0
        """Late pieces that the server has."""
        self._server_port = server_port
        self._open = threading.Event()
        self._open.set()
        self._ending = False
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._spawn(self._accept)

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self.port}"

    def hold(self) -> None:
        """From now on nothing comes through, as with a network that is parted: no byte, no new connection, no end."""
        self._open.clear()

    def release(self) -> None:
        """What was held comes through, late and in order, as TCP sends it again."""
        self._open.set()

    def turn_to(self, server_port: int) -> None:
        """From now on new connections lead to another server, and those that are open break."""
        with self._lock:
            self._server_port = server_port
            for end in self._ends:
                _shut(end)

    def heal(self) -> None:
        """From now on everything comes through, at once."""
        self.delay = 0.0
        self.cut = _never
        self.release()

    def close(self) -> None:
        """End all connections."""
        self._ending = True
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in self._ends:
                _shut(end)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        self._open.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port), timeout=5)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._ends |= {client, server}
        if self._ending:
            _shut(client)
            _shut(server)
        deaf = threading.Event()
        back = threading.Thread(target=self._to_client, args=(server, client, deaf), daemon=True)
        back.start()
        self._to_server(client, server, deaf)
        back.join()
        with self._lock:
            self._ends -= {client, server}
        client.close()
        server.close()

    def _to_server(self, client: socket.socket, server: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):  # one of the two has gone
            while data := client.recv(_CHUNK):
                self._open.wait()
                cut = self.cut(data)
                if cut is not Cut.NOT:
                    self.cuts += 1
                    deaf.set()
                if cut is Cut.BEFORE:
                    break
                if cut is Cut.LATE:
                    _shut(client)
                    time.sleep(self.late)
                server.sendall(data)
                self.arrived_late += cut is Cut.LATE
            self._open.wait()
        _shut(server)

    def _to_client(self, server: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._open.wait()
                if deaf.is_set():
                    break
                client.sendall(data)
            self._open.wait()
        _shut(client)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected any more
        end.shutdown(socket.SHUT_RDWR)
