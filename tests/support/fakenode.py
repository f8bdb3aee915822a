"""A node that does what a test tells it, good or bad: for the client, which has to bear with both."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgpack

from tests.support.wire import pack


class Connection:
    """One connection, from the side of the node."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", max_buffer_size=2**28)

    def request(self) -> Any:
        """The next request, ``[0, msgid, method, params]``; raises ConnectionError when the client closed."""
        while True:
            for message in self._unpacker:
                return message
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the client closed the connection")
            self._unpacker.feed(data)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def respond(self, msgid: int, result: Any, error: Any = None) -> None:
        self.send(pack([1, msgid, error, result]))

    def wait_closed(self) -> None:
        """Return when the client has closed the connection."""
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass


Script = Callable[[Connection], None]


class FakeNode:
    """Serves the first connection with the first script and so on; the last script serves all that follow.

    A connection is closed when its script returns. What a script raises fails the test when the node is left.
    """

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self._scripts = scripts
        self._errors: list[Exception] = []
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(script, sock), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, script: Script, sock: socket.socket) -> None:
        with sock:
            try:
                script(Connection(sock))
            except OSError:
                pass  # The client went away, which clients do.
            except Exception as error:  # noqa: BLE001 - raised again when the node is left
                self._errors.append(error)

    def close(self) -> None:
        # accept() in another thread returns at a shutdown, not at a close.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> FakeNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._errors and kind is None:
            raise self._errors[0]


def store(records: dict[bytes, Any] | None = None) -> Script:
    """A script that is a node: the commands over one dict, which all of its connections share."""
    held = {} if records is None else records

    def name(key: Any) -> bytes:
        return key.encode("utf-8", "surrogateescape") if isinstance(key, str) else bytes(key)

    def serve(connection: Connection) -> None:
        while True:
            _, msgid, method, params = connection.request()
            match method, params:
                case "PUT", [key, value]:
                    held[name(key)] = value
                    connection.respond(msgid, True)
                case "GET", [key]:
                    value = held.get(name(key))
                    connection.respond(msgid, [False, ""] if value is None else [True, value])
                case "DEL", [key]:
                    connection.respond(msgid, held.pop(name(key), None) is not None)
                case "PING", []:
                    connection.respond(msgid, "PONG")
                case _:
                    connection.respond(msgid, None, f"UnknownMethod: {method}")

    return serve
