"""The RESP session of a client: requests in, answers out in the order of the requests.

Requests are carried out one after the other, and one that has to wait (for the database, for another node) holds up
nobody behind it; only the answers behind it wait until its own has left. While none waits, nothing of that is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Final

from ckv import errors
from ckv.protocol.handler import LATER, Line
from ckv.protocol.limits import SPARE_BUFFER_BYTES
from ckv.protocol.resp.client import RespClient
from ckv.protocol.resp.methods import CarryOut, RespMethods
from ckv.protocol.resp.parsing import Parser, Request
from ckv.protocol.resp.replies import error, error_of

Reply = Callable[["RespSession", Any], bytes]
"""Makes the answer of a result."""

Part = Callable[[object, Any], None]
"""Takes one of several results that a request needs: the error in the form that travels, or None, and the result."""

EARLY: Final = "answers that others have to come before"
"""Why a session holds its line."""

_HTTP: Final = (b"post", b"host:")
"""What no client of Redis begins with, and a browser that somebody sends here does: what follows is from him."""

_NONE: Final[list[Request]] = []


class RespSession(RespClient):
    """Answers the requests of one client."""

    in_order: ClassVar[bool] = True
    __slots__ = (
        *("_at", "_early_bytes", "_limit", "_out", "_parser", "_part", "_parts", "_prompt"),
        *("_replies", "_serving", "_shared", "_slowed_by", "_to_come", "early", "head", "ticket"),
    )

    def __init__(self, line: Line, shared: RespMethods) -> None:
        # A secondary lets a primary have far more in flight than the answers of one client may come to.
        super().__init__(line, shared.limits.max_answers_in_flight, shared.connected)
        self._shared = shared
        self._parser = Parser(shared.limits)
        self._limit = shared.limits.soft_unsent_bytes
        self._to_come = _NONE
        """Requests that were found, of which those up to number ``_at`` were carried out."""
        self._at = 0
        self.head = 0
        """The number of the request whose answer leaves next."""
        self.ticket = 0
        """That of the next request, if it has to wait or its answer has; the same, while no answer waits. It is for
        handlers, which may answer later."""
        self._replies: dict[int, Reply] = {}
        """How the results of those that wait are answered."""
        self.early: dict[int, bytes] = {}
        """Answers that others have to come before, by the numbers of their requests."""
        self._early_bytes = 0
        self._out: list[bytes] = []
        """Answers that leave next."""
        self._serving = False
        """Whether somebody will take them at once."""
        self._prompt: tuple[int, object, object] | None = None
        """Number, error and result of a request that said only then that it would wait."""
        self._slowed_by: set[Hashable] = set()
        """Those for whom handlers hold it."""
        self._part = 0
        self._parts: dict[int, Part] = {}
        """Who takes the results of parts of requests, by negative numbers."""

    def move_to(self, shared: RespMethods) -> None:
        """Has what is read from now on served by other commands."""
        self._shared = shared

    @property
    def kept_bytes(self) -> int:
        """What has arrived of a request that is not whole."""
        return self._parser.kept_bytes

    # --- for whoever has the bytes -------------------------------------------------------------------------------

    def received(self, data: bytes) -> bytes:
        parser = self._parser
        requests = parser.parse(data)
        if (
            len(requests) == 1
            and parser.is_between
            and self.ticket == self.head
            and not (self.waiting or self._to_come)
            and self.transaction is None
        ):
            # Most clients wait for each answer.
            request = requests[0]
            command = self._shared.commands.get(request[0])
            if command is not None:
                return self._serve_one(command, request)
        if self._to_come:
            self._to_come += requests
        else:
            self._to_come = requests
        answers = self._serve()
        self.large = parser.missing > SPARE_BUFFER_BYTES
        if self.large:
            self.attention = True
        return answers

    def feed(self, data: bytes) -> None:
        if self._parser.broken or self.failed or self._ended:
            return
        self._to_come = self._to_come[self._at :] + self._parser.parse(data)
        self._at = 0
        self.attention = True

    def more(self) -> bytes:
        return self._serve()

    def take(self) -> bytes:
        self.waiting = False
        out = self._out
        answers = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return answers

    def rest(self) -> bool:
        return self._parser.is_between

    def close(self) -> None:
        super().close()
        self._to_come = _NONE
        self._at = 0
        self._replies.clear()
        self.early.clear()
        self._parts.clear()
        self._slowed_by.clear()
        self._out.clear()
        self._prompt = None

    @property
    def may_begin(self) -> int:
        """How many requests more may be in flight."""
        return max(0, self._max - self.in_flight)

    # --- requests --------------------------------------------------------------------------------------------------

    def _serve_one(self, command: CarryOut, request: Request) -> bytes:
        """Carries out a request that came by itself, before which no answer is to come."""
        self._serving = True
        self.large = False
        try:
            answer: Any = command(self, request)
        except Exception as raised:  # noqa: BLE001 - as in _carry_out()
            answer = self._shared.failed(raised, request)
        self._serving = False
        if answer is LATER:
            return self.take() if self._out else b""
        if len(answer) > SPARE_BUFFER_BYTES:
            self.attention = True
        return answer  # type: ignore[no-any-return]

    def _serve(self) -> bytes:
        """Carries out what has come, until the line is held or there are many bytes to be sent before the rest."""
        self.attention = False
        self._serving = True
        try:
            self._carry_out()
        finally:
            self._serving = False
        if self._to_come:
            self.attention = True
        elif self._parser.broken and not self.failed:
            self._fail(self._parser.broken, f"ERR Protocol error: {self._parser.broken}")
        return self.take()

    def _carry_out(self) -> None:
        requests = self._to_come
        shared = self._shared
        out = self._out
        line = self.line
        most = self._limit
        size = 0
        at = whole = self._at
        try:
            while at < len(requests):
                request = requests[at]
                at += 1
                command = shared.commands.get(request[0])
                try:
                    if self.transaction is None:
                        answer = (self._find(request) if command is None else command)(self, request)
                    else:
                        self._at = at
                        whole = at - len(requests)
                        answer = self.transaction.take(self, request)
                        whole += len(requests)  # The end of what EXEC has put there.
                except Exception as raised:  # noqa: BLE001 - one bad request must not end the node
                    answer = shared.failed(raised, request)
                if answer is LATER:
                    if line.held:
                        break
                elif self.head == self.ticket:
                    out.append(answer)
                    size += len(answer)
                    if self.attention or size > (most if at >= whole else shared.limits.max_queued_bytes // 2):
                        break
                else:
                    self.wait(None)
                    self.answer(self.ticket - 1, answer)
                    if line.held or self.attention:
                        break
        finally:
            if at < len(requests) and self._to_come:
                self._at = at
            else:
                self._to_come = _NONE
                self._at = 0
        if size > SPARE_BUFFER_BYTES:
            self.attention = True

    def _find(self, request: Request) -> Any:
        """The command, whose name is spelled in no usual way; one that says why when there is none."""
        name = request[0]
        if name.lower() in _HTTP:
            self._fail("HTTP in the place of RESP", "")
            return _nothing
        command = self._shared.find(name)
        if command is None:
            return _unknown
        return command

    def finish(self) -> None:
        """Reads nothing more; the connection ends when all is answered."""
        self._to_come = _NONE
        self._at = 0
        self._ended = True
        self.attention = True
        self.line.finish()

    def _fail(self, reason: str, told: str) -> None:
        """Ends the connection. The client is told, unless answers that should come before are still to come."""
        if told and self.head == self.ticket:
            self._out.append(error(told))
        self.failed = self.failed or reason
        self.attention = True
        self._to_come = _NONE
        self._at = 0

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

    def carry_out(self, request: Request) -> Any:
        """Carries out a request that came in a transaction, as if it had come without one."""
        command = self._shared.commands.get(request[0])
        return (self._find(request) if command is None else command)(self, request)

    def put_first(self, requests: list[Request]) -> None:
        """Has those of a transaction carried out before what comes next, without a stop for large answers."""
        if self._to_come:
            self._to_come[self._at : self._at] = requests

    def refusal_of(self, request: Request) -> errors.Refused | None:
        """What such a request is refused with at this time, if it is."""
        return self._shared.refusal_of(request[0])

    def no_command(self, request: Request) -> str:
        """What is wrong with a request whose command is not there."""
        return self._shared.no_command(request)

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
        early = self.early
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
                part(error, result)
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


def _unknown(session: RespSession, request: Request) -> bytes:
    return error(session.no_command(request))


def _nothing(_session: RespSession, _request: Request) -> bytes:
    return b""
