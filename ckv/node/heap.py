"""Has the C library give back what it keeps of memory that was freed.

Values of all lengths come and go, and what waited for the database is freed when that is quick again. The C library
keeps such memory for later, in pieces that seldom fit what comes, and the process takes up to twice what it holds.
Redis leaves that to jemalloc and to its active defragmentation. glibc gives whole free pages back when somebody asks
for it (``malloc_trim(3)``), which costs time, as fresh ones have to be made and cleared when they are needed again.
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from typing import Final

from ckv.node.figures import resident_bytes
from ckv.protocol.limits import MIB

log = logging.getLogger(__name__)

SLACK_BYTES: Final = 32 * MIB
SLACK: Final = 0.05
"""What the process may take more than it did at its best beside what it holds: so much, or this part of that."""

SHARE_OF_TIME: Final = 0.05
"""After memory was given back there is a pause, so that this costs no more, making it anew included."""

MADE_ANEW: Final = 1024 * MIB
"""Bytes a second, about, that the system makes of fresh pages; more where it is nobody's guest."""


class Heap:
    """The memory of this process that the C library manages; to be looked at about once a second."""

    def __init__(
        self,
        held: Callable[[], int],
        trim: Callable[[], object] | None = None,
        resident: Callable[[], int] = resident_bytes,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        """``held``: bytes of what the process is there to keep, and counts. ``trim``: gives memory back; without one
        that of the C library, which not every one has. ``spent``: seconds of the processor's."""
        self._held = held
        self._trim = trim if trim is not None else _of_the_library()
        self._resident = resident
        self._clock = clock
        self._spent = spent
        self._least = resident()
        """What it took beside what it held, at its best: at first it holds nothing."""
        self._not_before = 0.0

    def look(self) -> None:
        resident = self._resident()
        if self._trim is None or not resident:  # The system does not say.
            return
        held = self._held()
        beside = resident - held
        self._least = min(self._least, beside)
        now = self._clock()
        if now < self._not_before or beside - self._least <= max(SLACK_BYTES, SLACK * held):
            return
        began = self._spent()
        self._trim()
        took = self._spent() - began
        given_back = max(resident - self._resident(), 0)
        self._not_before = now + (took + given_back / MADE_ANEW) / SHARE_OF_TIME
        log.debug("gave back %.0f MiB of memory in %.1f ms", given_back / MIB, 1000 * took)


def _of_the_library() -> Callable[[], object] | None:
    """Takes the longer the more free pieces of at least a page there are."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: trim(ctypes.c_size_t(0))) if trim is not None else None
