"""When records expire: their keys, by the second. For the table in Python; the compiled one keeps less of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PIECE: Final = 64
"""Keys that are told in one go."""


class Ends:
    """The keys of records that expire."""

    def __init__(self) -> None:
        self._keys: dict[int, dict[str, None]] = {}
        """Of each second of the epoch in which one does."""

    def add(self, key: str, expires: int) -> None:
        """The record of this key expires then, in milliseconds of the epoch."""
        self._keys.setdefault(expires // 1000, {})[key] = None

    def remove(self, key: str, expires: int, since: int = 0) -> None:
        """It does not any more; ``since`` is when it does, which was added already, 0 for never."""
        second = expires // 1000
        if since and second == since // 1000:
            return
        del self._keys[second][key]
        if not self._keys[second]:
            del self._keys[second]

    def until(self, now_ms: int) -> Iterator[list[str]]:
        """The keys of what expires in this second or has before, in pieces."""
        for second in sorted(second for second in self._keys if second <= now_ms // 1000):
            keys = list(self._keys.get(second, ()))
            for start in range(0, len(keys), PIECE):
                yield keys[start : start + PIECE]

    def pairs(self) -> set[tuple[str, int]]:
        """All keys with their seconds."""
        return {(key, second) for second, keys in self._keys.items() for key in keys}
