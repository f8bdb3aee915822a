"""The methods of the command table about records that expire."""

from __future__ import annotations

from collections.abc import Callable

from ckv.commands import COMMANDS
from ckv.errors import BadArguments, CkvError
from ckv.node.answers import answer, answer_update, answer_write
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.session import Session
from ckv.store import Records
from ckv.store.expiry import CONDITIONS, expiring
from ckv.store.loading import Load
from ckv.store.waiting import Waiting
from ckv.values import checked_expires, checked_key, checked_value


def expiry_handlers(store: Records, max_value_bytes: int, now_ms: Callable[[], int]) -> dict[str, Handler]:
    """They and their names, over a store; ``now_ms`` is the time of day, in milliseconds of the epoch."""

    def putex(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            key, value, expires = params
        except ValueError:
            raise COMMANDS["PUTEX"].wrong_count(params) from None
        accepted = store.put(checked_key(key), checked_value(value, max_value_bytes), checked_expires(expires))
        if accepted is True:
            return True
        answer_write(caller, msgid, accepted, None)
        return LATER

    def expire(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            key, expires, condition = params
        except ValueError:
            raise COMMANDS["EXPIRE"].wrong_count(params) from None
        key, expires = checked_key(key), checked_expires(expires)
        if isinstance(condition, bytes):
            condition = condition.decode(errors="replace")
        if condition not in CONDITIONS:
            allowed = ", ".join(name or '""' for name in CONDITIONS)
            raise BadArguments(f"the condition is {str(condition)[:20]!r}: allowed is {allowed}")
        outcome = store.update_record(key, expiring(expires, str(condition), now_ms))
        if not isinstance(outcome, Waiting):
            return outcome
        answer_update(caller, msgid, outcome, None)
        return LATER

    def expiretime(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            (key,) = params
        except ValueError:
            raise COMMANDS["EXPIRETIME"].wrong_count(params) from None
        found = store.expires_of(checked_key(key))
        if not isinstance(found, Waiting):
            return _shown(found)
        _answer(caller, msgid, found, None)
        if isinstance(found, Load) and isinstance(caller, Session):
            store.asked_by(found, caller)
        return LATER

    return {"PUTEX": putex, "EXPIRE": expire, "EXPIRETIME": expiretime}


def _answer(caller: Caller, msgid: int, found: object, error: CkvError | None) -> None:
    """Answers as soon as it is known when the record expires."""
    if isinstance(found, Load):
        load = found
        found.wait(lambda value, error: _answer(caller, msgid, None if value is None else load.expires, error))
    elif isinstance(found, Waiting):
        found.wait(lambda told, error: _answer(caller, msgid, told, error))
    else:
        answer(caller, msgid, _shown(found) if error is None else None, error)


def _shown(expires: object) -> object:
    return -2 if expires is None else expires or -1
