"""Numbers in values: what INCRBY and INCRBYFLOAT take for one, and how they write one, which is as Redis does.

Redis counts floats in the ``long double`` of C on x86: 64 bits of mantissa. :func:`float_sum` rounds where that would,
so that the same calls leave the same digits; the arithmetic in between is exact.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

from ckv.errors import NotANumber
from ckv.values import Value, to_bytes

_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1

_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_FLOAT: Final = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?0*[0-9]{1,9})?")

_INFINITE: Final = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)
"""A number to Redis, but none that it adds."""

_LONGEST_FLOAT: Final = 5 * 1024 - 1
"""Characters that a float may have."""

_NO_SUM: Final = "increment would produce NaN or Infinity"

_MANTISSA_BITS: Final = 64
_BEYOND: Final = Fraction(2) ** 16384
_NEAREST: Final = Fraction(1, 2**16446)
"""A long double is below the first of them. What is not above the second is rounded to 0, and refused for that."""

_DECIMALS: Final = 17
"""Digits behind the point, at most."""


def integer(text: Value) -> int:
    """The signed integer of 64 bits that this is. Raises NotANumber, also for ``+1``, ``01`` and ``-0``."""
    data = to_bytes(text)
    if _INTEGER.fullmatch(data):
        number = int(data)
        if _SMALLEST <= number <= _LARGEST:
            return number
    raise NotANumber("the value is not an integer or out of range")


def integer_sum(number: int, amount: int) -> int:
    """The sum of two such integers. Raises NotANumber where it is none."""
    result = number + amount
    if not _SMALLEST <= result <= _LARGEST:
        raise NotANumber("increment or decrement would overflow")
    return result


def float_sum(text: Value, amount: Value) -> str:
    """The sum of two numbers in decimal digits, with an exponent or without. Raises NotANumber.

    It has no exponent, at most 17 digits behind the point, and no zeros at their end.
    """
    total = _rounded(_float(text) + _float(amount))
    if abs(total) >= _BEYOND:
        raise NotANumber(_NO_SUM)
    # By way of Decimal, as Python refuses to write an int of more than 4,300 digits.
    digits = f"{Decimal(abs(round(total * 10**_DECIMALS))):f}".zfill(_DECIMALS + 1)
    sign = "-" if total < 0 and digits.strip("0") else ""
    return f"{sign}{digits[:-_DECIMALS]}.{digits[-_DECIMALS:]}".rstrip("0").rstrip(".")


def _float(text: Value) -> Fraction:
    data = to_bytes(text)
    if len(data) <= _LONGEST_FLOAT and _FLOAT.fullmatch(data):
        number = Decimal(data.decode("ascii"))
        # Looked at before it is made a fraction, which would have as many digits as its exponent says.
        if not number:
            return Fraction(0)
        if -5000 < number.adjusted() < 5000:
            result = _rounded(Fraction(number))
            if _NEAREST < abs(result) < _BEYOND:
                return result
    raise NotANumber(_NO_SUM if _INFINITE.fullmatch(data) else "the value is not a valid float")


def _rounded(number: Fraction) -> Fraction:
    """The nearest number with a mantissa of a long double; of two that are as near the even one."""
    if not number:
        return number
    exponent = abs(number.numerator).bit_length() - number.denominator.bit_length() - _MANTISSA_BITS
    unit = Fraction(2) ** exponent
    if abs(number) >= unit * 2**_MANTISSA_BITS:
        unit *= 2
    return round(number / unit) * unit
