"""The RESP session of a client: requests in, answers out in the order of the requests.

Requests are carried out one after the other, and one that has to wait (for the database, for another node) holds up
nobody behind it; only the answers behind it wait until its own has left. While none waits, nothing of that is touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ckv import errors
from ckv.protocol.failures import ERROR
from ckv.protocol.handler import LATER, Line
from ckv.protocol.limits import SPARE_BUFFER_BYTES
from ckv.protocol.resp.methods import CarryOut, RespMethods, nothing, unknown
from ckv.protocol.resp.ordering import NOT_YET, AnsweringSession
from ckv.protocol.resp.parsing import Parser, Request
from ckv.protocol.resp.replies import error

_HTTP: Final = (b"post", b"host:")
"""What no client of Redis begins with, and a browser that somebody sends here does: what follows is from him."""

_NONE: Final[list[Request]] = []


class RespSession(AnsweringSession):
    """Answers the requests of one client."""

    __slots__ = ("_at", "_parser", "_to_come")

    def __init__(self, line: Line, shared: RespMethods) -> None:
        super().__init__(line, shared)
        self._parser = Parser(shared.limits)
        self._to_come = _NONE
        """Requests that were found, of which those up to number ``_at`` were carried out."""
        self._at = 0

    def move_to(self, shared: RespMethods) -> None:
        """Has what is read from now on served by other commands."""
        self._shared = shared

    @property
    def kept_bytes(self) -> int:
        """What has arrived of a request that is not whole."""
        return self._parser.kept_bytes

    @property
    def protocol_name(self) -> str:
        return f"RESP{self.protocol}"

    # --- for whoever has the bytes -------------------------------------------------------------------------------

    def received(self, data: bytes) -> bytes:
        parser = self._parser
        requests = parser.parse(data)
        self._shared.count(requests)
        self.calls += len(requests)
        if (
            len(requests) == 1
            and parser.is_between
            and self.ticket == self.head
            and not (self.waiting or self._to_come)
            and self.taker is None
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
        requests = self._parser.parse(data)
        self._shared.count(requests)
        self.calls += len(requests)
        self._to_come = self._to_come[self._at :] + requests
        self._at = 0
        self.attention = True

    def more(self) -> bytes:
        return self._serve()

    def rest(self) -> bool:
        return self._parser.is_between

    def close(self) -> None:
        super().close()
        self._to_come = _NONE
        self._at = 0

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
        if self._behind:
            self._push_behind()
        if answer is LATER:
            self._has_begun(request)
            return self.take() if self._out else b""
        if answer.startswith(ERROR):
            self._shared.slow.errors.count_answer(answer)
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
            if self.line.held:
                self.attention = True  # what holds it is answered first
                return self.take()
            self._fail(self._parser.broken, f"ERR Protocol error: {self._parser.broken}")
        return self.take()

    def _carry_out(self) -> None:
        requests = self._to_come
        shared = self._shared
        out = self._out
        line = self.line
        most = self._limit
        size = 0
        at = self._at
        try:
            while at < len(requests):
                request = requests[at]
                at += 1
                command = shared.commands.get(request[0])
                try:
                    if self.taker is None:
                        answer = (self._find(request) if command is None else command)(self, request)
                    else:
                        answer = self.taker(self, request)
                except Exception as raised:  # noqa: BLE001 - one bad request must not end the node
                    answer = shared.failed(raised, request)
                if answer is LATER:
                    self._has_begun(request)
                    stops = line.held
                elif self.head == self.ticket:
                    if answer.startswith(ERROR):
                        shared.slow.errors.count_answer(answer)
                    out.append(answer)
                    size += len(answer)
                    stops = self.attention or size > most
                elif answer is NOT_YET:
                    at -= 1
                    stops = True
                else:
                    self.wait(None)
                    self.answer(self.ticket - 1, answer)
                    stops = line.held or self.attention
                if self._behind:
                    self._push_behind()
                if stops:
                    break
        finally:
            if at < len(requests) and self._to_come:
                self._at = at
            else:
                self._to_come = _NONE
                self._at = 0
        if size > SPARE_BUFFER_BYTES:
            self.attention = True

    def _has_begun(self, request: Request) -> None:
        """Takes note of a request that waits for its answer, if it does still."""
        number = self.ticket - 1
        if number >= self.head and number not in self.early:
            arguments = len(request) - 1
            self._begun[number] = self._shared.slow.begun(request[0], request[1] if arguments else None, arguments)

    def _find(self, request: Request) -> Any:
        """The command, whose name is spelled in no usual way; one that says why when there is none."""
        name = request[0]
        if name.lower() in _HTTP:
            self._fail("HTTP in the place of RESP", "")
            return nothing
        command = self._shared.find(name)
        if command is None:
            return unknown
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
            answer = error(told)
            self._shared.slow.errors.count_answer(answer)
            self._out.append(answer)
        self.failed = self.failed or reason
        self.attention = True
        self._to_come = _NONE
        self._at = 0

    # --- for commands ------------------------------------------------------------------------------------------------

    def carry_out(self, request: Request) -> Any:
        """Carries out a request that came in a transaction, as if it had come without one."""
        command = self._shared.commands.get(request[0])
        return (self._find(request) if command is None else command)(self, request)

    def answer_to_failed(self, raised: Exception, request: Request) -> bytes:
        """The answer to a request whose command raised this."""
        return self._shared.failed(raised, request)

    def count_errors(self, answers: Iterable[bytes]) -> None:
        """Takes note of the errors among those that make up one answer."""
        self._shared.slow.errors.count_answers(answers)

    def refusal_of(self, request: Request) -> errors.Refused | None:
        """What such a request is refused with at this time, if it is."""
        return self._shared.refusal_of(request[0])

    def no_command(self, request: Request) -> str:
        """What is wrong with a request whose command is not there."""
        return self._shared.no_command(request)
