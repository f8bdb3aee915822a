"""MULTI, EXEC and DISCARD: commands that wait at the node until all are there, and are then carried out in their order.

EXEC has each of them tell what it would ask about keys (:mod:`ckv.redis.noted`), and all of that carried out as one
step of each node that owns some (:mod:`ckv.redis.step`); the commands make their answers of the results, each in its
place. Those that ask nothing about keys are carried out when their place comes. Nothing is rolled back, as in Redis.
What is wrong with a command is looked at before it is queued:
https://redis.io/docs/latest/develop/using-commands/transactions/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ckv import errors
from ckv.protocol.handler import LATER
from ckv.protocol.resp.methods import CarryOut, Transaction, shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, error_of
from ckv.protocol.resp.session import RespSession
from ckv.protocol.steps import WATCHED, Asked, Told
from ckv.redis.connection import NONE, SUBCOMMANDS, hello, simply
from ckv.redis.login import logs_in
from ckv.redis.noted import Noted
from ckv.redis.permits import check, check_place, check_user
from ckv.redis.row import FREE, Facts, Row, wrong_count
from ckv.redis.step import answer_of_one, in_one_step

MAX_QUEUED: Final = 65_536
"""Commands of one transaction."""

MAX_QUEUED_MESSAGES: Final = 4
"""Its memory: so many times that of the longest message."""

PART_BYTES: Final = 64
"""What each part of a request takes beside its bytes, about; and the request itself."""

AT_ONCE: Final = frozenset({"multi", "exec", "discard", "watch", "reset", "quit"})
"""What is not queued."""

NOT_QUEUED: Final = frozenset(
    {"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "scan", "keys", "dbsize", "flushdb", "flushall"}
)
"""What is refused: its answers are several, or it asks all nodes and is answered in a later turn."""

QUEUED: Final = b"+QUEUED\r\n"
ABORTED: Final = "EXECABORT Transaction discarded because of"

Place = Noted | bytes | Request
"""What a queued command asks about keys; or its answer, which is an error mostly; or that it asks nothing about any."""


def multi(facts: Facts) -> CarryOut:
    take = _taken(facts)

    def carry_out(session: RespSession, _request: Request) -> bytes:
        if session.transaction is not None:
            raise ReplyError("ERR MULTI calls can not be nested")
        session.transaction = Transaction()
        session.taker = take
        return OK

    return carry_out


def _taken(facts: Facts) -> CarryOut:
    """What takes the requests of a transaction."""
    rows, most_bytes = facts.rows, facts.limits.max_message_bytes * MAX_QUEUED_MESSAGES

    def check_queued(session: RespSession, transaction: Transaction, row: Row, request: Request) -> None:
        """Raises ReplyError, or an error of ours."""
        if not row.has(request):
            raise wrong_count(row.name)
        check_user(facts, session, row, request)
        find = SUBCOMMANDS.get(row.name)
        if find is not None and len(request) > 1:
            find(request)
        refusal = session.refusal_of(request)
        if refusal is not None:
            raise refusal
        if row.name in NOT_QUEUED or (facts.logins is not None and logs_in(request)):
            raise ReplyError("ERR Command not allowed inside a transaction")
        if row.name in AT_ONCE or transaction.is_aborted:
            return
        check_place(facts.placing, row, request)
        if len(transaction.requests) == MAX_QUEUED:
            raise ReplyError(f"ERR a transaction has at most {MAX_QUEUED} commands")
        transaction.size += PART_BYTES + sum(len(part) + PART_BYTES for part in request)
        if transaction.size > most_bytes:
            raise ReplyError(f"ERR the commands of a transaction take at most {most_bytes} bytes of memory")

    def take(session: RespSession, request: Request) -> object:
        transaction = session.transaction
        assert transaction is not None, "it is taken here"
        row = rows.get(shown(request[0]).lower())
        if row is None:
            _abort(transaction)
            return session.carry_out(request)  # That says why.
        if row.name != "exec":
            try:
                check_queued(session, transaction, row, request)
            except (ReplyError, errors.CkvError):
                _abort(transaction)
                raise
        if row.name in AT_ONCE:
            return session.carry_out(request)
        if not transaction.is_aborted:
            transaction.requests.append(request)
        return QUEUED

    return take


def _abort(transaction: Transaction) -> None:
    transaction.is_aborted = True
    transaction.requests.clear()


def exec_(facts: Facts) -> CarryOut:
    handler = facts.handlers.get("EXEC")

    def carry_out(session: RespSession, request: Request) -> Any:
        transaction, watched = session.transaction, session.watched
        changes_version = transaction is not None and any(map(_is_hello, transaction.requests))
        if session.owes_answers and changes_version:
            return session.wait_for_all()
        session.no_transaction()
        if len(request) != 1:
            raise ReplyError(f"{ABORTED}: wrong number of arguments for 'exec' command")
        if transaction is None:
            raise ReplyError("ERR EXEC without MULTI")
        if transaction.is_aborted:
            raise ReplyError(f"{ABORTED} previous errors.")
        for queued in transaction.requests:
            refusal = session.refusal_of(queued)
            if refusal is not None:
                raise ReplyError(f"{ABORTED}: {error_of(errors.to_wire(refusal))[1:-2].decode()}")
            # The node may have been told of others since it was queued.
            check(facts, session, facts.rows[shown(queued[0]).lower()], queued)
        for key in watched:
            facts.placing.check([key])
        places = [_place(facts, session, queued) for queued in transaction.requests]
        asked: list[Asked] = [(WATCHED, (key, digest)) for key, digest in watched.items()]
        asked += [asked for place in places if isinstance(place, Noted) for asked in place.requests]
        if not asked or handler is None:  # without which nothing is noted
            return _answer(facts, session, places, ())
        answer = in_one_step(session, handler, asked, lambda session, answers: _answer(facts, session, places, answers))
        if answer is LATER and changes_version:
            session.hold_until_all_answered()  # The answers to those behind it are made in the new version.
        return answer

    return carry_out


def _place(facts: Facts, session: RespSession, request: Request) -> Place:
    command = facts.noting.get(shown(request[0]).lower())
    if command is None:
        return request
    try:
        place: Place = command(session, request)
    except Exception as raised:  # noqa: BLE001 - it stands in its place
        return session.answer_to_failed(raised, request)
    return place


def _answer(facts: Facts, session: RespSession, places: Sequence[Place], answers: Sequence[Told] | None) -> bytes:
    """The array of all answers, of those to what was asked about keys."""
    if answers is None:
        return session.nil_array
    parts = [b"*%d\r\n" % len(places)]
    at = 0
    for place in places:
        if isinstance(place, bytes):
            parts.append(place)
        elif isinstance(place, Noted):
            own = answers[at : at + len(place.requests)]
            at += len(own)
            parts.append(answer_of_one(session, place, own))
        else:
            parts.append(_carried_out(facts, session, place))
    session.count_errors(parts)
    return b"".join(parts)


def _is_hello(request: Request) -> bool:
    """Whether it is one that waits for all before it, and all behind it for it: as a part of EXEC does, for which these
    wait."""
    return request[0].upper() == b"HELLO"


def _carried_out(facts: Facts, session: RespSession, request: Request) -> bytes:
    """The answer to a command that asks nothing about keys."""
    try:
        answer: bytes = hello(facts, session, request) if _is_hello(request) else session.carry_out(request)
    except Exception as raised:  # noqa: BLE001 - it stands in its place
        return session.answer_to_failed(raised, request)
    return answer


def _discard(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    if session.transaction is None:
        raise ReplyError("ERR DISCARD without MULTI")
    session.no_transaction()
    return OK


ROWS: Final[tuple[Row, ...]] = (
    Row("MULTI", 1, FREE, NONE, "anyone", "transactions", "Have the commands that follow wait for EXEC.", multi),
    Row("EXEC", 1, FREE, NONE, "anyone", "transactions",
        "Carry them out in their order, and answer with an array of their answers.", exec_, counts=True),
    Row("DISCARD", 1, FREE, NONE, "anyone", "transactions", "Forget them.", simply(_discard)),
)  # fmt: skip
"""What is about transactions."""
