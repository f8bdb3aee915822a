"""Numbers as people write them: whole numbers, sizes in bytes and durations, each with a unit behind it or without.

A parser takes a text, and raises :class:`~ckv.errors.BadSetting` for what it cannot read and for what is out of range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from ckv.errors import BadSetting
from ckv.masking import quoted

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60)}

_WHOLE = "[0-9]{1,20}"
_FRACTION = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"

N = TypeVar("N", int, float)


def whole(low: int, high: int) -> Callable[[str], int]:
    """The parser of whole numbers from ``low`` to ``high``; ``k``, ``M``, ``G`` are thousand, million, billion.

    >>> whole(1, 2**40)("1M")
    1000000
    """
    return _parser(int, _WHOLE, _DECIMAL, low, high, f"a whole number in range: allowed is {low} to {high}")


def size(low: int, high: int) -> Callable[[str], int]:
    """The parser of numbers of bytes; ``k``, ``M``, ``G`` are powers of 1000, ``KiB``, ``MiB``, ``GiB`` of 1024.

    >>> size(1, 10**6)("4k"), size(1, 10**6)("4KiB")
    (4000, 4096)
    """
    allowed = f"{show_size(low)} to {show_size(high)}, with k, M, G or KiB, MiB, GiB"
    return _parser(int, _WHOLE, _DECIMAL | _BINARY, low, high, f"a size in bytes in range: allowed is {allowed}")


def duration(low: float, high: float) -> Callable[[str], float]:
    """The parser of durations in seconds; ``ms``, ``s`` and ``m`` (minutes) may follow, and a fraction is allowed.

    >>> duration(0, 10)("500ms"), duration(0, 100)("1.5m")
    (0.5, 90.0)
    """
    allowed = f"{low:g} to {high:g} seconds, with ms, s or m"
    return _parser(float, _FRACTION, _SECONDS, low, high, f"a duration in range: allowed is {allowed}")


def show_size(count: int) -> str:
    """A number of bytes as a person writes it, exactly.

    >>> show_size(1048576), show_size(1000)
    ('1MiB', '1000')
    """
    for suffix, factor in reversed(_BINARY.items()):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)


def _parser(
    kind: type[N], number: str, units: Mapping[str, int | Decimal], low: N, high: N, wanted: str
) -> Callable[[str], N]:
    pattern = re.compile(f"({number})([A-Za-z]*)")

    def parse(text: str) -> N:
        match = pattern.fullmatch(text)
        if match and match[2] in units:
            value = kind(Decimal(match[1]) * units[match[2]])
            if low <= value <= high:
                return value
        raise BadSetting(f"{quoted(text)} is not {wanted}")

    return parse
