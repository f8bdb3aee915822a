"""Which calls a client sends again, and when: only where that can do no harm that nobody asked for."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ckv.client.calls import Call
from ckv.errors import CkvError

REPEATABLE: Final = (
    "GET",
    "PUT",
    "PUTEX",
    "EXPIRETIME",
    "EXISTS",
    "STRLEN",
    "DIGEST",
    "SCAN",
    "DBSIZE",
    "OWNERS",
    "PING",
    "INFO",
    "CLIENTS",
    "HOT",
    "BIG",
    "PEEK",
)
"""Methods that have the same result when they are carried out twice in a row. DEL tells whether there was one, and what
reads before it writes, such as INCRBY, would find what it has written itself."""

FIRST_PAUSE: Final = 0.05
"""Seconds before the first repeat, at most; twice as many before each further one."""

LONGEST_PAUSE: Final = 1.0
"""Seconds before any repeat, at most."""


class Retries:
    """How often, and which."""

    def __init__(self, count: int, unknown: Collection[str]) -> None:
        """At most ``count`` repeats; after an unknown outcome only of the methods in ``unknown``. Raises ValueError."""
        if count < 0:
            raise ValueError(f"retries={count!r}: allowed is 0 or more")
        if isinstance(unknown, str) or not set(unknown) <= set(REPEATABLE):
            raise ValueError(f"retry_unknown={unknown!r}: allowed is a tuple of {', '.join(REPEATABLE)}")
        self.count: Final = count
        self._unknown: Final = frozenset(unknown)

    @staticmethod
    def pause(attempt: int) -> float:
        """Seconds to wait after this attempt (0 is the first), by chance, so that clients do not come all at once.

        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ calls it full jitter.
        """
        return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16)))

    def again(self, calls: Sequence[Call], results: Sequence[object], tried: Iterable[int]) -> list[int]:
        """Which of the calls just tried, by their positions, are to be sent again."""
        return in_order(calls, {index for index in tried if self._may_repeat(calls[index], results[index])})

    def _may_repeat(self, call: Call, result: object) -> bool:
        if not isinstance(result, CkvError) or not result.transient:
            return False
        return result.written == "no" or call.method in self._unknown


def in_order(calls: Sequence[Call], again: Collection[int]) -> list[int]:
    """Which of the calls ``again``, by their positions, can be made again after all the others are over.

    Not a call that stands before another one on the same key that is over: it would take effect after it.
    """
    over: set[bytes] = set()
    found: list[int] = []
    for index in range(len(calls) - 1, -1, -1):
        key = calls[index].key
        if index in again and key not in over:
            found.append(index)
        elif key is not None:
            over.add(key)
    return found[::-1]
