"""One peer's end of a protocol: bytes in, bytes out, and tickets for what is answered later. It knows no socket.

Whoever has the bytes of a peer gives them to :meth:`Session.received` and sends what that returns. A handler that
returned LATER answers by :meth:`Session.respond`; such answers are collected, and the line is told once that there are
some. A protocol is one subclass of this; ``ckv/net/inbox.py`` chooses it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, Final

from ckv import events
from ckv.protocol.handler import Line

log = logging.getLogger(__name__)

IN_FLIGHT: Final = "requests in flight"
"""Why a session holds its line."""


class Session:
    """The requests of one peer. It is the caller that handlers see."""

    in_order: ClassVar[bool] = False
    """Whether its answers have to leave in the order in which it gives them away: they have no numbers."""
    __slots__ = (
        *("_ended", "_few", "_full", "_max", "attention", "calls", "failed", "in_flight", "is_open", "large", "line"),
        "waiting",
    )

    def __init__(self, line: Line, max_in_flight: int) -> None:
        """``max_in_flight``: requests that wait for an answer before the line is held."""
        self.line = line
        self._max = max_in_flight
        self.calls = 0
        """Requests that came, each of a BATCH counted; those that compiled code answers only while it counts them."""
        self.in_flight = 0
        """Requests that were read and are not answered yet."""
        self._full = False
        """Whether it holds the line because there are too many of them."""
        self._few = max_in_flight // 2
        """How many there may be when it releases the line again."""
        self._ended = False
        self.is_open = True
        self.waiting = False
        """Whether there are answers to be taken."""
        self.attention = False
        """Whether :meth:`received` or :meth:`more` has left something: more to be served, a failure, :attr:`large`, or
        answers that are too large to wait for the end of the turn."""
        self.failed = ""
        """Why nothing more of the peer can be understood; empty while all is well."""
        self.large = False
        """Whether it is in the middle of a large message, so that larger reads pay."""

    @property
    def protocol_name(self) -> str:
        """What its peer speaks, for people."""
        raise NotImplementedError

    # --- for whoever has the bytes -------------------------------------------------------------------------------

    def received(self, data: bytes) -> bytes:
        """Serves what has arrived; the answers to it. Not while the line is held, for which there is :meth:`feed`."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Keeps what has arrived for :meth:`more`."""
        raise NotImplementedError

    def more(self) -> bytes:
        """Goes on with what was left; the answers to it."""
        raise NotImplementedError

    def take(self) -> bytes:
        """The answers that were collected."""
        raise NotImplementedError

    def ended(self) -> bool:
        """Takes note that no more will arrive, and whether that is between two messages."""
        self._ended = True
        return self.rest()

    def rest(self) -> bool:
        """Gives back the memory that nothing needs between two messages; false in the middle of one."""
        return True

    def close(self) -> None:
        """Drops everything; nobody can be told anything any more."""
        self.is_open = False
        self.waiting = False
        self.attention = False

    # --- for handlers, as their caller ---------------------------------------------------------------------------

    def respond(self, msgid: int, error: object, result: object) -> None:
        """Answers the request with this ticket. The bytes leave at the end of this turn of the loop."""
        raise NotImplementedError

    def settle(self, count: int = 1) -> None:
        self.in_flight -= count
        if self._full or self._ended:
            self._settled()

    def defer(self, count: int = 1) -> None:
        """Counts requests that will be answered later, by :meth:`respond` or :meth:`settle`."""
        self.in_flight += count
        if self.in_flight >= self._max:
            self._full = True
            self.line.hold(IN_FLIGHT)

    def defer_request(self, number: int, method: object, params: Sequence[object]) -> None:
        """The same for one request, which will be answered under this number."""
        self.defer()

    def break_off(self) -> None:
        """Ends the connection at once: nobody knows any more what its peer was answered."""
        self.line.close("nobody knows which of its requests were answered")

    def break_off_on_defect(self) -> None:
        """The same for the error that is being handled, which is logged."""
        log.exception(events.ANSWER_DEFECT, self.line.peer)
        self.break_off()

    def hold(self, reason: Hashable) -> None:
        self.line.hold(reason)

    def release(self, reason: Hashable) -> None:
        self.line.release(reason)

    @property
    def congested(self) -> bool:
        """Whether so much is unsent that nothing should be added."""
        return self.line.congested

    def _settled(self) -> None:
        if self._full and self.in_flight <= self._few:
            self._full = False
            self._few = self._max // 2
            self.line.release(IN_FLIGHT)
        if self._ended:
            self.line.done()


class Unanswered:
    """The caller of what nobody waits for: its answer goes nowhere, whatever it is."""

    __slots__ = ("_done", "session")

    def __init__(self, session: Session, done: Callable[[], None]) -> None:
        """``done()`` is called when there is an answer, or when there will be none."""
        self.session = session
        self._done = done

    @property
    def is_open(self) -> bool:
        return self.session.is_open

    def respond(self, msgid: int, error: object, result: object) -> None:
        self._done()

    def settle(self) -> None:
        self._done()

    def hold(self, reason: Hashable) -> None:
        self.session.hold(reason)

    def release(self, reason: Hashable) -> None:
        self.session.release(reason)
