"""Open files of this process: how many there may be, and that there is one to be had."""

from __future__ import annotations

import os
import resource
import sys
from typing import Final

SPARE_FILES: Final = 16
"""Open files beyond all that is counted: a look-up of a name, a module that is loaded late, whatever comes."""


def open_files() -> int:
    """How many this process has open now."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else SPARE_FILES


def file_limit(wanted: int) -> int:
    """How many it may have, after the soft limit was raised towards ``wanted`` as far as the hard limit allows."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in limits)
    if soft < wanted and soft < hard:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, limits[1]))
    return soft


def can_open_another() -> bool:
    """Whether the next one would be opened: the process and the system may each have run out."""
    try:
        os.close(os.dup(0))
    except OSError:
        return False
    return True
