"""The answers to a client of Redis, which leave in the order of its requests, and what is pushed to it between them.

A request that has to wait takes a number; the answers behind it wait until its own has left. While none waits, nothing
of that is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Final

from ckv.protocol.failures import ERROR
from ckv.protocol.handler import LATER, Line
from ckv.protocol.limits import MIB
from ckv.protocol.resp.client import RespClient
from ckv.protocol.resp.methods import RespMethods
from ckv.protocol.resp.replies import error_of
from ckv.protocol.session import IN_FLIGHT
from ckv.protocol.slow import Begun

Reply = Callable[[Any, Any], bytes]
"""Makes the answer of a result, given the session."""

Part = Callable[[object, Any], None]
"""Takes one of several results that a request needs: the error in the form that travels, or None, and the result."""

EARLY: Final = "answers that others have to come before"
"""Why a session holds its line."""

NOT_YET: Final = object()
"""What a command returns that was not carried out, and is to be when all before it is answered."""

MAX_UNREAD_PUSHES: Final = 32 * MIB
"""What a client may leave unread when more is to be pushed to it; as ``client-output-buffer-limit pubsub`` of Redis."""


class AnsweringSession(RespClient):
    """What of a session is about its answers."""

    in_order: ClassVar[bool] = True
    __slots__ = (
        *("_begun", "_behind", "_early_bytes", "_limit", "_out", "_part", "_parts", "_prompt", "_pushed", "_replies"),
        *("_behind_bytes", "_serving", "_shared", "_slowed_by", "early", "head", "ticket"),
    )

    def __init__(self, line: Line, shared: RespMethods) -> None:
        # A secondary lets a primary have far more in flight than the answers of one client may come to.
        super().__init__(line, shared.limits.max_answers_in_flight, shared.connected)
        self._shared = shared
        self._limit = shared.limits.soft_unsent_bytes
        self.head = 0
        """The number of the request whose answer leaves next."""
        self.ticket = 0
        """That of the next request, if it has to wait or its answer has; the same, while no answer waits. It is for
        handlers, which may answer later."""
        self._replies: dict[int, Reply] = {}
        """How the results of those that wait are answered."""
        self.early: dict[int, bytes] = {}
        """Answers that others have to come before."""
        self._early_bytes = 0
        self._out: list[bytes] = []
        """Answers that leave next."""
        self._pushed = 0
        """Bytes of them that are no answers."""
        self._behind_bytes = 0
        self._behind: list[bytes] = []
        """What the request that is carried out has itself pushed to: it leaves behind the answer to that."""
        self._serving = False
        """Whether somebody will take them at once."""
        self._begun: dict[int, Begun] = {}
        """Those of them of which the slow log is told."""
        self._prompt: tuple[int, object, object] | None = None
        """Number, error and result of a request that said only then that it would wait."""
        self._slowed_by: set[Hashable] = set()
        """Those for whom handlers hold it."""
        self._part = 0
        self._parts: dict[int, Part] = {}
        """Who takes the results of parts of requests, by negative numbers."""

    def _fail(self, reason: str, told: str) -> None:
        """Ends the connection, of which nothing more is served."""
        raise NotImplementedError

    def close(self) -> None:
        super().close()
        self._replies.clear()
        self.early.clear()
        self._parts.clear()
        self._begun.clear()
        self._slowed_by.clear()
        self._out.clear()
        self._behind.clear()
        self._prompt = None

    def take(self) -> bytes:
        self.waiting = False
        self._pushed = 0
        out = self._out
        answers = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return answers

    def push(self, data: bytes) -> bool:
        """Sends something that is no answer, behind the answers to what was asked before. Returns whether it is on its
        way: not if so much is unread that the connection ends."""
        unread = self._pushed + self._behind_bytes + self._early_bytes + self.line.unsent_bytes
        if unread + len(data) > MAX_UNREAD_PUSHES:
            self._out.clear()
            self._behind.clear()
            self._behind_bytes = 0
            self.end(f"more than {MAX_UNREAD_PUSHES} bytes are unread of what it has subscribed to")
            return False
        if self._serving:
            self._behind.append(data)
            self._behind_bytes += len(data)
        else:
            self._push(data)
        return True

    def _push_behind(self) -> None:
        """The request is answered, or waits: what it has pushed follows."""
        data = b"".join(self._behind)
        self._behind.clear()
        self._behind_bytes = 0
        self._push(data)

    def _push(self, data: bytes) -> None:
        if self.head != self.ticket:
            self.wait(None)
            self.answer(self.ticket - 1, data)
            return
        self._pushed += len(data)
        self._out.append(data)
        if not self.waiting:
            self.waiting = True
            self.line.wake()

    def end(self, reason: str) -> None:
        """Ends the connection, at the end of this turn."""
        self._fail(reason, "")
        self.line.wake()

    # --- for commands ------------------------------------------------------------------------------------------------

    def wait(self, reply: Reply | None) -> Any:
        """Makes the request wait for the answer of a handler, which was given :attr:`ticket`, or for :meth:`answer`.
        Returns what its command returns then."""
        number = self.ticket
        self.ticket = number + 1
        self.defer()
        if reply is not None:
            self._replies[number] = reply
            if self._prompt is not None:
                own, told, result = self._prompt
                self._prompt = None
                if own == number:
                    self.respond(number, told, result)
        return LATER

    @property
    def owes_answers(self) -> bool:
        """Whether a request before the one that is carried out waits for its answer."""
        return self.head != self.ticket

    def wait_for_all(self) -> Any:
        """Has the request carried out when all before it are answered, and those behind it after that. Returns what its
        command returns then, which has done nothing. Only while :attr:`owes_answers`."""
        self.hold_until_all_answered()
        return NOT_YET

    def hold_until_all_answered(self) -> None:
        """Has those behind the request that is carried out wait until it is answered, and all before it. It waits for
        its answer; where it has one already, and all before it have, nothing waits."""
        if self.owes_answers:
            self._full = True
            self._few = 0
            self.line.hold(IN_FLIGHT)

    @property
    def is_slowed(self) -> bool:
        """Whether another node takes requests more slowly than they come. A large one may wait for it then, and no
        further part of a request may pass that by."""
        return bool(self._slowed_by)

    def hold(self, reason: Hashable) -> None:
        self._slowed_by.add(reason)
        self.line.hold(reason)

    def release(self, reason: Hashable) -> None:
        self._slowed_by.discard(reason)
        self.line.release(reason)

    def part(self, take: Part) -> int:
        """A ticket for a handler that carries out a part of a request. Its later answer goes to ``take``."""
        self._part -= 1
        self._parts[self._part] = take
        return self._part

    def no_part(self, ticket: int) -> None:
        """Takes that back: the part was carried out at once."""
        self._parts.pop(ticket, None)

    def answer(self, number: int, answer: bytes) -> None:
        """Answers the request of this number, which waits, as soon as all before it are answered."""
        if not self.is_open:
            return
        begun = self._begun.pop(number, None)
        if begun is not None:
            self._shared.slow.answered(begun, self.line.peer)
        early = self.early
        try:
            if answer.startswith(ERROR):
                self._shared.slow.errors.count_answer(answer)
            if number != self.head:
                early[number] = answer
                self._count_early(len(answer))
                return
            out = self._out
            out.append(answer)
            number += 1
            if early:
                size = 0
                while (after := early.pop(number, None)) is not None:
                    out.append(after)
                    size += len(after)
                    number += 1
                self._count_early(-size)
            self._go_ahead_to(number)
        except Exception:  # noqa: BLE001 - whoever brings the answer may have those of others
            self.break_off_on_defect()

    def _count_early(self, more: int) -> None:
        """Takes note of so many bytes more, or fewer, of early answers."""
        self._early_bytes += more
        if self._early_bytes > self._limit:
            self.line.hold(EARLY)
        elif more <= 0:
            self.line.release(EARLY)

    def _go_ahead_to(self, number: int) -> None:
        """Takes note that what was answered before this number is among the answers that leave next."""
        done = number - self.head
        self.head = number
        if not (self._serving or self.waiting):
            self.waiting = True
            self.line.wake()
        self.in_flight -= done
        if self._full or self._ended:
            self._settled()

    def respond(self, msgid: int, error: object, result: object) -> None:
        if msgid < 0:
            part = self._parts.pop(msgid, None)
            if part is not None:
                try:
                    part(error, result)
                except Exception:  # noqa: BLE001 - as in answer()
                    self.break_off_on_defect()
            return
        reply = self._replies.pop(msgid, None)
        if reply is not None:
            try:
                answer = error_of(error) if error is not None else reply(self, result)
            except Exception as raised:  # noqa: BLE001 - another node may be of another version
                answer = self._shared.failed(raised, [b"an answer"])
            self.answer(msgid, answer)
        elif self.is_open:
            self._prompt = (msgid, error, result)
