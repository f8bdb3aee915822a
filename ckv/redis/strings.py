"""Values of one key: GET, SET with its options, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ckv.protocol.handler import LATER
from ckv.protocol.resp.methods import CarryOut
from ckv.protocol.resp.ordering import Reply
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, Simple, bulk, encode, integer
from ckv.protocol.resp.results import (
    flag_reply,
    number_reply,
    ok_reply,
    old_reply,
    text_reply,
    value_reply,
    written_flag_reply,
    written_reply,
)
from ckv.protocol.resp.session import RespSession
from ckv.redis.noted import Noting
from ckv.redis.options import SetOptions, expiry_in, expiry_option, set_options
from ckv.redis.row import INT64, NOT_INTEGER, READ, SYNTAX, WRITE, Facts, Row, call, integer_of, text_of, wrong_count
from ckv.values import to_bytes

KEY: Final = (1, 1, 1)


def get(facts: Facts) -> CarryOut:
    handler = facts.handlers["GET"]
    if isinstance(handler, Noting):
        return on_key("GET", value_reply)(facts)

    # The hottest of all: nothing is called that need not be.
    def carry_out(session: RespSession, request: Request) -> Any:
        try:
            _, key = request
        except ValueError:
            raise wrong_count("get") from None
        try:
            text = key.decode()
        except UnicodeDecodeError:
            text = text_of(key)
        result: Any = handler(session, session.ticket, (text,))
        if result is LATER:
            return session.wait(value_reply)
        found, value = result
        if not found:
            return session.nil
        return b"$%d\r\n%b\r\n" % (len(value), value) if type(value) is bytes else bulk(value)

    return carry_out


def set_(facts: Facts) -> CarryOut:
    put = facts.handlers["PUT"]
    conditional = facts.handlers.get("SET")
    put_until = facts.handlers.get("PUTEX")
    is_asked = not isinstance(put, Noting)

    def carry_out(session: RespSession, request: Request) -> Any:
        if len(request) == 3:
            if not is_asked:
                return call(session, put, (text_of(request[1]), request[2]), ok_reply)
            result = put(session, session.ticket, (text_of(request[1]), request[2]))
            return session.wait(ok_reply) if result is LATER else OK
        if len(request) < 3:
            raise wrong_count("set")
        options = set_options(request[3:], facts.now)
        if options.expires > 0 and put_until is not None and not (options.condition or options.want):
            return call(session, put_until, (text_of(request[1]), request[2], options.expires), ok_reply)
        if conditional is None:
            raise ReplyError("ERR this node does not know the options of SET")
        return call(session, conditional, _set_params(request[1], request[2], options), _set_reply(options))

    return carry_out


def _set_params(key: bytes, value: bytes, options: SetOptions) -> tuple[object, ...]:
    return (text_of(key), value, options.expires, options.condition, options.expected, options.want)


def _set_reply(options: SetOptions) -> Reply:
    return old_reply if options.want else written_reply


def conditional_set(
    options: Callable[[Facts, Request], SetOptions], reply: Reply, value_at: int
) -> Callable[[Facts], CarryOut]:
    """A SET whose options its name and its arguments say."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers["SET"]

        def carry_out(session: RespSession, request: Request) -> Any:
            params = _set_params(request[1], request[value_at], options(facts, request))
            return call(session, handler, params, reply)

        return carry_out

    return make


def set_for(name: str, unit: int) -> Callable[[Facts], CarryOut]:
    """A SET for some time, in units of so many milliseconds."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers["PUTEX"]

        def carry_out(session: RespSession, request: Request) -> Any:
            expires = expiry_in(request[2], unit, facts.now, name)
            return call(session, handler, (text_of(request[1]), request[3], expires), ok_reply)

        return carry_out

    return make


def on_key(method: str, reply: Reply) -> Callable[[Facts], CarryOut]:
    """A method of a key and nothing else."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers[method]
        return lambda session, request: call(session, handler, (text_of(request[1]),), reply)

    return make


def getex(facts: Facts) -> CarryOut:
    get, get_until = facts.handlers["GET"], facts.handlers["GETEX"]

    def carry_out(session: RespSession, request: Request) -> Any:
        expires = expiry_option(request[2:], facts.now)
        if expires is None:
            return call(session, get, (text_of(request[1]),), value_reply)
        return call(session, get_until, (text_of(request[1]), expires), value_reply)

    return carry_out


def append(facts: Facts) -> CarryOut:
    handler = facts.handlers["APPEND"]
    return lambda session, request: call(session, handler, (text_of(request[1]), request[2]), number_reply)


def delete_if_equal(facts: Facts) -> CarryOut:
    handler = facts.handlers["DELIFEQ"]
    return lambda session, request: call(session, handler, (text_of(request[1]), request[2]), flag_reply)


def delex(facts: Facts) -> CarryOut:
    delete, delete_equal = facts.handlers["DEL"], facts.handlers["DELIFEQ"]

    def carry_out(session: RespSession, request: Request) -> Any:
        if len(request) == 2:
            return call(session, delete, (text_of(request[1]),), flag_reply)
        if len(request) != 4 or request[2].upper() != b"IFEQ":
            raise ReplyError(SYNTAX)
        return call(session, delete_equal, (text_of(request[1]), request[3]), flag_reply)

    return carry_out


def increment(amount: Callable[[Request], int]) -> Callable[[Facts], CarryOut]:
    """Of INCR and its relatives, which differ in what they add."""

    def make(facts: Facts) -> CarryOut:
        handler = facts.handlers["INCRBY"]
        return lambda session, request: call(session, handler, (text_of(request[1]), amount(request)), number_reply)

    return make


def _decrement(request: Request) -> int:
    number = integer_of(request[2])
    if number == -INT64:
        raise ReplyError("ERR decrement would overflow")
    return -number


def increment_float(facts: Facts) -> CarryOut:
    handler = facts.handlers["INCRBYFLOAT"]
    return lambda session, request: call(session, handler, (text_of(request[1]), request[2]), text_reply)


def strlen(facts: Facts) -> CarryOut:
    handler = facts.handlers.get("STRLEN")
    if handler is not None:
        return on_key("STRLEN", number_reply)(facts)
    value = facts.handlers["GET"]
    return lambda session, request: call(
        session, value, (text_of(request[1]),), lambda _session, result: integer(len(to_bytes(result[1])))
    )


def getrange(facts: Facts) -> CarryOut:
    handler = facts.handlers["GET"]

    def carry_out(session: RespSession, request: Request) -> Any:
        start, end = integer_of(request[2]), integer_of(request[3])
        return call(
            session, handler, (text_of(request[1]),), lambda _session, result: bulk(_part(result[1], start, end))
        )

    return carry_out


def _part(value: str | bytes, start: int, end: int) -> bytes:
    """The bytes from ``start`` to ``end``, both included; below zero they count from the end.

    >>> _part("This is a string", 0, 3), _part(b"This is a string", -3, -1), _part("a", 5, 10), _part("abc", -9, 0)
    (b'This', b'ing', b'', b'a')
    """
    data = to_bytes(value)
    size = len(data)
    if start < 0:
        start = max(start + size, 0)
    if end < 0:
        end += size
    return data[start : end + 1] if end >= 0 else b""


def type_(facts: Facts) -> CarryOut:
    """``string`` or ``none``: ckv keeps nothing else."""
    exists = facts.handlers.get("EXISTS")
    handler = exists or facts.handlers["GET"]

    def reply(session: RespSession, result: Any) -> bytes:
        found = result if exists is not None else result[0]
        return encode(Simple("string" if found else "none"), session.protocol)

    return lambda session, request: call(session, handler, (text_of(request[1]),), reply)


def _one(_request: Request) -> int:
    return 1


def _less(_request: Request) -> int:
    return -1


def _amount(request: Request) -> int:
    return integer_of(request[2])


_NX: Final = SetOptions(condition="NX")
_GET: Final = SetOptions(want="GET")

ROWS: Final[tuple[Row, ...]] = (
    Row("GET key", 2, READ, KEY, "reader", "string", "Read the value of a key.", get, ("GET",), counts=True),
    Row("SET key value [NX | XX | IFEQ value] [GET] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL]",
        -3, WRITE, KEY, "writer", "string", "Store a value under a key.", set_, ("PUT",), counts=True),
    Row("SETNX key value", 3, WRITE, KEY, "writer", "string", "Store a value where there is none.",
        conditional_set(lambda _facts, _request: _NX, written_flag_reply, 2), ("SET",)),
    Row("SETEX key seconds value", 4, WRITE, KEY, "writer", "string", "Store a value for so many seconds.",
        set_for("setex", 1000), ("PUTEX",)),
    Row("PSETEX key milliseconds value", 4, WRITE, KEY, "writer", "string", "Store a value for so many milliseconds.",
        set_for("psetex", 1), ("PUTEX",)),
    Row("GETSET key value", 3, WRITE, KEY, "writer", "string", "Store a value and answer what was there before.",
        conditional_set(lambda _facts, _request: _GET, old_reply, 2), ("SET",)),
    Row("GETDEL key", 2, WRITE, KEY, "writer", "string", "Delete a key and answer its value.",
        on_key("GETDEL", value_reply), ("GETDEL",)),
    Row("GETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST]", -2, WRITE, KEY, "writer",
        "string", "Read the value of a key and set when it expires.", getex, ("GET", "GETEX")),
    Row("INCR key", 2, WRITE, KEY, "writer", "string", "Add one to a whole number.",
        increment(_one), ("INCRBY",)),
    Row("DECR key", 2, WRITE, KEY, "writer", "string", "Take one from a whole number.",
        increment(_less), ("INCRBY",)),
    Row("INCRBY key increment", 3, WRITE, KEY, "writer", "string", "Add to a whole number.",
        increment(_amount), ("INCRBY",)),
    Row("DECRBY key decrement", 3, WRITE, KEY, "writer", "string", "Take from a whole number.",
        increment(_decrement), ("INCRBY",)),
    Row("INCRBYFLOAT key increment", 3, WRITE, KEY, "writer", "string", "Add to a number.",
        increment_float, ("INCRBYFLOAT",)),
    Row("APPEND key value", 3, WRITE, KEY, "writer", "string", "Put more bytes behind a value.",
        append, ("APPEND",)),
    Row("STRLEN key", 2, READ, KEY, "reader", "string", "Answer how many bytes a value has.", strlen, ("GET",)),
    Row("GETRANGE key start end", 4, READ, KEY, "reader", "string", "Read a part of a value.", getrange, ("GET",)),
    Row("SUBSTR key start end", 4, READ, KEY, "reader", "string", "An old name of GETRANGE.", getrange, ("GET",)),
    Row("DELIFEQ key value", 3, WRITE, KEY, "writer", "string", "Delete a key if it has this value, as in Valkey.",
        delete_if_equal, ("DELIFEQ",)),
    Row("DELEX key [IFEQ value]", -2, WRITE, KEY, "writer", "string", "The same, as in Redis 8.4; or DEL of one key.",
        delex, ("DEL", "DELIFEQ")),
    Row("TYPE key", 2, READ, KEY, "reader", "generic", "Answer `string`, or `none`.", type_, ("GET",)),
)  # fmt: skip
"""What has one key and its value."""

__all__ = ["KEY", "NOT_INTEGER", "ROWS"]
