"""Choices that are read from bytes, so that any bytes are an input, and the same bytes the same one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads the bytes once. When they are used up, each further choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that are not used up."""
        return len(self._data) - self._at

    def taken(self, count: int) -> bytes:
        """The next bytes, as many as are left."""
        start = self._at
        self._at = min(len(self._data), start + count)
        return self._data[start : self._at]

    def below(self, end: int) -> int:
        """A number from 0 to ``end`` - 1, which is less than 2^32."""
        return int.from_bytes(self.taken(1 if end <= 256 else 2 if end <= 65_536 else 4), "little") % end

    def one_of(self, things: Sequence[T]) -> T:
        """One of them."""
        return things[self.below(len(things))]

    def once_in(self, times: int) -> bool:
        """True once in so many times."""
        return self.below(times) == times - 1
