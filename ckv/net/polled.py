"""A socket as the Poller sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ckv.net.transport import Transport


class Polled:
    """Something that is read when its socket is ready, and flushed when there is something to be sent."""

    __slots__ = ("calls", "fd", "held", "inbox", "read", "unsent_bytes", "write")

    def __init__(self, transport: Transport, inbox: list[Any], calls: bool) -> None:
        self.fd = transport.fd
        """The number of its file; -1 when it is closed, for that number may be another one's then."""
        self.read: Callable[[int, int], bytes] = transport.read
        self.write: Callable[[int, bytes | memoryview], int] = transport.write
        """See :class:`ckv.net.transport.Transport`. Once it is closed, everything is taken, and nobody gets it."""
        self.unsent_bytes = 0
        """What the socket has not taken yet."""
        self.inbox = inbox
        """Takes what was read, as ``(polled, bytes)``; no bytes are the end of input."""
        self.calls = calls
        """Whether it is the calling side: what comes in are answers."""
        self.held = False
        """Whether it is not to be read."""

    @property
    def in_flight(self) -> int:
        """Requests of its peer that wait for an answer."""
        raise NotImplementedError

    def keep(self, data: bytes, sent: int) -> None:
        """Takes note of what the socket did not take; the first ``sent`` bytes it did."""
        raise NotImplementedError

    def flush(self) -> None:
        """Sends what has come together."""
        raise NotImplementedError

    def close(self, reason: str) -> None:
        """Closes the socket; what is unsent is dropped. Closing it again does nothing."""
        raise NotImplementedError


def send_all(answers: Iterable[tuple[Polled, bytes]]) -> None:
    """Sends bytes now: what the sockets take, and the rest as soon as they take more."""
    for polled, data in answers:
        sent = 0
        if not polled.unsent_bytes:
            try:
                sent = polled.write(polled.fd, data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                polled.close(f"{error.strerror or error}")
                continue
        if sent != len(data):
            polled.keep(data, sent)
