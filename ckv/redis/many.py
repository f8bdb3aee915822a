"""Commands of many keys. What writes them is one step of each node that owns some (:mod:`ckv.redis.step`).

What reads them is a call of a method of the node for each, and one answer when all have theirs. If one fails the answer
is an error, and the others' parts stand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from ckv import errors, events
from ckv.protocol.handler import LATER, Handler
from ckv.protocol.resp.methods import CarryOut
from ckv.protocol.resp.ordering import Reply
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import (
    OK,
    ONE,
    TOO_MANY_BYTES,
    UNEXPECTED_ANSWERS,
    ZERO,
    ReplyError,
    array,
    bulk,
    error_of,
    integer,
    worse_of,
)
from ckv.protocol.resp.results import flag_reply
from ckv.protocol.resp.session import RespSession
from ckv.protocol.steps import PRESENT, WATCHED, Asked, Told
from ckv.redis.connection import NONE
from ckv.redis.noted import Noted, Noting
from ckv.redis.options import set_options
from ckv.redis.row import READ, SYNTAX, WRITE, Facts, Row, call, integer_of, text_of, wrong_count
from ckv.redis.step import all_in_one_step, answer_of_all, in_one_step
from ckv.store.change import KEEP
from ckv.values import checked_key, checked_value, size_of

log = logging.getLogger(__name__)

KEYS: Final = (1, -1, 1)

Results = list[Any]


class Many:
    """The calls of one request, so many at a time as may be in flight."""

    def __init__(
        self, session: RespSession, handler: Handler, calls: Sequence[tuple[object, ...]], reply: Reply, most_bytes: int
    ) -> None:
        """``reply`` makes the answer of the list of results; ``most_bytes``: those that the values in them may have."""
        self._session = session
        self._handler = handler
        self._calls = calls
        self._reply = reply
        self._left_bytes = most_bytes
        self._results: Results = [None] * len(calls)
        self._begun = 0
        self._waiting = 0
        """Calls that were made and have no result yet."""
        self._window = 0
        """How many of these there may be."""
        self._beginning = False
        self._number = -1
        """That of the request, once it waits."""
        self._weight = 0
        self._error = b""
        """The first answer of a call that failed, or one after which nobody knows."""

    def carry_out(self) -> Any:
        """The answer; or it comes later."""
        session = self._session
        self._window = max(1, session.may_begin)
        self._begin()
        if self._is_over:
            return self._answer()
        # Each counts as a request in flight: their results may be as large.
        self._number = session.ticket
        self._weight = min(self._window, len(self._calls)) - 1
        session.defer(self._weight)
        later = session.wait(None)
        if self._begun < len(self._calls):
            session.line.hold(self)  # What is behind must not overtake what was not begun.
        return later

    @property
    def _is_over(self) -> bool:
        return not self._waiting and (self._begun == len(self._calls) or bool(self._error))

    def _begin(self) -> None:
        """Makes calls, as many as may be."""
        session, handler, calls = self._session, self._handler, self._calls
        self._beginning = True
        while self._begun < len(calls) and self._waiting < self._window and not self._error:
            if self._waiting and session.is_slowed:
                break  # What waits has an answer to come, after which it goes on here.
            index = self._begun
            self._begun += 1
            self._waiting += 1
            ticket = session.part(lambda error, result, index=index: self._take(index, error, result))  # type: ignore[misc]
            try:
                result = handler(session, ticket, calls[index])
            except errors.CkvError as error:
                session.no_part(ticket)
                self._take(index, errors.to_wire(error), None)
                continue
            except BaseException:
                session.no_part(ticket)
                raise
            if result is not LATER:
                session.no_part(ticket)
                self._take(index, None, result)
        self._beginning = False

    def _take(self, index: int, error: object, result: Any) -> None:
        self._waiting -= 1
        if error is not None:
            self._error = worse_of(self._error, error_of(error))
        else:
            self._results[index] = result
            if type(result) is tuple and result and type(result[-1]) in (str, bytes):
                self._left_bytes -= size_of(result[-1])
                if self._left_bytes < 0 and not self._error:
                    self._error = TOO_MANY_BYTES
        if self._number < 0 or self._beginning:
            return
        self._begin()
        if self._begun == len(self._calls) or self._error:
            self._session.line.release(self)
        if self._is_over:
            self._session.answer(self._number, self._answer())
            self._session.settle(self._weight)

    def _answer(self) -> bytes:
        if self._error:
            return self._error
        try:
            return self._reply(self._session, self._results)
        except Exception as raised:
            log.error(events.NODES_ANSWER_DEFECT, exc_info=raised)
            return UNEXPECTED_ANSWERS


def _many(method: str, name: str, reply: Reply, one: Reply | None) -> Callable[[Facts], CarryOut]:
    """A command that reads keys, its arguments, with ``one`` for its answer where there is only one."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers[method]
        most_bytes = facts.limits.max_queued_bytes

        def carry_out(session: RespSession, request: Request) -> Any:
            if len(request) == 2 and one is not None:
                return call(session, handler, (text_of(request[1]),), one)
            if len(request) < 2:
                raise wrong_count(name)
            calls = [(checked_key(key),) for key in request[1:]]
            if isinstance(handler, Noting):
                return Noted([(method, call) for call in calls]).all_answered_by(reply)
            return Many(session, handler, calls, reply, most_bytes).carry_out()

        return carry_out

    return make


def _delete(name: str) -> Callable[[Facts], CarryOut]:
    def make(facts: Facts) -> CarryOut:
        handler, step = facts.handlers["DEL"], facts.handlers["EXEC"]

        def carry_out(session: RespSession, request: Request) -> Any:
            if len(request) == 2:
                return call(session, handler, (text_of(request[1]),), flag_reply)
            if len(request) < 2:
                raise wrong_count(name)
            return all_in_one_step(session, step, [("DEL", (checked_key(key),)) for key in request[1:]], _count)

        return carry_out

    return make


def _exists(name: str) -> Callable[[Facts], CarryOut]:
    def make(facts: Facts) -> CarryOut:
        if "EXISTS" in facts.handlers:
            return _many("EXISTS", name, _count, flag_reply)(facts)
        return _many("GET", name, _count_found, lambda _session, result: integer(result[0]))(facts)

    return make


def _values(session: RespSession, results: Results) -> bytes:
    nil = session.nil
    return array([bulk(value) if found else nil for found, value in results])


def _count(_session: RespSession, results: Results) -> bytes:
    return integer(sum(map(bool, results)))


def _count_found(_session: RespSession, results: Results) -> bytes:
    return integer(sum(found for found, _ in results))


def _ok(_session: RespSession, _results: Results) -> bytes:
    return OK


def _pairs(facts: Facts, name: str, request: Request) -> list[Asked]:
    """The PUT of each key. Raises ReplyError or a Refused: all are looked at before the first is written."""
    if len(request) < 3 or len(request) % 2 == 0:
        raise wrong_count(name)
    return _puts(facts, request[1:])


def _puts(facts: Facts, pairs: Request) -> list[Asked]:
    """The PUT of each key, which has its value behind it. Raises a Refused."""
    max_value_bytes = facts.limits.max_value_bytes
    return [
        ("PUT", (checked_key(key), checked_value(value, max_value_bytes)))
        for key, value in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def mset(facts: Facts) -> CarryOut:
    step = facts.handlers["EXEC"]
    return lambda session, request: all_in_one_step(session, step, _pairs(facts, "mset", request), _ok)


def msetnx(facts: Facts) -> CarryOut:
    step = facts.handlers["EXEC"]

    def carry_out(session: RespSession, request: Request) -> Any:
        if isinstance(step, Noting):  # Its condition would be that of all commands of the transaction.
            raise ReplyError("ERR MSETNX cannot be one of several commands of EXEC in ckv")
        return _if_all(session, step, b"", _pairs(facts, "msetnx", request))

    return carry_out


def msetex(facts: Facts) -> CarryOut:
    step = facts.handlers["EXEC"]

    def carry_out(session: RespSession, request: Request) -> Any:
        count = _count_of_keys(request[1])
        pairs, words = request[2 : 2 + 2 * count], request[2 + 2 * count :]
        if len(pairs) < 2 * count:
            raise ReplyError(SYNTAX)
        options = set_options(words, facts.now, "msetex")
        if options.want or options.condition not in _DIGESTS:
            raise ReplyError(SYNTAX)
        writes = [_until(put, options.expires) for put in _puts(facts, pairs)]
        if not options.condition:
            return all_in_one_step(session, step, writes, _one)
        if isinstance(step, Noting):
            raise ReplyError("ERR MSETEX with NX or XX cannot be one of several commands of EXEC in ckv")
        return _if_all(session, step, _DIGESTS[options.condition], writes)

    return carry_out


_DIGESTS: Final = {"": b"", "NX": b"", "XX": PRESENT}
"""By the conditions of MSETEX, what has to be watched of each key."""

_MOST_KEYS: Final = 2**31 - 1
"""What Redis takes for a number of keys."""


def _count_of_keys(word: bytes) -> int:
    try:
        count = integer_of(word)
    except ReplyError:
        count = 0
    if not 0 < count <= _MOST_KEYS:
        raise ReplyError("ERR invalid numkeys value or out of range")
    return count


def _until(put: Asked, expires: int) -> Asked:
    """What writes the same, to expire at that time; see :class:`ckv.redis.options.SetOptions`."""
    _, params = put
    if not expires:
        return put
    return ("SET", (*params, KEEP, "", "", "")) if expires == KEEP else ("PUTEX", (*params, expires))


def _if_all(session: RespSession, step: Handler, digest: bytes, writes: list[Asked]) -> Any:
    """Carries out the writes if the record of each key has this digest, and answers whether it was so."""
    watched: list[Asked] = [(WATCHED, (key, digest)) for key in dict.fromkeys(params[0] for _, params in writes)]
    return in_one_step(session, step, watched + writes, _written)


def _written(session: RespSession, answers: Sequence[Told] | None) -> bytes:
    return ZERO if answers is None else answer_of_all(session, answers, _one)


def _one(_session: RespSession, _results: Results) -> bytes:
    return ONE


ROWS: Final[tuple[Row, ...]] = (
    Row("MGET key [key ...]", -2, READ, KEYS, "reader", "string",
        "Read the values of several keys, up to 80 MiB of them.", _many("GET", "mget", _values, None), ("GET",),
        counts=True),
    Row("MSET key value [key value ...]", -3, WRITE, (1, -1, 2), "writer", "string",
        "Store several values, those of one node at the same moment.", mset, ("PUT", "EXEC"), counts=True),
    Row("MSETNX key value [key value ...]", -3, WRITE, (1, -1, 2), "writer", "string",
        "Store several values of one node if none of the keys has one.", msetnx, ("PUT", "EXEC"), counts=True),
    Row("MSETEX numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-seconds | "
        "PXAT unix-milliseconds | KEEPTTL]", -4, WRITE, NONE, "writer", "string",
        "MSET with a time to live; with NX or XX the values of one node, if none or each of the keys has one.", msetex,
        ("PUT", "PUTEX", "SET", "EXEC"), key_count=1, key_step=2),
    Row("DEL key [key ...]", -2, WRITE, KEYS, "writer", "generic", "Delete keys and answer how many there were.",
        _delete("del"), ("DEL", "EXEC"), counts=True),
    Row("UNLINK key [key ...]", -2, WRITE, KEYS, "writer", "generic", "The same as DEL.",
        _delete("unlink"), ("DEL", "EXEC"), counts=True),
    Row("EXISTS key [key ...]", -2, READ, KEYS, "reader", "generic", "Answer how many of the keys have a value.",
        _exists("exists"), ("GET",), counts=True),
    Row("TOUCH key [key ...]", -2, READ, KEYS, "reader", "generic", "The same as EXISTS, and counts as a use.",
        _exists("touch"), ("GET",), counts=True),
)  # fmt: skip
"""What takes many keys."""
