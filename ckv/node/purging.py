"""The greenlet that rids the database of records that have expired: a slow walk along the keys, again and again.

Nobody waits for it, and nothing depends on it: what has expired is not told, whether its row is there or not. There is
no index on the expiry, which would cost a third of the inserts; and a walk takes its locks in the order in which all
others do, by key, where an index has them in the order of time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import gevent

from ckv.errors import TierError
from ckv.persistent import Session, Tier

log = logging.getLogger(__name__)

STEP: Final = 1000
"""Keys that are looked at in one go: a few milliseconds."""

SHARE: Final = 0.04
"""The part of the time in which the database is asked at most."""

REST: Final = 60.0
"""Seconds between two walks, and after an error."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether there is a reason for one."""


class Purger:
    """Walks through the table of a tier, as long as another node does not."""

    def __init__(self, tier: Tier, now_ms: Callable[[], int]) -> None:
        """``now_ms``: the time of day in milliseconds of the epoch."""
        self._tier = tier
        self._now_ms = now_ms
        self._since: float | None = None
        """When the last whole walk was begun; before there was one, when one was wanted first."""
        self.purged = 0
        """Rows that were deleted, since the start."""

    @property
    def lag_seconds(self) -> float:
        """How long ago the walk was begun that came to its end last, or one was wanted first; 0 before that."""
        return time.monotonic() - self._since if self._since is not None else 0.0

    def run(self, wanted: Callable[[], bool]) -> None:
        """Never returns. Walks while ``wanted``: nothing expires in most tables, and they are left alone."""
        while True:
            while not wanted():
                gevent.sleep(LOOK_EVERY)
            if self._since is None:
                self._since = time.monotonic()  # so that walks which all fail are seen
            try:
                with closing(self._tier.connect()) as session:
                    self.walk(session)
            except TierError as error:  # the workers say what they find
                log.debug("purge: %s", error)
            gevent.sleep(REST)

    def walk(self, session: Session) -> None:
        """Goes once through the whole table, unless another session does so now. Raises what the session raises."""
        began = time.monotonic()
        if not session.may_purge():
            return
        after: bytes | None = None
        while True:
            before = time.monotonic()
            after, deleted = session.purge(after, STEP, self._now_ms())
            self.purged += deleted
            if after is None:
                break
            gevent.sleep((time.monotonic() - before) * (1 / SHARE - 1))
        self._since = began
