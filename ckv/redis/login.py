"""What a client of Redis logs in and out with: AUTH, HELLO with AUTH, and RESET."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ckv import errors
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import error, error_of
from ckv.protocol.resp.session import RespSession
from ckv.redis.row import Facts, text_of

DEFAULT: Final = b"default"
"""The user who is meant where a client sends a password alone."""

WRONG: Final = "WRONGPASS invalid username-password pair or user is disabled."


def log_in(facts: Facts, session: RespSession, user: bytes, secret: bytes, answer: Callable[[], bytes]) -> Any:
    """The answer, or why not; nothing that comes behind it is carried out before it is known which.

    Where there are no users everybody may do everything, whoever they say that they are, so that clients can be given
    their logins before there are users. A Redis without users knows the default one alone.
    """
    if facts.logins is None:
        return answer()
    number = session.ticket

    def told(failed: errors.CkvError | None) -> None:
        if failed is None:
            # What was begun as somebody else is over.
            if session.leave is not None:
                session.leave()
            session.no_transaction()
            session.answer(number, answer())
        elif isinstance(failed, errors.LoginFailed):
            session.answer(number, error(WRONG))
        else:
            session.answer(number, error_of(errors.to_wire(failed)))

    facts.logins.log_in(session, text_of(user), secret, told)
    return session.wait(None)


def log_out(facts: Facts, session: RespSession, answer: bytes) -> Any:
    """The answer, behind which the client is nobody who is known."""
    if facts.logins is None:
        return answer
    number = session.ticket
    facts.logins.log_out(session, lambda _failed: session.answer(number, answer))
    return session.wait(None)


def logs_in(request: Request) -> bool:
    """Whether it is one of these: no part of a transaction, where each part is looked at by what one user may do."""
    name = request[0].upper()
    return name == b"AUTH" or (name == b"HELLO" and b"AUTH" in (part.upper() for part in request[2:]))
