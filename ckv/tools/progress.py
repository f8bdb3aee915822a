"""How far long work is: a bar where stderr is a terminal, a line every ten seconds where it is not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SAY_EVERY: Final = 10.0
"""Seconds between two lines."""

DRAW_EVERY: Final = 0.1
"""Seconds between two pictures of the bar."""

BAR: Final = 20
"""Columns of it."""


@contextmanager
def shown(what: str) -> Iterator[Progress]:
    """What shows the progress of the work that is done meanwhile; ``what`` says what is counted."""
    progress = Progress(what, is_terminal=sys.stderr.isatty())
    try:
        yield progress
    finally:
        progress.end()


class Progress:
    """What is shown on stderr."""

    def __init__(self, what: str, *, is_terminal: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._is_terminal = is_terminal
        self._clock = clock
        self._began = clock()
        # Short work has a bar, but no line.
        self._said = self._began - DRAW_EVERY if is_terminal else self._began
        self._counts = 0, 0
        self._is_drawn = False

    def __call__(self, done: int, total: int = 0) -> None:
        """So much is done, of so much; 0 for nobody knows."""
        self._counts = done, total
        now = self._clock()
        if now - self._said >= (DRAW_EVERY if self._is_terminal else SAY_EVERY):
            self._said = now
            self._say()

    def end(self) -> None:
        """The work is over, or has failed: what was said last stays."""
        if self._is_drawn:
            self._say()
            print(file=sys.stderr, flush=True)

    def _say(self) -> None:
        done, total = self._counts
        rate = done / max(self._clock() - self._began, 0.001)
        line = f"{self._what}: {done:,}" + (f" of {total:,}" if total else "") + f", {rate:,.0f} a second"
        if rate and done < total:
            line += f", {(total - done) / rate:,.0f} s left"
        if not self._is_terminal:
            print(line, file=sys.stderr, flush=True)
            return
        if total:
            filled = BAR * done // total
            line = f"[{'#' * filled}{'-' * (BAR - filled)}] {line}"
        # One column stays free: some terminals go to the next line after the last one. The rest of the line is erased.
        print(f"\r{line[: _columns() - 1]}\x1b[K", end="", file=sys.stderr, flush=True)
        self._is_drawn = True


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
