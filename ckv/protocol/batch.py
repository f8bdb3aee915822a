"""Calls to one node that travel together, as one BATCH: see :meth:`ckv.protocol.msgpackrpc.Service._batch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ckv.net.connection import Connection
from ckv.protocol.handler import Caller
from ckv.protocol.packing import RESPONSE

Call = tuple[Caller, int]
"""Who made a call, and the msgid under which it wants the answer."""


class Batch:
    """Requests in their order, and who made each of them."""

    __slots__ = ("calls", "requests")

    def __init__(self, requests: list[object], calls: list[Call]) -> None:
        self.requests = requests
        """``[method, params, method, params, ...]``"""
        self.calls = calls

    def part(self, start: int, end: int) -> Batch:
        """The requests from number ``start`` up to ``end``; itself when these are all."""
        if start == 0 and end >= len(self.calls):
            return self
        return Batch(self.requests[2 * start : 2 * end], self.calls[start:end])

    def answered(
        self,
        msgid: int,
        error: object,
        results: Any,
        in_flight: Calls,
        pack_utf8: Callable[[object], bytes],
        answered: list[Connection],
    ) -> None:
        """Hands out the answer to the BATCH with this ``msgid``; what is answered later goes back to ``in_flight``.

        ``pack_utf8`` makes one answer, or raises UnicodeEncodeError. To ``answered`` come connections that are to be
        flushed, besides those that asked for it: at once, for a later result may be one that cannot be packed.

        Raises ValueError, and nobody was told, when it is no answer to this BATCH.
        """
        if error is not None:
            self.fail(error)
            return
        if type(results) is not tuple or len(results) != len(self.calls):
            raise ValueError("not the results of the batch")
        for index, (caller, own) in enumerate(self.calls):
            result = results[index]
            msgid += 1
            if result is None:
                in_flight[msgid] = (caller, own)
            elif type(result) is tuple and len(result) == 1:
                caller.respond(own, result[0], None)
            elif not isinstance(caller, Connection):
                caller.respond(own, None, result)
            elif caller.queued:
                caller.respond_small((RESPONSE, own, None, result))
            else:
                # Its first answer in this turn, and the only one for a client that waits for each: without a call.
                try:
                    caller.posted = pack_utf8((RESPONSE, own, None, result))
                except UnicodeEncodeError:
                    caller.respond_small((RESPONSE, own, None, result))
                    continue
                caller.queued = True
                answered.append(caller)
                caller.in_flight -= 1
                if caller.held:
                    caller.settled()

    def fail(self, error: object) -> None:
        """Tells everybody the same error, in the form that travels."""
        for caller, msgid in self.calls:
            caller.respond(msgid, error, None)


Calls = dict[int, Call | Batch]
"""What waits for the answer with this msgid."""
