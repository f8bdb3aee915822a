"""What goes on piece by piece, such as KEYS: one piece in each turn of the loop, whoever it is for.

So however many clients ask for such things, everybody else is served after each piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import gevent


class Turns:
    """The pieces that are still to be done, in the order in which they came."""

    def __init__(self, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        """``later``: has something done after the sockets were looked at once more."""
        self._later = later or _after_a_look
        self._pieces: deque[Callable[[], None]] = deque()
        self._is_due = False
        """Whether there will be a turn; not if there was no memory to have one."""

    def add(self, do: Callable[[], None]) -> None:
        """Has it done in a turn of its own. Where that raises, such as MemoryError, it is not done."""
        self._pieces.append(do)
        try:
            self._ask()
        except BaseException:
            self._pieces.pop()
            raise

    def _ask(self) -> None:
        if self._pieces and not self._is_due:
            self._later(self._one)
            self._is_due = True

    def _one(self) -> None:
        try:
            self._pieces[0]()
        finally:
            self._pieces.popleft()
            self._is_due = False
            self._ask()  # If that raises, the next one who comes asks for all.


def _after_a_look(do: Callable[[], None]) -> None:
    # A callback of the loop could come before it.
    gevent.spawn_later(0.0, do)
