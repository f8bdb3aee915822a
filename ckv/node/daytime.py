"""The time of day, by which records expire."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Milliseconds of the epoch, as the system has it: a moment has to be the same one on every node."""
    return time.time_ns() // 1_000_000
