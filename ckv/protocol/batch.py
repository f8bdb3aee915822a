"""BATCH: many requests in one message, ``[method, params, method, params, ...]``, and their results in one answer.

In the place of a result stands ``[error]`` where there was one, and nil where the answer comes later, by itself, under
the msgid of the BATCH + 1 + the number of the request. :class:`Batch` is the half of whoever asks, :func:`carry_out`
that of whoever answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ckv import errors
from ckv.commands import COMMANDS, SMALL_REPLIES
from ckv.protocol.handler import LATER, Call, Handler, Routed
from ckv.protocol.limits import BULKY_BYTES
from ckv.protocol.messages import BATCH, arguments
from ckv.protocol.session import Session

BATCH_REQUESTS: Final = 256
"""The most requests in one BATCH; each is two elements of an array, which may have 1,024."""

BATCH_RESULT_CHARACTERS: Final = 48 * 1024
"""The values that the one answer to a BATCH may have, about. Its size is bounded like that of any small message."""

LAST_MSGID_OF_BATCH: Final = 2**64 - 1 - BATCH_REQUESTS
"""msgpack has no number for the msgids of the requests in a BATCH with a larger one."""

_NOT_OWNER: Final = f"{errors.NotOwner.__name__}: "

SMALL: Final = frozenset(
    method for name, command in COMMANDS.items() if command.reply in SMALL_REPLIES for method in (name, name.encode())
)
"""Methods whose results are small, by the str and the bin of their names."""


def carry_out(
    session: Session,
    handlers: dict[Any, Handler],
    to_wire: Callable[[Exception, object], str],
    msgid: int,
    params: tuple[object, ...],
) -> tuple[list[object], tuple[object, ...]]:
    """Carries requests out until all are, or one has a large result, or the line is held.

    Returns the results of those, and the large one, if there is one: it has nil among them and is to be sent by itself.
    The requests behind are to be served by themselves, so that a BATCH stretches no limit of a connection. Raises
    BadArguments, and nothing was carried out.
    """
    count, odd = divmod(len(params), 2)
    if odd or count > BATCH_REQUESTS:
        raise errors.BadArguments(f"{len(params)} arguments; it is {BATCH} and up to {BATCH_REQUESTS} requests")
    if msgid > LAST_MSGID_OF_BATCH:
        raise errors.BadArguments(f"the msgid of a {BATCH} may be {LAST_MSGID_OF_BATCH} at most")
    line = session.line
    results: list[object] = []
    add = results.append
    room = BATCH_RESULT_CHARACTERS
    for at in range(0, 2 * count, 2):
        method, inner = params[at], params[at + 1]
        try:
            if type(inner) is not tuple:
                inner = arguments(inner)
            result: Any = handlers[method](session, msgid + 1 + at // 2, inner)
        except Exception as error:  # noqa: BLE001 - one bad request must not end the node
            add((to_wire(error, method),))
            continue
        if type(result) is bool:
            add(result)
        elif result is LATER:
            session.defer_request(msgid + 1 + at // 2, method, inner)
            add(None)
            if line.held:
                break
        else:
            # The last part of [true, value] or [true, true, value], or a text.
            last = result[-1] if type(result) is tuple and len(result) > 1 else result
            if type(last) in (str, bytes):
                size = len(last)
                if size <= BULKY_BYTES and size <= room:
                    room -= size
                    add(result)
                    continue
            elif method in SMALL:
                add(result)
                continue
            add(None)
            return results, (result,)
    return results, ()


class Batch:
    """Requests in their order (method, params, method, params, ...), and who made each of them."""

    __slots__ = ("calls", "requests")

    def __init__(self, requests: list[object], calls: list[Call]) -> None:
        self.requests = requests
        self.calls = calls

    def __len__(self) -> int:
        return len(self.calls)

    def part(self, start: int, end: int) -> Batch:
        """The requests from number ``start`` up to ``end``."""
        return Batch(self.requests[2 * start : 2 * end], self.calls[start:end])

    def answered(
        self, msgid: int, error: object, results: Any, in_flight: Calls, bounced: Callable[[Batch, object], bool]
    ) -> None:
        """Hands out the answer to the BATCH with this ``msgid``; what is answered later goes back to ``in_flight``, and
        ``bounced`` takes what was not for this node. Raises ValueError, and nobody was told, when it is no answer to
        this BATCH."""
        if len(self.calls) == 1:  # It was an ordinary request.
            caller, own = self.calls[0]
            caller.respond(own, error, results)
            return
        if error is not None:
            fail(self.calls, error)
            return
        if type(results) is not tuple or len(results) != len(self.calls):
            raise ValueError("not the results of the batch")
        for index, (caller, own) in enumerate(self.calls):
            result = results[index]
            msgid += 1
            if result is None:
                in_flight[msgid] = (caller, own)
            elif type(result) is tuple and len(result) == 1:
                if not is_not_owner(result[0]) or not bounced(self.part(index, index + 1), result[0]):
                    caller.respond(own, result[0], None)
            else:
                caller.respond(own, None, result)

    def calls_made(self) -> list[Call]:
        """Who made each of the calls."""
        return self.calls


def is_not_owner(error: object) -> bool:
    """Whether a node has answered that the key is another one's."""
    return isinstance(error, str) and error.startswith(_NOT_OWNER)


def fail(calls: list[Call], error: object) -> None:
    """Tells everybody the same error, in the form that travels."""
    for caller, msgid in calls:
        caller.respond(msgid, error, None)


Calls = dict[int, Call | Batch | Routed]
"""What waits for the answer with this msgid."""
