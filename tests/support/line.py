"""A line that carries the bytes of a session nowhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from ckv.address import Address
from ckv.protocol.session import Session


class Nowhere:
    """Notes what the session does to it; see :class:`ckv.protocol.handler.Line`."""

    peer = "nobody"
    congested = False
    unsent_bytes = 0
    own_address = Address("10.0.0.9", 8080)

    def __init__(self) -> None:
        self.holds: set[Hashable] = set()
        self.paused = False
        self.finished = False
        self.woken = 0
        self.closed = ""
        """Why, when it is."""
        self.session: Session | None = None
        """What is closed with it."""
        self.reading: Callable[[int, int], bytes] | None = None

    @property
    def held(self) -> bool:
        return bool(self.holds) or self.paused or self.finished or bool(self.closed)

    def wake(self) -> None:
        self.woken += 1

    def hold(self, reason: Hashable) -> None:
        self.holds.add(reason)

    def release(self, reason: Hashable) -> None:
        self.holds.discard(reason)

    def read_by(self, read: Callable[[int, int], bytes] | None) -> None:
        self.reading = read

    def pause(self) -> None:
        self.paused = True

    def finish(self) -> None:
        self.finished = True

    def done(self) -> None:
        """Nobody waits for it."""

    def close(self, reason: str) -> None:
        self.closed = reason
        if self.session is not None:
            self.session.close()


def served(session: Session, line: Nowhere, data: bytes) -> bytes:
    """What the session answers to the bytes, as a connection has it: it goes on until nothing is left that can be."""
    answers = session.received(data)
    while session.attention and not session.failed and not line.holds:
        line.paused = False
        answers += session.more()
    return answers
