"""The methods of the client about when records expire, and how its callers say it: in seconds from now."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from ckv.client.calls import answered
from ckv.values import MAX_EXPIRES, Value

_NEVER, _NO_RECORD = -1, -2
"""What EXPIRETIME answers in the place of a time."""

MAX_SECONDS: Final = MAX_EXPIRES // 2000
"""The longest time from now, so that no clock makes more of it than a node takes."""


def expires_in(seconds: float | None) -> int:
    """The moment, in milliseconds of the epoch, as nodes have it; 0 for ``None``, never. Raises ValueError."""
    if seconds is None:
        return 0
    if not 0 < seconds <= MAX_SECONDS:  # "not" also for what is no number
        raise ValueError(f"expire={seconds!r}: allowed is a number of seconds above 0, up to {MAX_SECONDS}, or None")
    # Rounded down, so that no more time is left than was given, as Redis has it.
    return math.floor((time.time() + seconds) * 1000)


class Expiring:
    """What :class:`ckv.client.Client` has of these."""

    @abstractmethod
    def _one(self, method: str, params: tuple[object, ...], read: Callable[[object], object]) -> object:
        """Make one call; what ``read`` makes of its result."""

    def expire(self, key: Value, seconds: float) -> bool:
        """Have the record expire so many seconds from now; whether there is one. Raises ``ValueError``."""
        return self._expire(key, expires_in(seconds))

    def persist(self, key: Value) -> bool:
        """Have the record expire no more; whether there is one that was to."""
        return self._expire(key, 0)

    def ttl(self, key: Value) -> float | None:
        """Seconds until the record expires, by the clock of this machine; ``inf`` for never, ``None`` without one."""
        when = answered("EXPIRETIME", int, self._one("EXPIRETIME", (key,), lambda result: result))
        if when == _NO_RECORD:
            return None
        return math.inf if when == _NEVER else max(0.0, when / 1000 - time.time())

    def _expire(self, key: Value, when: int) -> bool:
        return bool(answered("EXPIRE", int, self._one("EXPIRE", (key, when, ""), lambda result: result)))
