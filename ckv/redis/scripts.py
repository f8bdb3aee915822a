"""The few scripts that ckv knows by their text: with which clients give a lock back, or keep it, and those that count.

ckv runs no Lua. Locks are SET NX PX and one of these, the same in most libraries but for spaces and quotes
(https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/). Those that count are of django-redis (a
counter that is there already, or any) and of limits (one that expires after it began). Each is one method of the node.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final, NamedTuple

from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, array, bulk, integer
from ckv.protocol.resp.results import counted_reply, flag_reply, number_reply, written_flag_reply
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE, Sub, simply, subcommands
from ckv.redis.options import expiry_in
from ckv.redis.row import FREE, WRITE, Facts, Row, call, integer_of, text_of
from ckv.store.change import KEEP

MAX_LOADED: Final = 256
"""Scripts that a node knows by their digests; each is a known one, in other spaces and quotes."""

MAX_KNOWN_BYTES: Final = 1024
"""More than the longest of them has, with any decent number of spaces. What is longer is not looked at."""


class Script(NamedTuple):
    """What a script does: a function of its key and its arguments, and how many of these it has."""

    carry_out: Callable[[Facts, RespSession, bytes, list[bytes]], Any]
    arguments: int


def _delete_if_equal(facts: Facts, session: RespSession, key: bytes, arguments: list[bytes]) -> Any:
    (expected,) = arguments
    return call(session, facts.handlers["DELIFEQ"], (text_of(key), expected), flag_reply)


def _expire_if_equal(facts: Facts, session: RespSession, key: bytes, arguments: list[bytes]) -> Any:
    expected, milliseconds = arguments
    expires = expiry_in(milliseconds, 1, facts.now, "pexpire")
    params = (text_of(key), expected, expires, "IFEQ", expected, "")
    return call(session, facts.handlers["SET"], params, written_flag_reply)


def _extend_if_equal(facts: Facts, session: RespSession, key: bytes, arguments: list[bytes]) -> Any:
    expected, milliseconds, replaces = arguments
    since = 0 if replaces == b"0" else int(facts.now() * 1000)
    params = (text_of(key), expected, integer_of(milliseconds), since)
    return call(session, facts.handlers["EXTEND"], params, flag_reply)


def _count(facts: Facts, session: RespSession, key: bytes, arguments: list[bytes]) -> Any:
    (amount,) = arguments
    return call(session, facts.handlers["INCRBY"], (text_of(key), integer_of(amount)), number_reply)


def _count_existing(facts: Facts, session: RespSession, key: bytes, arguments: list[bytes]) -> Any:
    (amount,) = arguments
    return call(session, facts.handlers["COUNT"], (text_of(key), integer_of(amount), "XX", KEEP), counted_reply)


def _count_and_expire(facts: Facts, session: RespSession, key: bytes, arguments: list[bytes]) -> Any:
    seconds, amount = arguments
    expires = expiry_in(seconds, 1000, facts.now, "expire")
    return call(session, facts.handlers["COUNT"], (text_of(key), integer_of(amount), "", expires), counted_reply)


_DELETES: Final = Script(_delete_if_equal, 1)
_EXPIRES: Final = Script(_expire_if_equal, 2)
_EXTENDS: Final = Script(_extend_if_equal, 3)
_COUNTS: Final = Script(_count, 1)
_COUNTS_EXISTING: Final = Script(_count_existing, 1)
_COUNTS_AND_EXPIRES: Final = Script(_count_and_expire, 2)

_KNOWN: Final[dict[str, Script]] = {
    "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('del',keys[1])elsereturn0end": _DELETES,
    "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('del',keys[1])endreturn0": _DELETES,
    "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0end"
    "redis.call('del',keys[1])return1": _DELETES,
    "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('pexpire',keys[1],argv[2])elsereturn0end": _EXPIRES,
    "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0end"
    "redis.call('pexpire',keys[1],argv[2])return1": _EXPIRES,
    "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0end"
    "localexpiration=redis.call('pttl',keys[1])ifnotexpirationthenexpiration=0endifexpiration<0thenreturn0end"
    "localnewttl=argv[2]ifargv[3]=='0'thennewttl=argv[2]+expirationendredis.call('pexpire',keys[1],newttl)"
    "return1": _EXTENDS,
    "returnredis.call('incrby',keys[1],argv[1])": _COUNTS,
    "localexists=redis.call('exists',keys[1])if(exists==1)thenreturnredis.call('incrby',keys[1],argv[1])"
    "elsereturnfalseend": _COUNTS_EXISTING,
    "localcurrentlocalamount=tonumber(argv[2])current=redis.call('incrby',keys[1],amount)"
    "iftonumber(current)==amountthenredis.call('expire',keys[1],argv[1])endreturncurrent": _COUNTS_AND_EXPIRES,
}
"""By their texts, without what is no matter."""


def _without_matter(script: bytes) -> str:
    """The text of a script without spaces, in lower case, and with one kind of quotes."""
    if len(script) > MAX_KNOWN_BYTES:
        return ""
    text = script.decode("utf-8", "replace")
    return re.sub(r"[\s;]+", "", text).replace('"', "'").lower()


def _load(facts: Facts, script: bytes) -> tuple[bytes, Script]:
    """The digest of a script, by which the node knows it from now on, and what it does. Raises ReplyError."""
    known = _KNOWN.get(_without_matter(script))
    if known is None:
        raise ReplyError("ERR ckv runs no Lua; it knows scripts of locks and of counters alone")
    digest = sha1(script, usedforsecurity=False).hexdigest().encode()
    loaded = facts.scripts
    if digest not in loaded and len(loaded) >= MAX_LOADED:
        del loaded[next(iter(loaded))]
    loaded[digest] = known
    return digest, known


def _carry_out(facts: Facts, session: RespSession, script: Script, request: Request) -> Any:
    """Carries it out with the keys and arguments of an EVAL or EVALSHA. Raises ReplyError."""
    keys = integer_of(request[2])
    if keys < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    if keys > len(request) - 3:
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    if keys != 1 or len(request) - 4 != script.arguments:
        raise ReplyError(f"ERR this script has one key and {script.arguments} arguments")
    return script.carry_out(facts, session, request[3], request[4:])


def _eval(facts: Facts, session: RespSession, request: Request) -> Any:
    return _carry_out(facts, session, _load(facts, request[1])[1], request)


def _evalsha(facts: Facts, session: RespSession, request: Request) -> Any:
    script = facts.scripts.get(request[1].lower())
    if script is None:  # then clients send the script itself
        raise ReplyError("NOSCRIPT No matching script. Please use EVAL.")
    return _carry_out(facts, session, script, request)


def _script_load(facts: Facts, _session: RespSession, request: Request) -> bytes:
    return bulk(_load(facts, request[2])[0])


def _script_exists(facts: Facts, _session: RespSession, request: Request) -> bytes:
    return array([integer(digest.lower() in facts.scripts) for digest in request[2:]])


def _script_flush(facts: Facts, _session: RespSession, request: Request) -> bytes:
    if len(request) > 3 or (len(request) == 3 and request[2].upper() not in (b"SYNC", b"ASYNC")):
        raise ReplyError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    facts.scripts.clear()
    return OK


_SCRIPT: Final[dict[str, tuple[int, Sub]]] = {
    "load": (3, _script_load),
    "exists": (-3, _script_exists),
    "flush": (-2, _script_flush),
}

_NEEDS: Final = ("DELIFEQ", "SET", "EXTEND", "INCRBY", "COUNT")

ROWS: Final[tuple[Row, ...]] = (
    Row("EVAL script numkeys key arg [arg ...]", -3, WRITE, NONE, "writer", "scripting",
        "Carry out a script, if it is one of those below.", simply(_eval), _NEEDS,
        key_count=2),
    Row("EVALSHA sha1 numkeys key arg [arg ...]", -3, WRITE, NONE, "writer", "scripting",
        "The same of one that a client has sent to this node before.", simply(_evalsha), _NEEDS,
        key_count=2),
    Row("SCRIPT subcommand", -2, FREE, NONE, "anyone", "scripting", "LOAD, EXISTS and FLUSH.",
        subcommands("script", _SCRIPT), _NEEDS),
)  # fmt: skip
