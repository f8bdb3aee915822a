"""Numbers as people write them: whole numbers, sizes in bytes and durations, each with a unit behind it or without."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from ckv.errors import BadSetting

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60)}


def parse_whole(text: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``; ``k``, ``M`` and ``G`` stand for a thousand, a million and a billion.

    >>> parse_whole("1M", 1, 2**40)
    1000000
    """
    number = _number(text, _DECIMAL)
    if number is None or not low <= number <= high:
        raise BadSetting(f"{text!r} is not a whole number in range: allowed is {low} to {high}")
    return number


def parse_size(text: str, low: int, high: int) -> int:
    """A number of bytes; ``k``, ``M``, ``G`` are powers of 1000, ``KiB``, ``MiB``, ``GiB`` of 1024.

    >>> parse_size("4k", 1, 10**6), parse_size("4KiB", 1, 10**6)
    (4000, 4096)
    """
    number = _number(text, _DECIMAL | _BINARY)
    if number is None or not low <= number <= high:
        allowed = f"{show_size(low)} to {show_size(high)}, with k, M, G or KiB, MiB, GiB"
        raise BadSetting(f"{text!r} is not a size in bytes in range: allowed is {allowed}")
    return number


def show_size(count: int) -> str:
    """A number of bytes as a person writes it, exactly.

    >>> show_size(1048576), show_size(1000)
    ('1MiB', '1000')
    """
    for suffix, factor in reversed(_BINARY.items()):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)


def parse_duration(text: str, low: float, high: float) -> float:
    """A duration in seconds; ``ms``, ``s`` and ``m`` (minutes) may follow the number, which may have a decimal point.

    >>> parse_duration("500ms", 0, 10), parse_duration("1.5m", 0, 100)
    (0.5, 90.0)
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m)?", text)
    seconds = float(Decimal(match[1]) * _SECONDS[match[2] or ""]) if match else None
    if seconds is None or not low <= seconds <= high:
        allowed = f"{low:g} to {high:g} seconds, with ms, s or m"
        raise BadSetting(f"{text!r} is not a duration in range: allowed is {allowed}")
    return seconds


def _number(text: str, units: Mapping[str, int]) -> int | None:
    match = re.fullmatch(r"([0-9]{1,20})([A-Za-z]*)", text)
    return int(match[1]) * units[match[2]] if match and match[2] in units else None
