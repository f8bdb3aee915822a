"""The commands that read a record before they write it, and those that tell something of a value without it.

Each is a function of the value, which the store carries out as one step (:meth:`ckv.store.Records.update`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ckv import errors
from ckv.commands import COMMANDS
from ckv.node.answers import NOT_FOUND, answer_read, answer_update
from ckv.node.numbers import float_sum, integer, integer_sum
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.session import Session
from ckv.store import Records
from ckv.store.change import KEEP, Change, Modify, kept
from ckv.store.waiting import Waiting
from ckv.values import Value, checked_expires, checked_key, checked_value, to_bytes, to_text

CONDITIONS: Final = ("", "NX", "XX", "IFEQ")
COUNT_CONDITIONS: Final = ("", "XX")
WANTS: Final = ("", "GET")

PUT_DONE: Final = (True, False, "")
"""What a SET answers that asks for nothing: it does not look whether there was a record."""


def update_handlers(store: Records, max_value_bytes: int) -> dict[str, Handler]:
    """The methods, by their names."""

    def handler(name: str, carry_out: Callable[..., object]) -> Handler:
        command = COMMANDS[name]
        count = len(command.arguments)

        def handle(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if len(params) != count:
                raise command.wrong_count(params)
            return carry_out(caller, msgid, checked_key(params[0]), *params[1:])

        return handle

    def told(caller: Caller, msgid: int, outcome: object) -> object:
        if not isinstance(outcome, Waiting):
            return outcome
        answer_update(caller, msgid, outcome, None)
        return LATER

    def update(caller: Caller, msgid: int, key: str, modify: Modify) -> object:
        return told(caller, msgid, store.update(key, modify))

    def read(caller: Caller, msgid: int, key: str, shown: Callable[[Any], object]) -> object:
        value = store.get(key)
        if not isinstance(value, Waiting):
            return shown(value)
        answer_read(caller, msgid, value, None, shown)
        return LATER

    def set_(
        caller: Caller,
        msgid: int,
        key: str,
        value: object,
        expires: object,
        condition: object,
        expected: object,
        want: object,
    ) -> object:
        new = checked_value(value, max_value_bytes)
        until = _until(expires)
        when, wanted = _word("condition", condition, CONDITIONS), _word("want", want, WANTS)
        equal = to_bytes(checked_value(expected, max_value_bytes))
        if equal and when != "IFEQ":
            raise errors.BadArguments("expected goes with IFEQ; without it it is empty")
        if not (when or wanted or until == KEEP):
            accepted = store.put(key, new, until)
            if accepted is True:
                return PUT_DONE
            answer_read(caller, msgid, accepted, None, lambda _stored: PUT_DONE)
            return LATER
        shows = _Shows(caller)

        def modify(old: Value | None) -> Change:
            found = old is not None
            shown = shows.value(old) if wanted and old is not None else ""
            if (when == "NX" and found) or (when == "XX" and not found) or (when == "IFEQ" and not _is(old, equal)):
                return kept((False, found, shown))
            if until == KEEP and not (when or wanted):
                return Change(PUT_DONE, new)
            return Change((True, found, shown), new, expires=until)

        return shows.later(update(caller, msgid, key, modify))

    def get_and_delete(caller: Caller, msgid: int, key: str) -> object:
        shows = _Shows(caller)

        def modify(old: Value | None) -> Change:
            return kept(NOT_FOUND) if old is None else Change((True, shows.value(old)), None)

        return shows.later(update(caller, msgid, key, modify))

    def get_and_expire(caller: Caller, msgid: int, key: str, expires: object) -> object:
        until = checked_expires(expires)
        shows = _Shows(caller)

        def modify(old: Value | None, before: int) -> Change:
            if old is None:
                return kept(NOT_FOUND)
            shown = (True, shows.value(old))
            # With a time that is over the record is one that is not there any more.
            return kept(shown) if before == until else Change(shown, old, expires=until)

        return shows.later(told(caller, msgid, store.update_record(key, modify)))

    def delete_if_equal(caller: Caller, msgid: int, key: str, expected: object) -> object:
        equal = to_bytes(checked_value(expected, max_value_bytes))
        return update(caller, msgid, key, lambda old: Change(True, None) if _is(old, equal) else kept(False))

    def extend(caller: Caller, msgid: int, key: str, expected: object, milliseconds: object, since: object) -> object:
        equal = to_bytes(checked_value(expected, max_value_bytes))
        longer, begin = _amount(milliseconds)[0], checked_expires(_number(since))

        def modify(old: Value | None, before: int) -> Change:
            if not before or not _is(old, equal):
                return kept(False)
            # 0 would be for ever; what is over by then is no record any more.
            return Change(True, old, expires=checked_expires(max(1, (begin or before) + longer)))

        return told(caller, msgid, store.update_record(key, modify))

    def increase(caller: Caller, msgid: int, key: str, amount: object) -> object:
        number, made = _amount(amount)

        def modify(old: Value | None) -> Change:
            total = integer_sum(integer(old) if old is not None else 0, number)
            return Change(total, _as(made if old is None else type(old), str(total)))

        return update(caller, msgid, key, modify)

    def count(caller: Caller, msgid: int, key: str, amount: object, condition: object, expires: object) -> object:
        number, made = _amount(amount)
        only_existing = _word("condition", condition, COUNT_CONDITIONS) == "XX"
        until = _until(expires)

        def modify(old: Value | None) -> Change:
            if old is None and only_existing:
                return kept((False, 0))
            total = integer_sum(integer(old) if old is not None else 0, number)
            value = _as(made if old is None else type(old), str(total))
            # It counts from 0, so that this begins what shall end by itself.
            return Change((True, total), value, expires=until if total == number else KEEP)

        return update(caller, msgid, key, modify)

    def increase_float(caller: Caller, msgid: int, key: str, amount: object) -> object:
        if not isinstance(amount, (str, bytes)):
            raise errors.BadArguments(f"an amount must be a str or a bin, not {type(amount).__name__}")
        float_sum("0", amount)  # what is wrong with it is wrong whatever the value is

        def modify(old: Value | None) -> Change:
            total = float_sum(old if old is not None else "0", amount)
            return Change(total, _as(type(amount if old is None else old), total))

        return update(caller, msgid, key, modify)

    def append(caller: Caller, msgid: int, key: str, value: object) -> object:
        more = checked_value(value, max_value_bytes)

        def modify(old: Value | None) -> Change:
            if old is None:
                return Change(len(to_bytes(more)), more)
            data = to_bytes(old) + to_bytes(more)
            if len(data) > max_value_bytes:
                raise errors.ValueTooLarge(f"the value would have {len(data)} bytes, {max_value_bytes} are allowed")
            # By way of its bytes: the first part of a character and the rest of it make one.
            return Change(len(data), data if isinstance(old, bytes) else to_text(data))

        return update(caller, msgid, key, modify)

    def exists(caller: Caller, msgid: int, key: str) -> object:
        return read(caller, msgid, key, lambda value: value is not None)

    def length(caller: Caller, msgid: int, key: str) -> object:
        return read(caller, msgid, key, lambda value: len(to_bytes(value)) if value is not None else 0)

    carried_out: dict[str, Callable[..., object]] = {
        "SET": set_,
        "GETDEL": get_and_delete,
        "GETEX": get_and_expire,
        "DELIFEQ": delete_if_equal,
        "EXTEND": extend,
        "INCRBY": increase,
        "COUNT": count,
        "INCRBYFLOAT": increase_float,
        "APPEND": append,
        "EXISTS": exists,
        "STRLEN": length,
    }
    return {name: handler(name, function) for name, function in carried_out.items()}


class _Shows:
    """Whether an update whose result has the old value may be carried out: not later, when too much is unread.

    A GET can be told so instead of its value. What an update read may be gone, so it is not carried out at all.
    """

    def __init__(self, caller: Caller) -> None:
        self._session = caller if isinstance(caller, Session) else None
        self._late = False

    def later(self, outcome: object) -> object:
        """Takes note that the answer comes later, if it does."""
        self._late = outcome is LATER
        return outcome

    def value(self, value: Value) -> Value:
        """The value itself. Raises Overloaded."""
        if self._late and self._session is not None and self._session.congested:
            raise errors.Overloaded("too many answers are unread; nothing was written")
        return value


def _until(expires: object) -> int:
    """When a record that is SET expires: milliseconds of the epoch, 0 for never, KEEP. Raises a Refused."""
    number = _number(expires)
    return KEEP if type(number) is int and number == KEEP else checked_expires(number)


def _number(word: object) -> object:
    """The number that a word stands for, where it is one."""
    return integer(word) if isinstance(word, (str, bytes)) else word


def _word(name: str, word: object, allowed: tuple[str, ...]) -> str:
    text = to_text(word) if isinstance(word, bytes) else word
    if isinstance(text, str) and text.upper() in allowed:
        return text.upper()
    raise errors.BadArguments(f"{name} is one of {', '.join(repr(one) for one in allowed)}")


def _amount(amount: object) -> tuple[int, type]:
    """The number, and the type of the value that a new record has."""
    if isinstance(amount, (str, bytes)):
        return integer(amount), type(amount)
    if type(amount) is not int:
        raise errors.BadArguments(f"an amount must be a number, a str or a bin, not {type(amount).__name__}")
    return integer_sum(0, amount), str


def _as(kind: type, text: str) -> Value:
    return text if kind is str else to_bytes(text)


def _is(value: Value | None, data: bytes) -> bool:
    """Whether there is a value, and it has these bytes, be it as a str or as a bin."""
    return value is not None and to_bytes(value) == data
