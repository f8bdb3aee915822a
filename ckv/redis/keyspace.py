"""Commands about all keys: SCAN, KEYS and DBSIZE.

KEYS is a scan by the node itself, of so many keys in each turn of the loop, whose answer is all that was found.
"""

from __future__ import annotations

from typing import Any, Final

from ckv import errors
from ckv.glob import MAX_PATTERN_BYTES
from ckv.protocol.handler import LATER
from ckv.protocol.resp.methods import CarryOut
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError, array, bulk, error, error_of
from ckv.protocol.resp.results import number_reply
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE
from ckv.redis.row import SYNTAX, Facts, Row, call, integer_of

COUNT: Final = 10
"""How many keys an answer to SCAN looks at where nobody says, as in Redis."""

MOST: Final = 1000
"""The most that a node looks at for one answer."""

ALL: Final = b"*"

BAD_CURSOR: Final = "ERR invalid cursor"

_READS: Final = ("readonly",)


def _cursor(data: bytes) -> int:
    """Raises ReplyError."""
    if not data.isdigit() or len(data) > 20 or int(data) >= 2**64:
        raise ReplyError(BAD_CURSOR)
    return int(data)


def pattern_of(data: bytes) -> bytes:
    """A pattern, which is not too long. Raises ReplyError."""
    if len(data) > MAX_PATTERN_BYTES:
        raise ReplyError(f"ERR a pattern has at most {MAX_PATTERN_BYTES} bytes")
    return data


def _reply(_session: RespSession, result: Any) -> bytes:
    cursor, keys = result
    return array([bulk(str(cursor)), array(list(map(bulk, keys)))])


# --- SCAN, DBSIZE ----------------------------------------------------------------------------------------------------


def scan(facts: Facts) -> CarryOut:
    handler = facts.handlers["SCAN"]

    def carry_out(session: RespSession, request: Request) -> Any:
        cursor = _cursor(request[1])
        pattern = ALL
        count = COUNT
        only: bytes | None = None
        at = 2
        while at < len(request):
            option = request[at].upper()
            if at + 1 == len(request):
                raise ReplyError(SYNTAX)
            value = request[at + 1]
            if option == b"MATCH":
                pattern = pattern_of(value)
            elif option == b"COUNT":
                count = integer_of(value)
                if count < 1:
                    raise ReplyError(SYNTAX)
            elif option == b"TYPE":
                only = value
            else:
                raise ReplyError(SYNTAX)
            at += 2
        if only is not None and only.lower() != b"string":
            return _reply(session, (0, []))
        return call(session, handler, (cursor, pattern, min(count, MOST)), _reply)

    return carry_out


def _size(facts: Facts) -> CarryOut:
    handler = facts.handlers["DBSIZE"]
    return lambda session, _request: call(session, handler, (), number_reply)


# --- KEYS ------------------------------------------------------------------------------------------------------------


class Listing:
    """One KEYS: the scan that goes on from turn to turn.

    While it does, nothing is carried out that came behind it on its connection; the answers have to come behind its own
    in any case. So one client makes the node keep the keys of one answer, however many it asks for.
    """

    def __init__(self, facts: Facts, session: RespSession, pattern: bytes) -> None:
        self._facts = facts
        self._session = session
        self._pattern = pattern
        self._keys: dict[str, None] = {}
        """In the order in which they were found; one may be told more than once."""
        self._left_bytes = facts.limits.max_queued_bytes
        self._number = -1
        """That of the request, once it waits."""

    def carry_out(self) -> Any:
        """The answer; or it comes later."""
        if (answer := self._step(0)) is not None:
            return answer
        self._number = self._session.ticket
        self._session.line.hold(self)
        return self._session.wait(None)

    def _step(self, cursor: int) -> bytes | None:
        """Has the next keys looked at; the answer, if it is known now."""
        session = self._session
        ticket = session.part(self._told)
        try:
            result = self._facts.handlers["SCAN"](session, ticket, (cursor, self._pattern, MOST))
        except errors.CkvError as refused:
            session.no_part(ticket)
            return error_of(errors.to_wire(refused))
        except BaseException:
            session.no_part(ticket)
            raise
        if result is LATER:
            return None
        session.no_part(ticket)
        return self._take(result)

    def _take(self, result: Any) -> bytes | None:
        """Takes what was found; the answer, if that was all. Else it goes on in another turn."""
        cursor, keys = result
        for key in keys:
            self._keys[key] = None
        self._left_bytes -= sum(map(len, keys))
        if len(self._keys) > self._facts.keys_max:
            most = self._facts.keys_max
            return error(f"ERR more than {most} keys match, the most for KEYS (--keys-max); SCAN tells any number")
        if self._left_bytes < 0:
            return error("ERR the keys that match are too many bytes for one answer; SCAN tells any number")
        if cursor == 0:
            return array(list(map(bulk, self._keys)))
        self._facts.next_turn(lambda: self._go_on(cursor))
        return None

    def _told(self, wire: object, result: Any) -> None:
        """A step that had to wait was answered."""
        self._answer(error_of(wire) if wire is not None else self._take(result))

    def _go_on(self, cursor: int) -> None:
        session = self._session
        if not session.is_open:
            return
        try:
            refusal = session.refusal_of([b"KEYS"])
            self._answer(error_of(errors.to_wire(refusal)) if refusal is not None else self._step(cursor))
        except Exception:  # noqa: BLE001 - it is answered no more, and nothing behind it
            session.break_off_on_defect()

    def _answer(self, answer: bytes | None) -> None:
        if answer is not None:
            self._session.line.release(self)
            self._session.answer(self._number, answer)


def _keys(facts: Facts) -> CarryOut:
    return lambda session, request: Listing(facts, session, pattern_of(request[1])).carry_out()


_NEEDS: Final = ("SCAN",)

ROWS: Final[tuple[Row, ...]] = (
    Row("SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]", -2, _READS, NONE, "reader", "generic",
        "List keys of all tiers, a few in each answer; [see below](#all-keys).", scan, _NEEDS),
    Row("KEYS pattern", 2, _READS, NONE, "reader", "generic",
        "List all keys that match, as far as they are not more than `--keys-max`.", _keys, _NEEDS),
    Row("DBSIZE", 1, _READS, NONE, "reader", "server", "Answer how many records there are in all tiers, about.", _size,
        ("DBSIZE",)),
)  # fmt: skip
"""What is about all keys."""
