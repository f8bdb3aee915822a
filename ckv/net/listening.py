"""Where a node listens: a socket at the first address of a name that this machine has, and who comes to it."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from ckv import events
from ckv.address import Address
from ckv.net.poller import READ
from ckv.net.resolver import plain_getaddrinfo
from ckv.net.transport import plain_socket
from ckv.outage import Outage

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""Connections that the kernel completes while the loop is busy; the kernel lowers it to its own somaxconn."""

ACCEPTS_PER_TURN: Final = 64
"""Connections accepted before those that are there already get their turn."""

PAUSE: Final = 0.025
"""Seconds without accepting when there is no file descriptor or no memory, for the loop would spin otherwise."""

OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def bound(address: Address) -> socket.socket:
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


class Listener:
    """Accepts whoever comes to a socket."""

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        is_full: Callable[[], bool],
        accept: Callable[[socket.socket, tuple[Any, ...]], None],
    ) -> None:
        """Begins at once. ``is_full``: whether nobody can come in now; then it looks again soon. ``accept`` takes each
        socket over, and the address of who is at its other end."""
        self._sock = sock
        self._is_full = is_full
        self._accept = accept
        # Repeating, and stopped when it fires: libev has a one-shot timer that is started again fire at once.
        self._pause: Any = loop.timer(PAUSE, PAUSE)
        self._shortage = Outage(log)
        self._watcher: Any = loop.io(sock.fileno(), READ)
        self._watcher.start(self._acceptable)

    def _acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if self._is_full():
                self._pause_accepting()
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in OUT_OF_RESOURCES:
                    self._shortage.tell(events.CANNOT_ACCEPT, error.strerror)
                    self._pause_accepting()
                    return
                raise
            self._accept(sock, address)

    def _pause_accepting(self) -> None:
        self._watcher.stop()
        self._pause.start(self._accept_again)

    def _accept_again(self) -> None:
        self._pause.stop()
        self._watcher.start(self._acceptable)

    def look_after(self) -> None:
        """To be called now and then: tells when there are files and memory again."""
        if self._shortage.is_quiet:
            self._shortage.end(events.ACCEPTS_AGAIN)

    def close(self) -> None:
        """Listens no more."""
        self._pause.stop()
        self._watcher.close()
        self._sock.close()
