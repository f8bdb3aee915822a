"""Kubernetes' quantities: ``100m``, ``6Gi``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "m": Decimal("0.001"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip


def number_of(text: str) -> Decimal:
    """The number that a quantity stands for, more than 0 or 0. Raises ValueError.

    >>> number_of("100m"), number_of("1Ki")
    (Decimal('0.100'), Decimal('1024'))
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a quantity")
    return Decimal(match[1]) * _UNITS[match[2]]
