"""A socket as the Poller sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Polled:
    """Something that is read when its socket is ready, and flushed when there is something to be sent."""

    __slots__ = ("calls", "fd", "held", "inbox", "read")

    def __init__(self, fd: int, read: Callable[[int], bytes], inbox: list[Any], calls: bool) -> None:
        self.fd = fd
        """The number of its file; -1 when it is closed, for that number may be another one's then."""
        self.read = read
        """See :attr:`ckv.net.transport.Transport.read`."""
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

    def send(self, data: bytes) -> None:
        """Sends the bytes now: what the socket takes, and the rest as soon as it takes more."""
        raise NotImplementedError

    def flush(self) -> None:
        """Sends what has come together."""
        raise NotImplementedError

    def close(self, reason: str) -> None:
        """Closes the socket; what is unsent is dropped. Closing it again does nothing."""
        raise NotImplementedError
