"""Something that will be known later, and those who wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ckv.errors import CkvError

T = TypeVar("T")

Waiter = Callable[[T | None, CkvError | None], None]
"""Is told the result, or the error."""


@dataclass(eq=False, slots=True)
class Waiting(Generic[T]):
    """One result, or one error, for any number of waiters."""

    _waiters: list[Waiter[T]] = field(default_factory=list, init=False)

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
