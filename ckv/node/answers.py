"""Answers that come later: from what a store returns that waits, through any number of waits, to the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckv import errors
from ckv.protocol.handler import Caller
from ckv.store.loading import Load
from ckv.store.waiting import Waiting

NOT_FOUND: Final = (False, "")


def answer(caller: Caller, msgid: int, result: object, error: errors.CkvError | None) -> None:
    """Answers with the result, or with the error if there is one."""
    if error is None:
        caller.respond(msgid, None, result)
    else:
        caller.respond(msgid, errors.to_wire(error), None)


def answer_write(caller: Caller, msgid: int, outcome: object, error: errors.CkvError | None) -> None:
    """Answers a PUT or DEL as soon as its outcome is known; what it waits for may turn into another wait."""
    if isinstance(outcome, Load):
        outcome.wait(lambda value, error: answer(caller, msgid, value is not None, error))
    elif isinstance(outcome, Waiting):
        outcome.wait(lambda result, error: answer_write(caller, msgid, result, error))
    else:
        answer(caller, msgid, outcome, error)


def answer_read(
    caller: Caller, msgid: int, found: object, error: errors.CkvError | None, shown: Callable[[object], object]
) -> None:
    """The same for what was read: ``shown`` makes the result of a value, or of None."""
    if isinstance(found, Waiting):
        found.wait(lambda value, error: answer_read(caller, msgid, value, error, shown))
    else:
        answer(caller, msgid, shown(found) if error is None else None, error)


def answer_update(caller: Caller, msgid: int, outcome: object, error: errors.CkvError | None) -> None:
    """The same for an update."""
    if isinstance(outcome, Waiting):
        outcome.wait(lambda result, error: answer_update(caller, msgid, result, error))
    else:
        answer(caller, msgid, undroppable(outcome), error)


def undroppable(result: object) -> object:
    """The same result in a form that no session gives up.

    When too much is unread, a session answers Overloaded in the place of a large result that is a tuple, for a GET can
    be made again. What an update has read may be nowhere else any more, and that error means that nothing was written.
    """
    return list(result) if type(result) is tuple else result
