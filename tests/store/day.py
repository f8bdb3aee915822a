"""A clock for tests of what expires."""

from __future__ import annotations


class Day:
    """A time of day that stands still."""

    def __init__(self) -> None:
        self.now = 1000
        self.asked = 0
        """How often somebody has looked at it."""

    def __call__(self) -> int:
        self.asked += 1
        return self.now
