"""A client built from the protocol page alone: a socket and msgpack, and nothing of ckv."""

from __future__ import annotations

import socket
import ssl
import time
from types import TracebackType
from typing import Any, NamedTuple

import msgpack

REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2

MAX_RESPONSE_BYTES = 256 * 1024 * 1024


class Response(NamedTuple):
    """What came back: ``[1, msgid, error, result]``."""

    msgid: int
    error: Any
    result: Any


class RemoteError(Exception):
    """The node answered with an error; ``args[0]`` is what stood in the error slot."""


class RawClient:
    """One connection. Requests may be sent ahead and their answers read in the order in which they come.

    str and bin stay apart (``str`` and ``bytes``); bytes in a str that are not UTF-8 are lone surrogates (PEP 383), on
    the way out as on the way in. Times are in seconds.
    """

    def __init__(
        self, address: str, timeout: float = 10.0, source: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        """Connect to ``host:port``, from a ``source`` address of this machine, by TLS if it is given; ``timeout`` is
        also what every later call waits unless it says otherwise."""
        host, _, port = address.rpartition(":")
        self.timeout = timeout
        place = (host.strip("[]"), int(port))
        self.socket = socket.create_connection(place, timeout, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=place[0])
        self._unpacker = msgpack.Unpacker(
            raw=False, unicode_errors="surrogateescape", strict_map_key=False, max_buffer_size=MAX_RESPONSE_BYTES
        )
        self._early: dict[int, Response] = {}
        self._last_msgid = 0

    def call(self, method: str, *params: Any, timeout: float | None = None) -> Any:
        """Send one request and return its result, whatever comes before it; :class:`RemoteError` for an error."""
        response = self.wait_for(self.request(method, *params), timeout)
        if response.error is not None:
            raise RemoteError(response.error)
        return response.result

    def request(self, method: str, *params: Any) -> int:
        """Send one request without waiting; returns its msgid."""
        self._last_msgid += 1
        self.send(pack([REQUEST, self._last_msgid, method, list(params)]))
        return self._last_msgid

    def notify(self, method: str, *params: Any) -> None:
        """Send a notification, which is never answered."""
        self.send(pack([NOTIFICATION, method, list(params)]))

    def send(self, data: bytes) -> None:
        """Send these bytes as they are."""
        self.socket.settimeout(self.timeout)
        self.socket.sendall(data)

    def wait_for(self, msgid: int, timeout: float | None = None) -> Response:
        """The response to one request; those to others that come before it are kept for their own turn."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while msgid not in self._early:
            response = self._read(deadline)
            self._early[response.msgid] = response
        return self._early.pop(msgid)

    def recv_response(self, timeout: float | None = None) -> Response:
        """The next response, whichever request it answers.

        :class:`TimeoutError` when none comes, :class:`ConnectionError` when the node closes the connection instead.
        """
        if self._early:
            return self._early.pop(next(iter(self._early)))
        return self._read(time.monotonic() + (self.timeout if timeout is None else timeout))

    def wait_closed(self, timeout: float | None = None) -> None:
        """Return when the node has closed the connection; what it sends before that is thrown away."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while self._receive(deadline):
                pass
        except ConnectionError:
            pass

    def _read(self, deadline: float) -> Response:
        while True:
            for message in self._unpacker:
                kind, msgid, error, result = message
                assert kind == RESPONSE, f"not a response: {message!r}"
                return Response(msgid, error, result)
            data = self._receive(deadline)
            if not data:
                raise ConnectionResetError("the node closed the connection")
            self._unpacker.feed(data)

    def _receive(self, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self.socket.settimeout(left)
        return self.socket.recv(256 * 1024)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pack(message: Any) -> bytes:
    """A message as msgpack; ``str`` becomes str and ``bytes`` becomes bin."""
    packed: bytes = msgpack.packb(message, unicode_errors="surrogateescape")
    return packed
