"""What the table of Redis commands consists of: a row for each, with the function that makes the command of a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from ckv import errors
from ckv.commands import Access
from ckv.protocol.handler import LATER, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.resp.methods import CarryOut, Connected
from ckv.protocol.resp.ordering import Reply
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError
from ckv.protocol.resp.session import RespSession
from ckv.protocol.session import Session
from ckv.protocol.slow import SlowLog
from ckv.redis.noted import Noted
from ckv.redis.placing import Placing
from ckv.redis.subscribers import Channels
from ckv.security.rights import Rights
from ckv.values import ENCODING, ENCODING_ERRORS

Group = Literal["cluster", "connection", "generic", "pubsub", "scripting", "server", "string", "transactions"]
"""What Redis calls the group of a command."""

READ: Final = ("readonly", "fast")
WRITE: Final = ("write", "denyoom", "fast")
FREE: Final = ("loading", "stale", "fast")
"""Flags as COMMAND tells them: of what reads, of what writes, and of what touches no record."""

NOT_INTEGER: Final = "ERR value is not an integer or out of range"
SYNTAX: Final = "ERR syntax error"

INT64: Final = 2**63
"""One more than the largest number of 64 bits with a sign."""


class Logins(Protocol):
    """Who has logged in: :class:`ckv.net.logins.Logins`."""

    def log_in(
        self, session: Session, name: str | bytes, secret: bytes, told: Callable[[errors.CkvError | None], None], /
    ) -> None: ...
    def log_out(self, session: Session, told: Callable[[errors.CkvError | None], None], /) -> None: ...
    def name_of(self, session: Session, /) -> str: ...
    def audit(self, session: Session, name: str, /) -> None: ...
    def denied(self, session: Session, name: str, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What the commands of one node are made over."""

    handlers: Mapping[str, Handler]
    """The methods of the node."""

    limits: Limits
    connected: Connected
    rows: Mapping[str, Row]
    """The commands that this node has, by their names."""

    run_id: str
    """Tells one process from another: 40 hex digits."""

    started: float
    """When it began, in seconds of the epoch."""

    now: Callable[[], float]
    """The time of day in seconds of the epoch."""

    keys_max: int
    """The most keys in one answer to KEYS."""

    next_turn: Callable[[Callable[[], None]], object]
    """Has something done in a later turn of the loop, when others were served; one such thing in each."""

    scripts: dict[bytes, Any]
    """What the scripts do that clients have sent, by their digests: 40 hex digits."""

    channels: Channels
    """Those of the node."""

    placing: Placing
    """Which keys it answers for."""

    noting: Mapping[str, CarryOut]
    """The commands that ask anything of the node about keys, by their names: they tell what, and ask nothing."""

    logins: Logins | None
    """Where clients log in; None where there are no users, and everybody may do everything."""

    rights: Rights | None
    """What those may do for whom these commands are; None where there are no users, or for who has not logged in."""

    slow: SlowLog
    """What the node notes of its requests."""


@dataclass(frozen=True, slots=True)
class Row:
    """One command of Redis."""

    usage: str
    """As Redis's own pages have it: ``GETRANGE key start end``; the name may be of two words only in :attr:`help`."""

    arity: int
    """How many parts a request has, the name among them; at least so many, if it is below zero."""

    flags: tuple[str, ...]

    keys: tuple[int, int, int]
    """Which parts are keys: the first, the last (from the end, if below zero), the step; zeros for none."""

    access: Access
    group: Group

    help: str
    """One sentence, with what is not as in Redis."""

    make: Callable[[Facts], CarryOut]
    needs: tuple[str, ...] = ()
    """The methods of the node without which the node does not have it."""

    counts: bool = False
    """Whether it looks at the number of parts by itself."""

    key_count: int = 0
    """Which part says how many keys follow it, if one does; :attr:`keys` says nothing then."""

    key_step: int = 1
    """From one of these to the next: 2 where each has its value behind it."""

    channels: Literal["", "first", "all", "patterns", "any"] = ""
    """Which parts are channels: the first argument, all, or all as patterns; ``any`` for one that tells of any."""

    @property
    def name(self) -> str:
        """In lower case, as Redis tells it."""
        return self.usage.split()[0].lower()

    def has(self, request: Request) -> bool:
        """Whether the request has as many parts as it should."""
        return len(request) == self.arity if self.arity > 0 else len(request) >= -self.arity


def wrong_count(name: str) -> ReplyError:
    """The error for another number of arguments."""
    return ReplyError(f"ERR wrong number of arguments for '{name}' command")


def counted(row: Row, carry_out: CarryOut) -> CarryOut:
    """The command, which looks at the number of parts first."""
    if row.counts:
        return carry_out

    def checked(session: RespSession, request: Request) -> Any:
        if not row.has(request):
            raise wrong_count(row.name)
        return carry_out(session, request)

    return checked


def keys_in(row: Row, request: Request) -> Request:
    """The keys of a request; as many as can be seen, if it is not what it should be."""
    if row.key_count:
        told = request[row.key_count : row.key_count + 1]
        count = int(told[0]) if told and told[0].isdigit() and len(told[0]) < 10 else 0
        return request[row.key_count + 1 : row.key_count + 1 + count * row.key_step : row.key_step]
    first, last, step = row.keys
    if not first or len(request) <= first:
        return []
    end = last % len(request) if last < 0 else last
    return request[first : end + 1 : step]


def call(session: RespSession, handler: Handler, params: tuple[object, ...], reply: Reply) -> Any:
    """Calls a method of the node, whose result is the answer."""
    result = handler(session, session.ticket, params)
    if result is LATER:
        return session.wait(reply)
    return result.answered_by(reply) if type(result) is Noted else reply(session, result)


def text_of(data: bytes) -> str:
    """A key as the program holds it; as :func:`ckv.values.to_text`, and quicker for UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(ENCODING, ENCODING_ERRORS)


def integer_of(data: bytes) -> int:
    """A number of 64 bits as Redis reads it. Raises ReplyError.

    >>> integer_of(b"-12")
    -12
    """
    digits = data[1:] if data[:1] == b"-" else data
    if digits.isdigit() and len(digits) < 20 and (digits[0] != 48 or data == b"0"):
        number = int(data)
        if -INT64 <= number < INT64:
            return number
    raise ReplyError(NOT_INTEGER)
