"""A trouble that lasts: the log says that it has begun, each minute that it lasts, and that it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from ckv.event import Event

REMIND_AFTER: Final = 60.0
"""Seconds without a line about it after which there is another one."""

MOST_REASONS: Final = 8
"""Different lines about one trouble that are logged as soon as they are known. Reasons may have numbers in them."""

QUIET: Final = 5.0
"""Seconds in which nobody has told of it, after which it is taken to be over where nothing else says so."""


class Outage:
    """What is said of one trouble, again and again, and what the log shows of that."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._told: set[str] = set()
        self._told_at = 0.0
        self._seen_at = 0.0
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether it has begun, and is not over."""
        return self._since is not None

    @property
    def is_quiet(self) -> bool:
        """Whether it has begun, and nobody has told of it for a while."""
        return self.lasts and self._clock() - self._seen_at > QUIET

    def tell(self, event: Event, *args: object) -> None:
        """It is there, for this reason. A line that reminds of it has ``lasts``, the seconds since it began."""
        now = self._seen_at = self._clock()
        text, extra = event % args, dict[str, float]()
        if self._since is None:
            self._since = now
        elif (text in self._told or len(self._told) >= MOST_REASONS) and now - self._told_at < REMIND_AFTER:
            return
        else:
            extra["lasts"] = round(now - self._since, 1)
        self._told.add(text)
        self._told_at = now
        self._log.log(event.number, event, *args, extra=extra)

    def end(self, event: Event, *args: object) -> None:
        """It is not there any more. If it was, the line that says so has ``lasted``, the seconds for which it was."""
        if self.lasts:
            self._log.log(event.number, event, *args, extra=self.over())

    def over(self) -> dict[str, float]:
        """The same where a line is logged in any case: what that has besides."""
        since, self._since = self._since, None
        self._told.clear()
        return {} if since is None else {"lasted": round(self._clock() - since, 1)}
