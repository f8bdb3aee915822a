"""FLUSHDB and FLUSHALL: the node has all records deleted, a piece after the other, and answers at the end.

It goes on when the client goes away meanwhile, as Redis would have done it by then.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from ckv import errors
from ckv.protocol.handler import LATER
from ckv.protocol.resp.methods import CarryOut
from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import OK, ReplyError, error_of
from ckv.protocol.resp.session import RespSession
from ckv.redis.connection import NONE
from ckv.redis.row import SYNTAX, Facts, Row

_WAYS: Final = (b"SYNC", b"ASYNC")


class Flushing:
    """One of them: the caller of the method that deletes some, again and again."""

    is_open = True

    def __init__(self, facts: Facts, session: RespSession) -> None:
        self._facts = facts
        self._session = session
        self._number = -1
        """That of the request, once it waits."""
        self._cursor = 0

    def carry_out(self) -> Any:
        """The answer; or it comes later."""
        if (answer := self._step()) is not None:
            return answer
        self._number = self._session.ticket
        return self._session.wait(None)

    def _step(self) -> bytes | None:
        """Has the next ones deleted; the answer, if it is known now."""
        try:
            result = self._facts.handlers["FLUSH"](self, 0, (self._cursor,))
        except errors.CkvError as error:
            return error_of(errors.to_wire(error))
        return None if result is LATER else self._take(result)

    def _take(self, result: Any) -> bytes | None:
        self._cursor, _deleted = result
        if self._cursor == 0:
            return OK
        self._facts.next_turn(self._go_on)
        return None

    def _go_on(self) -> None:
        try:
            refusal = self._session.refusal_of([b"FLUSHDB"])
            self._answer(error_of(errors.to_wire(refusal)) if refusal is not None else self._step())
        except Exception:  # noqa: BLE001 - it is answered no more, and nothing behind it
            self._session.break_off_on_defect()

    def _answer(self, answer: bytes | None) -> None:
        if answer is not None:
            self._session.answer(self._number, answer)

    # --- as a caller -------------------------------------------------------------------------------------------------

    def respond(self, msgid: int, error: object, result: object) -> None:
        try:
            self._answer(error_of(error) if error is not None else self._take(result))
        except Exception:  # noqa: BLE001 - whoever brings the answer may have those of others
            self._session.break_off_on_defect()

    def settle(self) -> None:
        """Nobody was asked; so it ends."""

    def hold(self, reason: Hashable) -> None:
        """It waits for each answer as it is."""

    def release(self, reason: Hashable) -> None:
        """As before."""


def _flush(facts: Facts) -> CarryOut:
    def carry_out(session: RespSession, request: Request) -> Any:
        if len(request) > 2 or (len(request) == 2 and request[1].upper() not in _WAYS):
            raise ReplyError(SYNTAX)
        return Flushing(facts, session).carry_out()

    return carry_out


_HELP: Final = (
    "Delete all records, in the database too, if the node was started with `--allow-flush`; [see below](#all-keys)."
)
_WRITES: Final = ("write",)

ROWS: Final[tuple[Row, ...]] = (
    Row("FLUSHDB [ASYNC | SYNC]", -1, _WRITES, NONE, "operator", "server", _HELP, _flush, ("FLUSH",)),
    Row("FLUSHALL [ASYNC | SYNC]", -1, _WRITES, NONE, "operator", "server", "The same: there is one database.", _flush,
        ("FLUSH",)),
)  # fmt: skip
"""What removes everything."""
