"""How far the clock of a server is from ours: records expire by ours, and their rows are purged by both."""

from __future__ import annotations

import logging
import time
from typing import Final

from ckv import events
from ckv.persistent.mysql.connection import Connection

log = logging.getLogger(__name__)

TOLERATED: Final = 1.0
"""Seconds by which two clocks may differ without a word."""

NOW_MICROS: Final = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
"""The SQL of the server's time in microseconds of the epoch, whatever zone it is in, and also in the night in which its
clocks are put back."""


class Clock:
    """What is known of the clock of a server."""

    def __init__(self) -> None:
        self.skew = 0.0
        """By how many seconds it was ahead of ours when it was looked at."""
        self._said = False

    def look(self, connection: Connection, name: str) -> None:
        """Compares it with ours, and warns once of each time that they differ. Raises as :meth:`Connection.run`."""
        before = time.time()
        ((micros,),) = connection.run(f"SELECT {NOW_MICROS}")
        after = time.time()
        self.skew = int(micros) / 1e6 - (before + after) / 2
        differs = abs(self.skew) - abs(after - before) / 2 > TOLERATED  # for nobody knows when it was read
        if differs and not self._said:
            how = "ahead of" if self.skew > 0 else "behind"
            seconds = abs(self.skew)
            log.warning(events.CLOCK_DIFFERS, name, seconds, how)
        self._said = differs
