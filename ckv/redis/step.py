"""Several requests as one step of each node that owns keys of theirs: EXEC, and what writes several keys at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ckv.protocol.handler import LATER, Handler
from ckv.protocol.resp.ordering import Reply
from ckv.protocol.resp.replies import error_of, is_unknown
from ckv.protocol.resp.session import RespSession
from ckv.protocol.steps import Asked, Told
from ckv.redis.noted import Noted, Noting

Shown = Callable[[RespSession, Sequence[Told] | None], bytes]
"""Makes the answer of those to all requests; of None, if something that was watched has changed."""


def in_one_step(session: RespSession, handler: Handler, requests: list[Asked], shown: Shown) -> Any:
    """Has them carried out by ``handler``, which is that of EXEC. Raises a CkvError: then nothing was done."""

    def reply(session: RespSession, result: Any) -> bytes:
        is_done, answers = result
        return shown(session, answers if is_done else None)

    result = handler(session, session.ticket, (requests,))
    return session.wait(reply) if result is LATER else reply(session, result)


def all_in_one_step(session: RespSession, handler: Handler, requests: list[Asked], reply: Reply) -> Any:
    """The same, with ``reply`` for the list of results; or the error of a request that failed."""
    if isinstance(handler, Noting):
        return Noted(requests).all_answered_by(reply)
    return in_one_step(
        session, handler, requests, lambda session, answers: answer_of_all(session, answers or (), reply)
    )


def answer_of_all(session: RespSession, answers: Sequence[Told], reply: Reply) -> bytes:
    """What ``reply`` makes of the results; or the error of a request that failed: that after which least is known."""
    failed = [error_of(error) for error, _ in answers if error is not None]
    if failed:
        return next(filter(is_unknown, failed), failed[0])
    return reply(session, [result for _, result in answers])


def answer_of_one(session: RespSession, noted: Noted, answers: Sequence[Told]) -> bytes:
    """The answer of a command that has noted what it asks."""
    if noted.are_several:
        return answer_of_all(session, answers, noted.reply)
    ((error, result),) = answers
    return error_of(error) if error is not None else noted.reply(session, result)
