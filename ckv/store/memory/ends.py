"""When records expire: their keys, by the second. For the table in Python; the compiled one keeps less of it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

PIECE: Final = 64
"""Keys that are told in one go."""

STALE: Final = 1024
"""Seconds in the heap that are none of a record any more, beyond as many as are: then it is made anew."""


class Ends:
    """The keys of records that expire."""

    def __init__(self) -> None:
        self._keys: dict[int, str | dict[str, None]] = {}
        """Of each second of the epoch in which one does: the key, or all keys if there are several."""
        self._seconds: list[int] = []
        """A heap of these seconds, so that those in the future are not looked at. Some may be there more than once, and
        some of which there are no keys any more."""

    def add(self, key: str, expires: int) -> None:
        """The record of this key expires then, in milliseconds of the epoch."""
        second = expires // 1000
        keys = self._keys.get(second)
        if keys is not None:
            if isinstance(keys, str):
                self._keys[second] = {keys: None, key: None}
            else:
                keys[key] = None
            return
        self._keys[second] = key
        if len(self._seconds) > 2 * len(self._keys) + STALE:
            self._seconds = [*self._keys]
            heapify(self._seconds)
        else:
            heappush(self._seconds, second)

    def remove(self, key: str, expires: int, since: int = 0) -> None:
        """It does not any more; ``since`` is when it does, which was added already, 0 for never."""
        second = expires // 1000
        if since and second == since // 1000:
            return
        keys = self._keys[second]
        if not isinstance(keys, str):
            del keys[key]
        if isinstance(keys, str) or not keys:
            del self._keys[second]

    def until(self, now_ms: int) -> Iterator[list[str]]:
        """The keys of what expires in this second or has before, in pieces."""
        due: dict[int, None] = {}
        while self._seconds and self._seconds[0] <= now_ms // 1000:
            due[heappop(self._seconds)] = None
        kept = [second for second in due if second in self._keys]
        for second in kept:
            heappush(self._seconds, second)  # as long as any of its keys is there
        for second in kept:
            keys = self._keys_of(second)
            for start in range(0, len(keys), PIECE):
                yield keys[start : start + PIECE]

    def _keys_of(self, second: int) -> list[str]:
        keys = self._keys.get(second, {})
        return [keys] if isinstance(keys, str) else [*keys]

    def pairs(self) -> set[tuple[str, int]]:
        """All keys with their seconds."""
        assert self._keys.keys() <= set(self._seconds), "a second is not known"
        return {(key, second) for second in self._keys for key in self._keys_of(second)}
