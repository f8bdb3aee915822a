"""Rids memory of records that have expired and that nobody asks for: some in each turn of the loop.

Redis looks at a sample of the keys that expire, time and again. Here the table tells which ones have
(:meth:`ckv.store.memory.Memory.overdue`), so that each is gone soon, and nothing is looked at in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import gevent

from ckv.store import Records

EVERY: Final = 0.5
"""Seconds from the begin of a pass to that of the next one, at least."""

TURN: Final = 0.0003
"""Seconds after which others are served; what was begun then may take as long again."""

PAUSE: Final = 0.001
"""Seconds for them, at least: so that a pass takes a third of the time at most."""


class Sweeper:
    """Passes through the records of a store, one after the other."""

    def __init__(
        self,
        store: Records,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object] = gevent.spawn_later,
    ) -> None:
        """``clock``: seconds, and never goes back. ``later``: has something done after so many."""
        self._store = store
        self._clock = clock
        self._later = later
        self._due = 0.0
        self._pass: Iterator[None] | None = None
        """The one that goes on in a moment."""

    def look(self) -> None:
        """Begins a pass if it is time for one, and anything expires. To be called some ten times a second."""
        now = self._clock()
        if self._pass is None and self._due <= now and self._store.memory.expiring:
            self._due = now + EVERY
            self._go_on(self._store.sweep())

    def _go_on(self, sweep: Iterator[None]) -> None:
        # It is noted only where it goes on: one that raises, such as MemoryError, is over, and the next one is begun.
        self._pass = None
        until = self._clock() + TURN
        for _ in sweep:
            if self._clock() >= until:
                self._later(PAUSE, lambda: self._go_on(sweep))
                self._pass = sweep
                return
