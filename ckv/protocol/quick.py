"""Where compiled code joins the sessions of clients: it answers what it knows, and they do the rest.

It gets the bytes of a session that is between two messages, and stops at the first request that it does not know. What
is behind that is the session's. A request whose end has not arrived yet is kept until it has.
"""

from __future__ import annotations

from typing import Any, Final

from ckv.protocol.batch import BATCH_REQUESTS, BATCH_RESULT_CHARACTERS, LAST_MSGID_OF_BATCH
from ckv.protocol.handler import LATER, Arriving, Core, Line
from ckv.protocol.limits import BULKY_BYTES
from ckv.protocol.messages import is_bulky
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from ckv.protocol.packing import unpacked

BATCH_BOUNDS: Final = {
    "batch_requests": BATCH_REQUESTS,
    "batch_bytes": BATCH_RESULT_CHARACTERS,
    "bulky_bytes": BULKY_BYTES,
    "last_batch": LAST_MSGID_OF_BATCH,
}
"""What compiled code has to know of a BATCH."""

FIRST: Final = b"\x94"
"""The first byte of every request: it is an array of four."""

PAIR: Final = b"\x92"
"""The head of an array of two: a request in a BATCH is its method and its arguments."""


class QuickSession(RpcSession):
    """A session that shares its requests with compiled code."""

    __slots__ = ("arriving",)

    def __init__(self, line: Line, shared: RpcMethods) -> None:
        super().__init__(line, shared)
        self.arriving: Arriving | None = None
        """A message of which compiled code reads the rest."""

    def arrives(self, arriving: Arriving) -> None:
        """Has compiled code read the rest of a message."""
        self.arriving = arriving
        self._kept = FIRST  # for whoever asks whether a message is unfinished
        self.line.read_by(arriving.read)

    def arrive(self, core: Core, arriving: Arriving, data: bytes) -> bytes:
        """Adds what has arrived; returns what is behind the message, or all of it if it is not for ``core``."""
        behind = b"" if data is arriving.mark else data[arriving.take(data) :]
        if arriving.missing:
            return b""
        answer = core.arrived(arriving)
        if answer is None:
            return self.with_kept(behind)
        self.calls += 1
        self._no_longer()
        self.collect(answer)
        return behind

    def with_kept(self, data: bytes) -> bytes:
        arriving = self.arriving
        if arriving is None:
            return super().with_kept(data)
        self._no_longer()
        return arriving.message() + (b"" if data is arriving.mark else data)

    def _no_longer(self) -> None:
        self.arriving = None
        self._kept = b""
        self.line.read_by(None)

    def close(self) -> None:
        super().close()
        self.arriving = None

    # --- for the serve loop, in the middle of what it answers ----------------------------------------------------

    def ask(self, message: bytes) -> tuple[bytes, bool]:
        """Serves one message: the answer, if there is one now, and whether the next one may be served at once."""
        answers = self.received(message)
        return answers, not (self.attention or self.line.held)

    def ask_call(self, msgid: int, call: bytes) -> tuple[bytes, bool]:
        """Carries out one request of a BATCH, its method and arguments: what stands for its result in the answer, and
        whether to go on with the next one. An answer of its own has the number ``msgid``."""
        shared = self._shared
        method, params = unpacked(PAIR + call)
        try:
            result: Any = shared.handlers[method](self, msgid, params)
        except Exception as error:  # noqa: BLE001 - one bad request must not end the node
            return shared.pack((shared.to_wire(error, method),)), True
        if result is LATER:
            self.defer_request(msgid, method, params)
            return shared.pack(None), not self.line.held
        if type(result) is tuple and is_bulky(result):
            self.defer()
            self.respond(msgid, None, result)
            return shared.pack(None), False
        return shared.pack(result), True

    def put_off_calls(self, msgid: int, calls: list[bytes]) -> None:
        """As :meth:`put_off`, with packed ones."""
        self.put_off(msgid, [unpacked(PAIR + call) for call in calls])

    # --- for the route loop --------------------------------------------------------------------------------------

    @property
    def may_begin(self) -> int:
        """How many requests more may be in flight."""
        return max(0, self._max - self.in_flight)

    def answered(self, answers: bytes, count: int) -> None:
        """Takes the answers to so many requests. They leave at the end of this turn of the loop."""
        self.collect(answers)
        self.settle(count)
