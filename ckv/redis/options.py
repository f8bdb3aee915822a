"""The options of SET, and the times that records may live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ckv.protocol.resp.parsing import Request
from ckv.protocol.resp.replies import ReplyError
from ckv.redis.row import SYNTAX, integer_of
from ckv.store.change import KEEP
from ckv.values import MAX_EXPIRES

_TIMES: Final = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}
"""Milliseconds of the unit, and whether it counts from now."""


@dataclass(frozen=True, slots=True)
class SetOptions:
    """What SET is asked beside key and value."""

    expires: int = 0
    """Milliseconds of the epoch; 0 for never, and :data:`KEEP`."""

    condition: str = ""
    """``NX``, ``XX``, ``IFEQ``, or none."""

    expected: bytes | str = ""
    """The value that ``IFEQ`` wants."""

    want: str = ""
    """``GET``: the value that was there before is the answer."""


def set_options(options: Request, now: Callable[[], float], command: str = "set") -> SetOptions:
    """What the options say. Raises ReplyError, for a time with the name of the command."""
    expires = 0
    condition = want = ""
    expected: bytes | str = ""
    at = 0
    while at < len(options):
        option = options[at].upper()
        at += 1
        if option in (b"NX", b"XX") and not condition:
            condition = option.decode()
        elif option == b"IFEQ" and not condition and at < len(options):
            condition, expected = "IFEQ", options[at]
            at += 1
        elif option == b"GET":
            want = "GET"
        elif option == b"KEEPTTL" and not expires:
            expires = KEEP
        elif option in _TIMES and not expires and at < len(options):
            unit, from_now = _TIMES[option]
            expires = _expiry(options[at], unit, now() if from_now else 0.0, command)
            at += 1
        else:
            raise ReplyError(SYNTAX)
    return SetOptions(expires, condition, expected, want)


def expiry_option(options: Request, now: Callable[[], float]) -> int | None:
    """What the options of GETEX say: milliseconds of the epoch, 0 for PERSIST, None where there are none. Raises
    ReplyError."""
    if not options:
        return None
    option = options[0].upper()
    if option == b"PERSIST" and len(options) == 1:
        return 0
    if option not in _TIMES or len(options) != 2:
        raise ReplyError(SYNTAX)
    unit, from_now = _TIMES[option]
    return _expiry(options[1], unit, now() if from_now else 0.0, "getex")


def expiry_in(amount: bytes, unit: int, now: Callable[[], float], command: str) -> int:
    """The milliseconds of the epoch in so many times ``unit`` milliseconds from now. Raises ReplyError."""
    return _expiry(amount, unit, now(), command)


def _expiry(amount: bytes, unit: int, since: float, command: str) -> int:
    number = integer_of(amount)
    expires = number * unit + int(since * 1000)
    if number <= 0 or expires > MAX_EXPIRES:
        raise ReplyError(f"ERR invalid expire time in '{command}' command")
    return expires
