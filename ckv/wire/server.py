"""The listening side: accept, limit the number of connections, drain."""

from __future__ import annotations

import errno
import logging
import resource
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ckv import errors
from ckv.resolver import plain_getaddrinfo
from ckv.settings import Address
from ckv.wire.connection import Connection, plain_socket
from ckv.wire.handler import Handler
from ckv.wire.limits import Limits
from ckv.wire.msgpackrpc import Service
from ckv.wire.poller import READ, Poller

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""Connections that the kernel completes while the loop is busy; the kernel lowers it to its own somaxconn."""

ACCEPTS_PER_TURN: Final = 64
"""Connections accepted before those that are there already get their turn."""

ACCEPT_PAUSE: Final = 0.1
"""Seconds without accepting after the process ran out of file descriptors: the loop would spin otherwise."""

SPARE_FILES: Final = 256
"""File descriptors beyond the connections: the database, the log, other nodes."""


class Server:
    """Serves a table of handlers on one address."""

    def __init__(self, poller: Poller, handlers: Mapping[str, Handler], limits: Limits) -> None:
        self._poller = poller
        self._limits = limits
        self._service = Service(handlers, limits)
        self._listener: socket.socket | None = None
        self._watcher: Any = None
        self._pause: Any = poller.loop.timer(ACCEPT_PAUSE)
        self._connections: set[Connection] = set()
        self._full = False

    def listen(self, address: Address) -> Address:
        """Binds and starts to accept; returns the address with the port that was given for port 0. Raises OSError."""
        raise_file_limit(self._limits.max_connections + SPARE_FILES)
        self._listener = listener = _bound(address)
        self._poller.add_receiver(self._service)
        self._watcher = self._poller.loop.io(listener.fileno(), READ)
        self._watcher.start(self._acceptable)
        return Address(address.host, listener.getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """Requests that were read and are not answered yet."""
        return sum(connection.in_flight for connection in self._connections)

    @property
    def idle(self) -> bool:
        """Whether all requests that were read are answered and all answers sent."""
        return all(connection.idle for connection in self._connections)

    def drain(self, error: errors.Refused, but: Iterable[str] = ()) -> None:
        """From now on answers every request with the error, ``but`` those of these methods.

        It goes on accepting, or nobody could ask how far the drain is. An idle connection holds nothing up.
        """
        self._service.refuse_everything(error, but)

    def close(self) -> None:
        """Closes everything at once."""
        self._poller.remove_receiver(self._service)
        self._stop_accepting()
        for connection in list(self._connections):
            connection.close("")

    def _stop_accepting(self) -> None:
        self._pause.stop()
        if self._listener is not None:
            self._watcher.stop()
            self._watcher.close()
            self._listener.close()
            self._listener = None

    def _acceptable(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("cannot accept connections for now: %s", error.strerror)
                    self._watcher.stop()
                    self._pause.start(self._watcher.start, self._acceptable)
                    return
                raise
            self._accept(sock, address)

    def _accept(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        if len(self._connections) >= self._limits.max_connections:
            sock.close()
            if not self._full:
                self._full = True
                log.warning("connection refused: all %d are taken (--max-connections)", self._limits.max_connections)
            return
        peer = str(Address(str(address[0]), int(address[1])))
        try:
            connection = Connection(self._poller, sock, peer, self._limits, self._service, self._connection_closed)
        except OSError as error:
            # It was reset between the kernel's accept and ours.
            log.info("connection from %s lost at once: %s", peer, error.strerror)
            sock.close()
            return
        self._connections.add(connection)

    def _connection_closed(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        self._full = False
        if reason:
            log.warning("connection from %s closed: %s", connection.peer, reason)


def _bound(address: Address) -> socket.socket:
    """Listens on the first address of the name that this machine has. Raises OSError, for the first that failed."""
    # The plain one, for nobody has to be served meanwhile, and gevent's may start a thread.
    try:
        places = plain_getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # a host name that no DNS can have
        raise OSError(str(error)) from error
    failed: OSError | None = None
    for family, kind, proto, _, target in places:
        listener = plain_socket(family, kind, proto)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            failed = failed or error
    raise failed or OSError("the name has no address")


def raise_file_limit(wanted: int) -> None:
    """Raises the soft limit of open files towards ``wanted``, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning("only %d open files are allowed; --max-connections needs %d", allowed, wanted)
