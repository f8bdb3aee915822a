"""What a process calls itself, so that another one on the same machine can tell that it has ended."""

from __future__ import annotations

import functools
import os
import secrets
from pathlib import Path

_ENDED = ("Z", "X")
"""States of a process that is over and that nobody has waited for yet."""


@functools.cache
def myself() -> str:
    """Start of the machine, name space, number and start of this process; nothing but unique where the system has no
    /proc that tells them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {os.getpid()} {_stat(os.getpid())[1]}"
    except OSError:
        return secrets.token_hex(16)


def has_ended(process: str) -> bool:
    """Whether the process that called itself so is known to be over; False for one of another machine, or container."""
    here, there = myself().split(), process.split()
    if len(there) != 4 or here[:2] != there[:2]:
        return False
    try:
        os.kill(int(there[2]), 0)
        state, began = _stat(int(there[2]))
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's, of which nothing may be seen
        return False
    return state in _ENDED or began != there[3]


def _stat(number: int) -> tuple[str, str]:
    """State and start of a process, from what follows its name, which may hold anything."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
