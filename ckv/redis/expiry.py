"""The commands about when records expire: https://redis.io/docs/latest/commands/expire/ and its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ckv.protocol.resp.methods import CarryOut
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError, integer
from ckv.protocol.resp.results import number_reply
from ckv.protocol.resp.session import RespSession
from ckv.redis.row import INT64, READ, WRITE, Facts, Row, call, integer_of, text_of
from ckv.redis.strings import KEY
from ckv.values import MAX_EXPIRES

OPTIONS: Final = frozenset({"NX", "XX", "GT", "LT"})

LONG_OVER: Final = 1
"""In milliseconds of the epoch, for whoever wants a record to expire before that; 0 would be never."""

SECOND: Final = 1000
"""In milliseconds."""


def expire(name: str, unit: int, *, from_now: bool) -> Callable[[Facts], CarryOut]:
    """Sets when a record expires, in units of so many milliseconds, from now on or of the epoch."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers["EXPIRE"]

        def carry_out(session: RespSession, request: Request) -> Any:
            amount = integer_of(request[2]) * unit
            expires = amount + (int(facts.now() * SECOND) if from_now else 0)
            # However long it is over: Redis refuses only what has no place in 64 bits.
            if amount < -INT64 or expires > MAX_EXPIRES:
                raise ReplyError(f"ERR invalid expire time in '{name}' command")
            params = (text_of(request[1]), max(expires, LONG_OVER), _condition(request[3:]))
            return call(session, handler, params, number_reply)

        return carry_out

    return make


def persist(facts: Facts) -> CarryOut:
    handler = facts.handlers["EXPIRE"]

    def carry_out(session: RespSession, request: Request) -> Any:
        return call(session, handler, (text_of(request[1]), 0, ""), number_reply)

    return carry_out


def when(unit: int, *, from_now: bool) -> Callable[[Facts], CarryOut]:
    """Answers when a record expires: rounded as Redis does; -1 for never, -2 where there is none."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers["EXPIRETIME"]

        def shown(_session: RespSession, expires: Any) -> bytes:
            if expires < 0:
                return integer(expires)
            left = max(0, expires - int(facts.now() * SECOND)) if from_now else expires
            return integer((left + unit // 2) // unit)

        def carry_out(session: RespSession, request: Request) -> Any:
            return call(session, handler, (text_of(request[1]),), shown)

        return carry_out

    return make


def _condition(options: Request) -> str:
    """The one that the options are, or none. Raises ReplyError.

    XX adds nothing to GT, which never holds of a record that never expires, and does to LT, which always does.
    """
    words = {option.upper().decode(errors="replace") for option in options}
    unknown = sorted(words - OPTIONS)
    if unknown:
        raise ReplyError(f"ERR Unsupported option {unknown[0][:40]}")
    if len(words) > 1:
        if "NX" in words:
            raise ReplyError("ERR NX and XX, GT or LT options at the same time are not compatible")
        if words >= {"GT", "LT"}:
            raise ReplyError("ERR GT and LT options at the same time are not compatible")
        if words == {"LT", "XX"}:
            return "XXLT"
        words.discard("XX")
    return words.pop() if words else ""


ROWS: Final[tuple[Row, ...]] = (
    Row("EXPIRE key seconds [NX | XX | GT | LT]", -3, WRITE, KEY, "writer", "generic",
        "Have a record expire in so many seconds.", expire("expire", SECOND, from_now=True), ("EXPIRE",)),
    Row("PEXPIRE key milliseconds [NX | XX | GT | LT]", -3, WRITE, KEY, "writer", "generic",
        "Have a record expire in so many milliseconds.", expire("pexpire", 1, from_now=True), ("EXPIRE",)),
    Row("EXPIREAT key time [NX | XX | GT | LT]", -3, WRITE, KEY, "writer", "generic",
        "Have a record expire at a time, in seconds since 1970.",
        expire("expireat", SECOND, from_now=False), ("EXPIRE",)),
    Row("PEXPIREAT key time [NX | XX | GT | LT]", -3, WRITE, KEY, "writer", "generic",
        "Have a record expire at a time, in milliseconds since 1970.",
        expire("pexpireat", 1, from_now=False), ("EXPIRE",)),
    Row("PERSIST key", 2, WRITE, KEY, "writer", "generic", "Have a record never expire.", persist, ("EXPIRE",)),
    Row("TTL key", 2, READ, KEY, "reader", "generic",
        "Answer in how many seconds a record expires; -1 for never, -2 where there is none.",
        when(SECOND, from_now=True), ("EXPIRETIME",)),
    Row("PTTL key", 2, READ, KEY, "reader", "generic", "The same in milliseconds.",
        when(1, from_now=True), ("EXPIRETIME",)),
    Row("EXPIRETIME key", 2, READ, KEY, "reader", "generic",
        "Answer when a record expires, in seconds since 1970; -1 for never, -2 where there is none.",
        when(SECOND, from_now=False), ("EXPIRETIME",)),
    Row("PEXPIRETIME key", 2, READ, KEY, "reader", "generic", "The same in milliseconds.",
        when(1, from_now=False), ("EXPIRETIME",)),
)  # fmt: skip
