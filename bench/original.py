"""The C++ program that ckv replaces: what was measured of it, and of Redis beside it, in one run of another day.

It cannot be part of this benchmark, so ckv is compared with it by way of Redis: (ckv / Redis) here, divided by
(original / Redis) there. Calls a second with 50 connections, keys of 16 and values of 64 bytes, 100,000 keys, uniform;
the median of three. The original was compiled with -O2 and its log was off: as it ships it is half as fast.
"""

from __future__ import annotations

from typing import Final

from bench.results import Cell

REDIS: Final[dict[tuple[str, int], float]] = {
    ("put", 1): 137e3,
    ("put", 16): 676e3,
    ("put", 64): 856e3,
    ("get", 1): 139e3,
    ("get", 16): 667e3,
    ("get", 64): 877e3,
}
"""By operation and depth, as the two below."""

SECONDARY: Final[dict[tuple[str, int], float]] = {
    ("put", 1): 101e3,
    ("put", 16): 126e3,
    ("put", 64): 86e3,
    ("get", 1): 76e3,
    ("get", 16): 95e3,
    ("get", 64): 85e3,
}

PRIMARY: Final[dict[tuple[str, int], float]] = {
    ("put", 1): 12e3,
    ("put", 16): 11e3,
    ("put", 64): 11e3,
    ("get", 1): 12e3,
    ("get", 16): 11e3,
    ("get", 64): 12e3,
}


def redis_over(original: dict[tuple[str, int], float], cell: Cell) -> float:
    """How many times as fast as the original Redis was, in the setting of the cell. Raises :class:`KeyError`."""
    setting = (str(cell.axes["op"]), int(cell.axes["depth"]))
    return REDIS[setting] / original[setting]
