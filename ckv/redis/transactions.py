"""MULTI, EXEC and DISCARD: commands that wait at the node until all are there, and are then carried out in their order.

EXEC answers with the head of an array and has the session carry out what was queued before anything that comes next: so
the elements of the array are the ordinary answers, each in its place, though some come later. Nothing is rolled back,
as in Redis. What is wrong with a command is looked at before it is queued: https://redis.io/docs/latest/develop/using-commands/transactions/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ckv import errors
from ckv.protocol.resp.methods import CarryOut, Transaction, shown
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, error_of
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE, simply
from ckv.redis.row import FREE, Facts, Row, wrong_count

MAX_QUEUED: Final = 65_536
"""Commands of one transaction."""

MAX_QUEUED_MESSAGES: Final = 4
"""Its memory: so many times that of the longest message."""

PART_BYTES: Final = 64
"""What each part of a request takes beside its bytes, about; and the request itself."""

AT_ONCE: Final = frozenset({"multi", "exec", "discard", "reset", "quit"})
"""What is not queued."""

QUEUED: Final = b"+QUEUED\r\n"
ABORTED: Final = "EXECABORT Transaction discarded because of"


def multi(facts: Facts) -> CarryOut:
    take = _taken(facts.rows, facts.limits.max_message_bytes * MAX_QUEUED_MESSAGES)

    def carry_out(session: RespSession, _request: Request) -> bytes:
        if session.transaction is not None:
            raise ReplyError("ERR MULTI calls can not be nested")
        session.transaction = Transaction(take)
        return OK

    return carry_out


def _taken(rows: Mapping[str, Row], most_bytes: int) -> CarryOut:
    """What takes the requests of a transaction, of a node with these commands."""

    def check(session: RespSession, transaction: Transaction, row: Row, request: Request) -> None:
        """Raises ReplyError, or an error of ours."""
        if not row.has(request):
            raise wrong_count(row.name)
        refusal = session.refusal_of(request)
        if refusal is not None:
            raise refusal
        if row.name in AT_ONCE or transaction.is_aborted:
            return
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
                check(session, transaction, row, request)
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


def _exec(_facts: Facts, session: RespSession, request: Request) -> bytes:
    transaction = session.transaction
    session.transaction = None
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
    session.put_first(transaction.requests)
    return b"*%d\r\n" % len(transaction.requests)


def _discard(_facts: Facts, session: RespSession, _request: Request) -> bytes:
    if session.transaction is None:
        raise ReplyError("ERR DISCARD without MULTI")
    session.transaction = None
    return OK


def _unwatch(_facts: Facts, _session: RespSession, _request: Request) -> bytes:
    return OK


ROWS: Final[tuple[Row, ...]] = (
    Row("MULTI", 1, FREE, NONE, "anyone", "transactions", "Have the commands that follow wait for EXEC.", multi),
    Row("EXEC", 1, FREE, NONE, "anyone", "transactions",
        "Carry them out in their order, and answer with an array of their answers.", simply(_exec), counts=True),
    Row("DISCARD", 1, FREE, NONE, "anyone", "transactions", "Forget them.", simply(_discard)),
    Row("UNWATCH", 1, FREE, NONE, "anyone", "transactions", "Do nothing: no key is watched.", simply(_unwatch)),
)  # fmt: skip
"""What is about transactions."""
