"""Calls to one node that travel together, as one BATCH: see :meth:`ckv.wire.msgpackrpc.Service._batch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ckv.wire.connection import Connection
from ckv.wire.msgpackrpc import RESPONSE, Caller

Call = tuple[Caller, int]
"""Who made a call, and the msgid under which it wants the answer."""


class Batch:
    """Requests in their order, and who made each of them."""

    __slots__ = ("calls", "requests")

    def __init__(self, requests: list[object] | None = None, calls: list[Call] | None = None) -> None:
        self.requests: list[object] = requests or []
        """``[method, params, method, params, ...]``"""
        self.calls: list[Call] = calls or []

    def __len__(self) -> int:
        return len(self.calls)

    def part(self, start: int, end: int) -> Batch:
        """The requests from number ``start`` up to ``end``; itself when these are all."""
        if start == 0 and end >= len(self.calls):
            return self
        return Batch(self.requests[2 * start : 2 * end], self.calls[start:end])

    def answered(self, msgid: int, error: object, results: Any, in_flight: Calls) -> None:
        """Hands out the answer to the BATCH with this ``msgid``; what is answered later goes back to ``in_flight``.

        Raises ValueError, and nobody was told, when it is no answer to this BATCH.
        """
        if error is not None:
            self.fail(error)
            return
        if results.__class__ is not tuple or len(results) != len(self.calls):
            raise ValueError("not the results of the batch")
        # The requests that a connection sent at a time stand side by side: their answers are packed in one go.
        turn: Connection | None = None
        pack: Callable[[object], object] = id  # the one of ``turn``
        packed = 0
        for (caller, own), result in zip(self.calls, results, strict=True):
            msgid += 1
            if result is None:
                in_flight[msgid] = (caller, own)
            elif result.__class__ is tuple and len(result) == 1:
                caller.respond(own, result[0], None)
            elif caller is turn:
                pack((RESPONSE, own, None, result))
                packed += 1
            else:
                if turn is not None:
                    turn.packed(packed)
                    turn = None
                if isinstance(caller, Connection) and caller.is_open:
                    turn, pack, packed = caller, caller.packing(), 1
                    pack((RESPONSE, own, None, result))
                else:
                    caller.respond(own, None, result)
        if turn is not None:
            turn.packed(packed)

    def fail(self, error: object) -> None:
        """Tells everybody the same error, in the form that travels."""
        for caller, msgid in self.calls:
            caller.respond(msgid, error, None)


Calls = dict[int, Call | Batch]
"""What waits for the answer with this msgid."""
