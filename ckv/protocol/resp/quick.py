"""Where compiled code joins the sessions of clients of Redis: it does what it knows, and they do the rest.

:mod:`ckv.protocol.quick` says more; it is the same for the other protocol. A loop that answers by itself is given the
bytes of a session that owes nobody an answer. One that passes requests on takes numbers for them as the session does,
so that answers of both, in any order, leave in the order of the requests.
"""

from __future__ import annotations

from typing import Final

from ckv.protocol.limits import KIB
from ckv.protocol.resp.gather import Gather
from ckv.protocol.resp.ordering import Reply
from ckv.protocol.resp.results import flag_reply, ok_reply, value_reply
from ckv.protocol.resp.session import RespSession

MOST_KEPT_BYTES: Final = 68 * KIB
"""A longer beginning of a request is the parser's: it need not be copied and looked at again with each read. So much is
the longest value that compiled code waits for (``MAX_CUT_BYTES`` in ``ckv/core/resp.pxd``) with what is before it."""

REPLIES: Final[tuple[Reply, ...]] = (value_reply, ok_reply, flag_reply, flag_reply)
"""How the results of requests are answered that compiled code passes on, by their kind (``ckv/core/request.pxd``)."""


class QuickRespSession(RespSession):
    """A session that shares its requests with compiled code."""

    __slots__ = ()

    @property
    def may_go_ahead(self) -> bool:
        """Whether all that it was given was begun, but for the beginning of a request that :meth:`with_kept` has. Not
        in a transaction, of which compiled code knows nothing."""
        if self._to_come or self._ended or self.taker is not None:
            return False
        parser = self._parser
        return parser.is_between or parser.hands_out

    @property
    def is_between(self) -> bool:
        """Whether all of that is answered too, so that further answers may leave at once."""
        return not (self.in_flight or self.waiting) and self.may_go_ahead

    def with_kept(self, data: bytes) -> bytes:
        """What has arrived, with what was kept of it before."""
        parser = self._parser
        if parser.is_between:
            return data
        kept = parser.take_kept()
        return data if kept is None else kept + data

    def go_on(self, data: bytes, is_cut: bool) -> bytes:
        """Takes over where compiled code has stopped; the answers. ``is_cut``: it is the beginning of one request."""
        if is_cut and len(data) <= MOST_KEPT_BYTES:
            self._parser.keep(data)
            return b""
        if self.attention or self.line.held:
            self.feed(data)
            return b""
        return self.received(data)

    def ask(self, requests: bytes) -> tuple[bytes, bool]:
        """Serves whole requests, in the middle of what compiled code answers: the answers, if they are there now, and
        whether the next one may be served at once."""
        answers = self.received(requests)
        return answers, self.is_between and not (self.attention or self.line.held)

    # --- for the route loop --------------------------------------------------------------------------------------

    def ask_ahead(self, requests: bytes) -> tuple[bytes, bool]:
        """The same, and answers that are to come stop nothing."""
        answers = self.received(requests)
        return answers, self.may_go_ahead and not (self.attention or self.line.held)

    def gather(self, number: int, count: int) -> Gather:
        """Who gathers the values of request ``number``, of which so many were asked for."""
        return Gather(self, number, count, self._shared.limits.max_queued_bytes)

    def begin(self, count: int, calls: int) -> bool:
        """Takes note that so many requests were passed on, numbered from :attr:`ticket` on, as so many calls; whether
        more may be."""
        self.ticket += count
        self.defer(calls)
        return not self.line.held

    def expect(self, number: int, kind: int) -> None:
        """Has :meth:`respond` take the result of a request that was passed on."""
        if number >= self.head and number not in self.early:
            self._replies[number] = REPLIES[kind]

    def answered(self, answers: bytes, head: int, early_bytes: int) -> None:
        """Takes what leaves next, up to the answer before number ``head``. Of answers that others have to come before,
        so many bytes more are in :attr:`early`, or fewer."""
        if not self.is_open:
            return
        if early_bytes:
            self._count_early(early_bytes)
        if head != self.head:
            self._out.append(answers)
            self._go_ahead_to(head)
