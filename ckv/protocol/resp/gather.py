"""One answer whose elements several nodes have: that to MGET, where compiled code passes its keys on.

:class:`ckv.redis.many.Many` is its twin, and the contract.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any, cast

from ckv import events
from ckv.protocol.resp.replies import TOO_MANY_BYTES, UNEXPECTED_ANSWERS, array, bulk, error_of, worse_of
from ckv.protocol.resp.session import RespSession
from ckv.values import size_of

log = logging.getLogger(__name__)


class Gather:
    """The values of one request, as the caller of the calls for them: the ticket of each is its place."""

    __slots__ = ("_error", "_is_odd", "_left_bytes", "_missing", "_number", "_session", "_weight", "elements")

    def __init__(self, session: RespSession, number: int, count: int, most_bytes: int) -> None:
        """``number``: that of the request; ``most_bytes``: those that its values may have."""
        self._session = session
        self._number = number
        self._missing = count
        self._weight = count - 1
        """What it counts among the requests in flight, beyond itself."""
        self._left_bytes = most_bytes
        self._error = b""
        """The first answer of a call that failed, or one after which nobody knows."""
        self._is_odd = False
        """Whether a result was not what it should be."""
        self.elements: list[bytes | None] = [None] * count
        """The values as they are answered, where there is one."""

    @property
    def is_open(self) -> bool:
        """Whether anybody waits for it."""
        return self._session.is_open

    def gathered(self, count: int, size: int) -> None:
        """Takes note of so many elements more, which have so many bytes."""
        self._missing -= count
        self._left_bytes -= size
        if self._left_bytes < 0:
            self._error = self._error or TOO_MANY_BYTES
            self.elements[:] = [None] * len(self.elements)  # of which there may be far more than may be kept
        if self._missing:
            return
        session = self._session
        if self._error:
            answer = self._error
        elif self._is_odd:
            answer = UNEXPECTED_ANSWERS
        else:
            # No comprehension: where there is no memory for a variable that it shares with its function, Python 3.11
            # lets go of nothing that the function was given, so that the session would stay for ever.
            for place, element in enumerate(self.elements):
                if element is None:
                    self.elements[place] = session.nil
            answer = array(cast("list[bytes]", self.elements))
        self.elements.clear()
        session.answer(self._number, answer)
        session.settle(self._weight)

    def expect(self, number: int, kind: int) -> None:
        """Nothing is needed for :meth:`respond`: all are GETs."""

    def respond(self, msgid: int, error: object, result: Any) -> None:
        """Takes what was no ordinary result."""
        size = 0
        if error is not None:
            self._error = worse_of(self._error, error_of(error))
        else:
            try:
                found, value = result
                if found:
                    self.elements[msgid] = bulk(value)
                if isinstance(value, (str, bytes)):
                    size = size_of(value)
            except Exception as raised:  # Another node may be of another version.
                log.error(events.NODES_ANSWER_DEFECT, exc_info=raised)
                self._is_odd = True
        self.gathered(1, size)

    def settle(self) -> None:
        """Takes note that a call is done without an answer."""
        self.gathered(1, 0)

    def break_off(self) -> None:
        """Ends the connection of the session at once."""
        self._session.break_off()

    def hold(self, reason: Hashable) -> None:
        """Holds the session."""
        self._session.hold(reason)

    def release(self, reason: Hashable) -> None:
        """Ends that."""
        self._session.release(reason)
