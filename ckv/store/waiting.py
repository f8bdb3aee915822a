"""Something that will be known later, and those who wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ckv.errors import CkvError

T = TypeVar("T")

Waiter = Callable[[T | None, CkvError | None], None]
"""Is told the result, or the error."""


class Waiting(Generic[T]):
    """One result, or one error, for any number of waiters."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[Waiter[T]] = []

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits."""
        return bool(self._waiters)

    def wait(self, waiter: Waiter[T]) -> None:
        """Calls the waiter once, as soon as it is known."""
        self._waiters.append(waiter)

    def tell(self, result: T | None, error: CkvError | None) -> None:
        """Tells everybody who waits, and forgets them: whoever was told of a time-out is not told again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter(result, error)
