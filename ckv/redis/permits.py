"""Whether a command of Redis may be carried out: by who asks for it, and by whether the node answers for its keys.

This is the one place where commands of Redis are looked at: each of them before it is carried out, queued, or told to
note what it would ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ckv.protocol.resp.methods import CarryOut
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError
from ckv.protocol.resp.session import RespSession
from ckv.redis.placing import Placing
from ckv.redis.row import Facts, Row, keys_in, text_of
from ckv.security.rights import FREE, Rights

BEFORE_LOGIN: Final = frozenset({"auth", "hello", "quit", "reset"})
"""What whoever has not logged in may ask, as in Redis."""

NO_LOGIN: Final = "NOAUTH Authentication required."
NO_KEY: Final = "NOPERM this user has no permissions to access one of the keys used as arguments"
NO_CHANNEL: Final = "NOPERM this user has no permissions to access one of the channels used as arguments"


def checked(facts: Facts, row: Row, carry_out: CarryOut) -> CarryOut:
    """The command, which is looked at first."""
    placing = facts.placing

    def placed(session: RespSession, request: Request) -> Any:
        check_place(placing, row, request)
        return carry_out(session, request)

    def permitted(session: RespSession, request: Request) -> Any:
        check(facts, session, row, request)
        return carry_out(session, request)

    def audited(session: RespSession, request: Request) -> Any:
        check(facts, session, row, request)
        audit(facts, session, row.name)
        return carry_out(session, request)

    if facts.logins is not None:
        return audited if row.access == "operator" and row.name.upper() not in FREE else permitted
    return placed if row.keys[0] or row.key_count else carry_out


def check(facts: Facts, session: RespSession, row: Row, request: Request) -> None:
    """Raises ReplyError where whoever asks may not, or the node does not answer for the keys of the request."""
    check_user(facts, session, row, request)
    check_place(facts.placing, row, request)


def check_user(facts: Facts, session: RespSession, row: Row, request: Request) -> None:
    """Raises ReplyError where whoever asks may not."""
    if facts.rights is not None:
        try:
            _check_rights(facts.rights, row, request)
        except ReplyError:
            _tell_denied(facts, session, row.name)
            raise
    elif facts.logins is not None and row.name not in BEFORE_LOGIN:
        raise ReplyError(NO_LOGIN)


def check_place(placing: Placing, row: Row, request: Request) -> None:
    """Raises ReplyError where the node does not answer for the keys of the request."""
    if placing.view is not None:
        placing.check(map(text_of, keys_in(row, request)))


def check_operator(facts: Facts, session: RespSession, name: str) -> None:
    """Raises ReplyError where whoever asks for a part of a command may not do what operators do."""
    if facts.rights is not None and not facts.rights.may(name, "operator"):
        _tell_denied(facts, session, name)
        raise _refused(name)
    audit(facts, session, name)


def audit(facts: Facts, session: RespSession, name: str) -> None:
    """Takes note that somebody does what operators do."""
    if facts.logins is not None:
        facts.logins.audit(session, name)


def _tell_denied(facts: Facts, session: RespSession, name: str) -> None:
    if facts.logins is not None:
        facts.logins.denied(session, name)


def _check_rights(rights: Rights, row: Row, request: Request) -> None:
    if not rights.may(row.name.upper(), row.access):
        raise _refused(row.name)
    if not rights.prefixes:
        return
    if not all(rights.may_name(text_of(key)) for key in keys_in(row, request)):
        raise ReplyError(NO_KEY)
    if row.channels and not all(_may_hear(rights, row, request)):
        raise ReplyError(NO_CHANNEL)


def _may_hear(rights: Rights, row: Row, request: Request) -> Iterable[bool]:
    names = map(text_of, request[1:2] if row.channels == "first" else request[1:])
    if row.channels == "any":
        return [False]
    return map(rights.may_match if row.channels == "patterns" else rights.may_name, names)


def _refused(name: str) -> ReplyError:
    return ReplyError(f"NOPERM this user has no permissions to run the '{name}' command")
