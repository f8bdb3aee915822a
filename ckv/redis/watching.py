"""WATCH and UNWATCH: EXEC carries nothing out if a record that is watched has become another one.

What a record is says its digest, of the type and the bytes of its value and of when it expires. It needs no version and
no memory at the owner, and so outlives eviction and the end of a node; EXEC brings the digests along, and the owner
compares them right before it carries out its commands (``WATCHED`` in :mod:`ckv.protocol.steps`).

A digest does not tell a record from the same one that was another in between. So what a client that watches reads of
these keys is read in one step with their digests: if it has seen the other one, EXEC carries nothing out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ckv import errors
from ckv.protocol.handler import LATER
from ckv.protocol.resp.client import CHANGED
from ckv.protocol.resp.methods import CarryOut, shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, error_of
from ckv.protocol.resp.session import RespSession
from ckv.protocol.steps import Told
from ckv.redis.connection import NONE, simply
from ckv.redis.noted import Noted
from ckv.redis.permits import check
from ckv.redis.row import FREE, READ, Facts, Row
from ckv.redis.step import answer_of_one, in_one_step
from ckv.values import checked_key

MAX_WATCHED: Final = 1024
"""Keys that one client watches: it keeps them all the while."""


def watch(facts: Facts) -> CarryOut:
    handler = facts.handlers["EXEC"]
    take = _taken(facts)

    def carry_out(session: RespSession, request: Request) -> Any:
        if session.transaction is not None:
            raise ReplyError("ERR WATCH inside MULTI is not allowed")
        keys = [key for key in dict.fromkeys(map(checked_key, request[1:])) if key not in session.watched]
        if len(session.watched) + len(keys) > MAX_WATCHED:
            raise ReplyError(f"ERR a client watches at most {MAX_WATCHED} keys")
        looking = _Looking(session, keys, take)
        result = handler(looking, 0, ([("DIGEST", (key,)) for key in keys],))
        return looking.later() if result is LATER else looking.answer(None, result)

    return carry_out


class _Looking:
    """A WATCH that waits for the digests, before which nothing that comes behind it is carried out."""

    is_open = True

    def __init__(self, session: RespSession, keys: Sequence[str], take: CarryOut) -> None:
        self._session = session
        self._keys = keys
        self._take = take
        self._number = -1
        """That of the request, once it waits."""
        self._told: tuple[object, Any] | None = None

    def later(self) -> Any:
        if self._told is not None:  # at once
            return self.answer(*self._told)
        session = self._session
        self._number = session.ticket
        session.hold(self)
        return session.wait(None)

    def answer(self, error: object, result: Any) -> bytes:
        if error is None:
            answers: Sequence[Told] = result[1]
            error = next((error for error, _ in answers if error is not None), None)
        if error is not None:
            return error_of(error)
        if self._session.is_open and self._keys:
            self._session.watched |= {key: digest for key, (_, digest) in zip(self._keys, answers, strict=True)}
            self._session.taker = self._take
        return OK

    def respond(self, _msgid: int, error: object, result: Any) -> None:
        if self._number < 0:
            self._told = error, result
            return
        answer = self.answer(error, result)
        self._session.release(self)
        self._session.answer(self._number, answer)

    def settle(self) -> None:
        self.respond(0, errors.to_wire(errors.ServerError("a node did not answer")), None)

    def hold(self, reason: Any) -> None:
        self._session.hold(reason)

    def release(self, reason: Any) -> None:
        self._session.release(reason)


def _taken(facts: Facts) -> CarryOut:
    """What takes the requests of a client that watches something."""
    handler = facts.handlers["EXEC"]

    def take(session: RespSession, request: Request) -> Any:
        name = shown(request[0]).lower()
        row, command = facts.rows.get(name), facts.noting.get(name)
        if command is None or row is None or not row.has(request) or session.refusal_of(request):
            return session.carry_out(request)
        if row.flags != READ and name != "getex":
            return session.carry_out(request)
        check(facts, session, row, request)
        noted = command(session, request)
        watched = session.watched
        if not isinstance(noted, Noted):
            return noted
        keys = list(dict.fromkeys(params[0] for _, params in noted.requests if params[0] in watched))
        if not keys:
            return session.carry_out(request)

        def shown_with_digests(session: RespSession, answers: Sequence[Told] | None) -> bytes:
            assert answers is not None, "it asks for no comparison"
            for key, (_, digest) in zip(keys, answers, strict=False):
                if watched.get(key) != digest:
                    watched[key] = CHANGED
            return answer_of_one(session, noted, answers[len(keys) :])

        asked = [("DIGEST", (key,)) for key in keys] + noted.requests
        return in_one_step(session, handler, asked, shown_with_digests)

    return take


def _unwatch(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    if session.transaction is None and session.watched:
        session.no_transaction()
    return OK


ROWS: Final[tuple[Row, ...]] = (
    Row("WATCH key [key ...]", -2, FREE, (1, -1, 1), "reader", "transactions",
        "Have EXEC carry nothing out if one of these records is another one by then.", watch, ("EXEC", "DIGEST")),
    Row("UNWATCH", 1, FREE, NONE, "anyone", "transactions", "Watch nothing any more.", simply(_unwatch)),
)  # fmt: skip
"""What is about keys that are watched."""
