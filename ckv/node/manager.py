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
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if self._to else None

    def tell(self, *lines: str) -> None:
        """Sends these, :data:`READY` for instance. What cannot be sent is logged and left."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._to)
        except OSError as error:
            log.warning("the service manager at %s cannot be told %s: %s", self._to, lines[0], error.strerror or error)

    def tick(self) -> None:
        """Gives a sign of life when it is time for one. To be called by the loop, about once a second: one that hangs
        gives none, and is started again."""
        if self._every and self._clock() - self._told >= self._every:
            self._told = self._clock()
            self.tell(ALIVE)
