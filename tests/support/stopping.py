"""A process that stands still."""

from __future__ import annotations

import os
import signal


def stop(pid: int) -> None:
    """SIGSTOP to this child; returns when each of its threads stands still, which takes a busy machine a moment."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
