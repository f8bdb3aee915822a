"""CLIENT KILL: whose connections are to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckv.protocol.resp.methods import shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, integer
from ckv.protocol.resp.session import RespSession
from ckv.redis.permits import check_operator
from ckv.redis.row import SYNTAX, Facts, integer_of, text_of

WHY: Final = "somebody has sent CLIENT KILL"

_Filter = Callable[[RespSession], bool]


def kill(facts: Facts, session: RespSession, request: Request) -> bytes:
    """``CLIENT KILL address``, or with pairs of a filter and its value, all of which have to hold: then the answer is
    how many it were, and whoever asks is left out, unless ``SKIPME`` is ``no``. Raises ReplyError."""
    check_operator(facts, session, "client|kill")
    others = list(facts.connected.sessions.values())
    if len(request) == 3:
        address = text_of(request[2])
        found = [other for other in others if other.line.peer == address]
        if not found:
            raise ReplyError("ERR No such client")
        _end(found)
        return OK
    if len(request) % 2:
        raise ReplyError(SYNTAX)
    filters: list[_Filter] = []
    skips_me = True
    for name, value in zip(request[2::2], request[3::2], strict=True):
        if name.upper() == b"SKIPME" and value.lower() in (b"yes", b"no"):
            skips_me = value.lower() == b"yes"
        else:
            filters.append(_filter(facts, name, value))
    found = [
        other for other in others if all(holds(other) for holds in filters) and not (skips_me and other is session)
    ]
    _end(found)
    return integer(len(found))


def _filter(facts: Facts, name: bytes, value: bytes) -> _Filter:
    word = name.upper()
    text = text_of(value)
    if word == b"ID":
        number = integer_of(value)
        if number < 1:
            raise ReplyError("ERR client-id should be greater than 0")
        return lambda other: other.number == number
    if word == b"ADDR":
        return lambda other: other.line.peer == text
    if word == b"USER":
        logins = facts.logins
        return lambda other: text == (logins.name_of(other) if logins is not None else "default")
    if word == b"TYPE" and text.lower() in ("normal", "pubsub", "master", "replica", "slave"):
        return lambda other: text.lower() == ("pubsub" if other.is_subscribed else "normal")
    if word == b"TYPE":
        raise ReplyError(f"ERR Unknown client type '{shown(value)}'")
    raise ReplyError(SYNTAX)


def _end(found: list[RespSession]) -> None:
    for other in found:
        other.end(WHY)
