"""HTTP for those who look after a node: gevent's server, with bounds on whatever comes.

Each connection is for one request, which brings nothing with it. It has :data:`SECONDS` for all, and the head of the
request has a bound too, so that no client can keep what it takes from others.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from http.client import HTTPException
from typing import Any, Final, Protocol

import gevent
from gevent import GreenletExit
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from ckv import events
from ckv.address import Address
from ckv.net.listening import bound

log = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 32
"""Connections at a time. Further ones wait until one of them ends."""

SECONDS: Final = 5.0
"""How long a connection may last: to ask, and to read the answer."""

MOST_HEAD_BYTES: Final = 16 * 1024
"""Bytes of a request."""

FILES: Final = MOST_CONNECTIONS + 1
"""Open files that it needs."""

LAST_ANSWER: Final = 0.2
"""Seconds at the end for answers that are on their way."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""What answers a request (WSGI). Its answers have to say ``Connection: close``."""


class HttpServer:
    """Listens on an address of its own."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._server: WSGIServer | None = None

    def listen(self, address: Address) -> Address:
        """Binds and begins to serve; returns the address with the port that was given for port 0. Raises OSError."""
        listener = bound(address)
        self._server = WSGIServer(
            listener,
            self._application,
            spawn=Pool(MOST_CONNECTIONS),
            log=None,
            error_log=None,
            handler_class=_Handler,
            environ={"SERVER_NAME": address.host},  # or it asks the name server for one
        )
        self._server.start()
        return Address(address.host, listener.getsockname()[1])

    def close(self) -> None:
        """Ends it, and whatever is still on its way a moment later."""
        if self._server is not None:
            self._server.stop(LAST_ANSWER)
            self._server = None


class _File(Protocol):
    closed: bool

    def readline(self, size: int = -1, /) -> bytes: ...
    def close(self) -> None: ...


class _Head:
    """The first bytes of what a client sends: all that is read of it."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._left = MOST_HEAD_BYTES

    def readline(self, size: int) -> bytes:
        """As that of a file. Raises ValueError beyond the bound, which is answered with 400."""
        line = self._file.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise ValueError(f"the head of a request has more than {MOST_HEAD_BYTES} bytes")
        return line

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()


class _Handler(WSGIHandler):
    """Serves one connection."""

    def __init__(self, sock: Any, address: Any, server: WSGIServer) -> None:
        super().__init__(sock, address, server)
        self.rfile: Any = _Head(self.rfile)

    def handle(self) -> None:
        sock = self.socket
        # Not a time-out that is raised, which the server would take for a defect of the application.
        timer = gevent.get_hub().loop.timer(SECONDS)
        timer.start(_cut, sock)
        try:
            super().handle()
        except OSError:
            pass  # it has gone, or was cut off, and there is nobody to tell
        finally:
            timer.close()

    def _handle_client_error(self, ex: Exception) -> Any:
        # The server's own prints a traceback of what it did not foresee, as often as somebody sends it.
        if isinstance(ex, OSError):
            raise ex  # it has gone
        host = self.client_address[0]
        extra = {"once_a_minute": "not HTTP"}
        log.info(events.HTTP_BAD_REQUEST, host, str(ex) or type(ex).__name__, extra=extra)
        known = ex if isinstance(ex, ValueError) else ValueError(str(ex))
        return super()._handle_client_error(known)  # type: ignore[misc]  # its stubs lack it

    def _log_error(self, t: type[BaseException], v: BaseException, tb: Any) -> None:
        if not issubclass(t, (OSError, GreenletExit)):
            log.error(events.HTTP_DEFECT, exc_info=(t, v, tb), extra={"once_a_minute": "defect"})

    def MessageClass(self, *args: Any) -> Any:
        try:
            return super().MessageClass(*args)
        except HTTPException as error:  # more headers than Python's parser takes
            raise ValueError(str(error)) from error

    def read_request(self, raw_requestline: str) -> Any:
        well_formed = super().read_request(raw_requestline)
        # What follows is not read, neither to be used nor to be thrown away.
        self.content_length = 0
        del self.headers["transfer-encoding"]
        return well_formed


def _cut(sock: Any) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client was quicker
