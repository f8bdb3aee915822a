"""The slow log: which requests took long.

As Redis has one: https://redis.io/docs/latest/commands/slowlog-get/. That one has how long commands ran, while nobody
else was served. Here nothing runs for long; what takes time is to wait, for the database or for another node. So this
one has, of the requests that had to wait, how long it was from their begin to their answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ckv.protocol.failures import ErrorCounts
from ckv.protocol.latencies import Latencies
from ckv.values import checked_count

KEPT: Final = 128
"""The most requests that are kept, as ``slowlog-max-len`` of Redis."""

MAX_SHOWN: Final = 128
"""Bytes that are kept of a method and of its first argument, as in Redis."""

UNTOLD: Final = "AUTH"
"""The method whose first argument is not kept: it may be a secret."""

Begun = tuple[float, object, object, int]
"""When a request was begun, by the clock; its method, its first argument, and how many it has."""

Entry = tuple[int, int, int, list[str], str, str]
"""A request in the log: its number, the seconds of the epoch at its end, its microseconds, its words, the address of
whoever made it, and an empty text in the place of that client's name."""


class SlowLog:
    """The latest requests that took long, of one node."""

    def __init__(self, seconds: float, clock: Callable[[], float], now: Callable[[], float]) -> None:
        """Keeps what took at least so long. ``clock``: seconds, and never goes back; ``now``: those of the epoch."""
        self.seconds = seconds
        self._clock = clock
        self._now = now
        self._latest: deque[Entry] = deque(maxlen=KEPT)
        self.count = 0
        """Requests that took so long, since the start."""
        self.latencies = Latencies()
        """Of all that had to wait, and of what others have timed."""
        self.errors = ErrorCounts()
        """Of all requests, however long they took."""

    def begun(self, method: object, first: object, count: int) -> Begun:
        """What is kept of a request while it waits, of ``count`` arguments: of them the ``first`` alone, if that is
        text and no value."""
        return self._clock(), method, first if isinstance(first, (str, bytes)) else None, count

    def answered(self, begun: Begun, peer: str) -> None:
        """Takes note of the answer to a request of this peer, whatever it was."""
        since, method, first, count = begun
        seconds = self._clock() - since
        self.latencies.add(method, seconds)
        if seconds < self.seconds:
            return
        words = [_shown(method)]
        if first is not None and words[0].upper() != UNTOLD:
            words.append(_shown(first))
            count -= 1
        if count:
            words.append(f"... ({count} more arguments)")
        self._latest.append((self.count, int(self._now()), round(seconds * 1_000_000), words, peer, ""))
        self.count += 1

    def asked(self, count: object) -> list[Entry]:
        """What SLOWLOG answers: up to so many, the latest first; 0 forgets them. Raises BadArguments."""
        most = checked_count(count, 0, KEPT)
        if not most:
            self.clear()
        return self.latest(most)

    def latest(self, count: int) -> list[Entry]:
        """Up to so many, the latest first."""
        return [*reversed(self._latest)][:count]

    def clear(self) -> None:
        """Forgets all of them. What comes is numbered on."""
        self._latest.clear()


NEVER: Final = SlowLog(float("inf"), float, float)
"""One that keeps nothing."""


def _shown(word: object) -> str:
    data = word if isinstance(word, bytes) else str(word).encode("utf-8", "replace")
    left = len(data) - MAX_SHOWN
    shown = data[:MAX_SHOWN].decode("utf-8", "replace")
    return shown if left <= 0 else f"{shown}... ({left} more bytes)"
