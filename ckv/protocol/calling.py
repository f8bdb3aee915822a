"""The calling end of msgpack-RPC: requests of many callers out, in BATCHes, and each answer to whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from ckv import errors
from ckv.protocol.batch import BATCH_REQUESTS, Batch, Call, Calls
from ckv.protocol.handler import Caller, Line
from ckv.protocol.limits import MAX_PARTS_BYTES, Limits
from ckv.protocol.messages import BATCH, Message, new_answers_unpacker
from ckv.protocol.packing import MSGIDS, REQUEST, RESPONSE, new_packer, new_utf8_packer
from ckv.protocol.reading import Reader

Bounced = Callable[[Call | Batch | None, object], bool]
"""Told of each error that the node answered, and to what; whether the call is taken back, and its caller not told."""


class CallingSession(Reader):
    """Calls to one node over one line.

    What is called between two :meth:`pack_new` travels together: one message to be packed, unpacked and found again
    among those in flight instead of many.
    """

    __slots__ = (
        "_batch_requests",
        "_bounced",
        "_calls",
        "_most_requests",
        "_new",
        "_old_calls",
        "_out",
        "_utf8",
        "msgid",
    )

    def __init__(self, line: Line, limits: Limits, bounced: Bounced, knows_batch: bool) -> None:
        super().__init__(line, limits)
        self._bounced = bounced
        self._most_requests = BATCH_REQUESTS if knows_batch else 1
        self._batch_requests = self._most_requests
        """How many requests fit into one message, as far as is known."""
        self._new = Batch([], [])
        """The calls that are not packed yet."""
        self._out: list[bytes] = []
        self._utf8 = new_utf8_packer()
        self.msgid = 0
        """That of the next message; a BATCH has one more for each of its requests."""
        # Two generations instead of a time per call: nothing is computed per call, and ageing costs one swap a tick.
        self._calls: Calls = {}
        self._old_calls: Calls = {}

    # --- out -----------------------------------------------------------------------------------------------------

    def add(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        """Makes a call, whose answer the caller gets under its own ``msgid``."""
        new = self._new
        new.requests.extend((method, params))
        new.calls.append((caller, msgid))

    def pack_new(self) -> None:
        """Packs the calls that were added."""
        new = self._new
        count = len(new.calls)
        if not count:
            return
        self._new = Batch([], [])
        packed = self._pack(new) if count <= self._batch_requests else 0
        while packed < count:
            packed += self._pack(new.part(packed, packed + self._batch_requests))

    def pack_alone(self, batch: Batch) -> int:
        """Packs the one call in it, which is not to be made again, behind those that were added; its bytes."""
        self.pack_new()  # Requests of one key arrive in their order.
        self._pack(batch, keep=False)
        return len(self._out[-1])

    def take(self) -> bytes:
        out, self._out = self._out, []
        self.waiting = False
        return out[0] if len(out) == 1 else b"".join(out)

    def _pack(self, batch: Batch, *, keep: bool = True) -> int:
        """Packs it as one message; returns the number of its requests, or 0 when they have to be fewer.

        ``keep``: a request that is alone is kept until it is answered, as those of a BATCH are.
        """
        count = len(batch.calls)
        msgids = 1 if count == 1 else 1 + count  # with those of the requests that are answered by themselves
        own = self.msgid if self.msgid + msgids <= MSGIDS else 0
        if count == 1:
            data = self._packed((REQUEST, own, *batch.requests))
            self._calls[own] = batch if keep else batch.calls[0]
        else:
            data = self._packed((REQUEST, own, BATCH, batch.requests))
            if len(data) > MAX_PARTS_BYTES:
                self._batch_requests = count // 2
                return 0
            self._calls[own] = batch
        if count == self._batch_requests and 4 * len(data) < MAX_PARTS_BYTES:
            self._batch_requests = min(2 * count, self._most_requests)
        self.msgid = own + msgids
        self._out.append(data)
        self.waiting = True
        return count

    def _packed(self, message: tuple[object, ...]) -> bytes:
        try:
            data: bytes = self._utf8.pack(message)
        except UnicodeEncodeError:
            data = new_packer().pack(message)
        return data

    # --- in ------------------------------------------------------------------------------------------------------

    def _new_unpacker(self) -> msgpack.Unpacker:
        return new_answers_unpacker(self._limits)

    def _serve_one(self, message: Any) -> bytes:
        return self._serve(iter((message,)))

    def _serve(self, messages: Iterator[Any]) -> bytes:
        """Hands each answer to its caller. Nothing is answered to that."""
        count = 0
        try:
            for message in messages:
                response: Message = message
                kind, own, error, result = response
                count += 1
                if kind != RESPONSE:
                    raise ValueError("not a response")
                generation = self._calls if own in self._calls else self._old_calls
                call = generation.get(own)
                if error is not None and self._bounced(call, error):
                    del generation[own]
                elif isinstance(call, Batch):
                    calls = call.calls
                    if len(calls) == 1:  # it was an ordinary request
                        caller, asked = calls[0]
                        caller.respond(asked, error, result)
                    else:
                        call.answered(own, error, result, generation)
                    del generation[own]
                elif call is not None:  # else it came after its time-out
                    del generation[own]
                    call[0].respond(call[1], error, result)
        except Exception as error:  # noqa: BLE001 - whatever msgpack raises, and what a message of another shape raises
            self._fail(f"not a msgpack-RPC response: {type(error).__name__} {error}")
        self._count = count
        return b""

    # --- calls in flight -----------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Calls that wait for their answer."""
        sent = sum(_count(calls) for calls in (self._calls, self._old_calls))
        return sent + len(self._new.calls)

    def fail_old(self, error: errors.CkvError) -> None:
        """Fails the calls that were in flight at the last call of this already."""
        overdue, self._old_calls, self._calls = self._old_calls, self._calls, {}
        _fail(overdue, error)

    def fail_all(self, error: errors.CkvError) -> None:
        """Fails all calls, those that are not sent yet included."""
        new, self._new = self._new, Batch([], [])
        calls: Calls = self._old_calls | self._calls
        self._old_calls, self._calls = {}, {}
        _fail(calls, error)
        new.fail(errors.to_wire(error))

    def close(self) -> None:
        super().close()
        self._out = []


def _count(calls: Calls) -> int:
    return sum(len(call.calls) if isinstance(call, Batch) else 1 for call in calls.values())


def _fail(calls: Calls, error: errors.CkvError) -> None:
    text = errors.to_wire(error)
    for call in calls.values():
        if isinstance(call, Batch):
            call.fail(text)
        else:
            call[0].respond(call[1], text, None)
