"""EXPIRE as an update: when a record that is there is to expire, under a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckv.store.change import Change, ModifyRecord, kept
from ckv.values import Value

NEVER: Final = float("inf")

CONDITIONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "": lambda before, after: before != after or after != NEVER,
    "NX": lambda before, after: before == NEVER,
    "XX": lambda before, after: before != NEVER,
    "GT": lambda before, after: after > before,
    "LT": lambda before, after: after < before,
    "XXLT": lambda before, after: after < before != NEVER,
}
"""Those of Redis, the last being XX and LT at once: what a condition says of when the record expired before and is to
expire after; never is latest. Without one, to end an expiry that there is not is no change."""


def expiring(expires: int, condition: str, now_ms: Callable[[], int]) -> ModifyRecord:
    """Sets when the record expires, in milliseconds of the epoch; 0 for never. The result is 1 where it did that, and 0
    where there is no record, or the condition does not hold. With a time that is over the record is deleted."""
    holds = CONDITIONS[condition]

    def modify(value: Value | None, before: int) -> Change:
        if value is None or not holds(before or NEVER, expires or NEVER):
            return kept(0)
        if 0 < expires <= now_ms():
            return Change(1, None)
        return Change(1, value, expires=expires)

    return modify
