"""A TCP proxy before the database that can hold back, or cut off, what a client sends."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class Proxy:
    """Passes bytes both ways until a client sends ``word``; from there on the client talks to nobody.

    For one client that connects after :meth:`__enter__`. ``caught`` is set when the word has come, ``ended`` when the
    client has closed its connection.
    """

    def __init__(self, port: int, word: bytes) -> None:
        self.caught = threading.Event()
        self.ended = threading.Event()
        self._word = word
        self._held = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = socket.create_connection(("127.0.0.1", port))
        self._client: socket.socket | None = None
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._to_server, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for end in (self._listener, self._server, self._client):
            if end is not None:
                end.close()

    def cut_off_client(self) -> None:
        """The client gets no answer any more. The server knows nothing of it."""
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def deliver(self) -> None:
        """What was held back reaches the server, as the last thing on its connection; returns when that is closed."""
        self._server.sendall(self._held)
        self._server.shutdown(socket.SHUT_WR)
        while self._server.recv(65536):
            pass

    def _to_server(self) -> None:
        self._client = self._listener.accept()[0]
        threading.Thread(target=self._to_client, args=(self._client,), daemon=True).start()
        while data := self._client.recv(65536):
            if self.caught.is_set() or self._word in data:
                self._held += data
                self.caught.set()
            else:
                self._server.sendall(data)
        self.ended.set()

    def _to_client(self, client: socket.socket) -> None:
        try:
            while not self.caught.is_set() and (data := self._server.recv(65536)):
                client.sendall(data)
        except OSError:
            pass  # The test has closed it.
