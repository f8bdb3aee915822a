"""What systemd is told of a node that it manages: that it is ready, that it lives, that it stops.

A datagram each: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html. Where no manager asks for them,
nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from ckv import events
from ckv.net.transport import plain_socket

log = logging.getLogger(__name__)

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"


class Manager:
    """Whoever has started this process and wants to hear of it."""

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        process: int | None = None,
    ) -> None:
        """``environ``: ``NOTIFY_SOCKET``, and ``WATCHDOG_USEC`` and ``WATCHDOG_PID``. ``clock``: seconds, and never
        goes back. ``process``: its own number."""
        where = environ.get("NOTIFY_SOCKET", "")
        self._to = f"\0{where[1:]}" if where.startswith("@") else where if where.startswith("/") else ""
        self._clock = clock
        every = environ.get("WATCHDOG_USEC", "")
        is_meant = environ.get("WATCHDOG_PID", "") in ("", str(process or os.getpid()))
        self._every = int(every) / 2_000_000 if every.isdecimal() and is_meant else 0.0
        """Seconds from one sign of life to the next: half of what it is given, as the manual says; 0 for none."""
        self._told = self._clock()
        self._unsent: list[str] = []
        """What could not be sent yet, as nobody has taken what was sent before."""
        self._socket = plain_socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._to else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def tell(self, *lines: str) -> None:
        """Sends these, :data:`READY` for instance, now or at a :meth:`tick`. What cannot be sent at all is logged and
        left. It never waits."""
        if self._socket is not None:
            self._unsent.append("\n".join(lines))
            self._send(self._socket)

    def tick(self) -> None:
        """Gives a sign of life when it is time for one. To be called by the loop, about once a second: one that hangs
        gives none, and is started again."""
        if self._socket is not None:
            self._send(self._socket)
        if self._every and self._clock() - self._told >= self._every and not self._unsent:
            self._told = self._clock()
            self.tell(ALIVE)

    def _send(self, sock: socket.socket) -> None:
        while self._unsent:
            try:
                sock.sendto(self._unsent[0].encode(), self._to)
            except BlockingIOError:
                return
            except OSError as error:
                what, why = self._unsent[0].partition("\n")[0], error.strerror or error
                log.warning(events.MANAGER_AWAY, self._to, what, why)
            del self._unsent[0]
