"""The exit codes of the program."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """The exit codes of the program. :data:`EXIT_CODES` says what each one means."""

    FINE = 0
    FAILED = 1
    BAD_SETTING = 2
    NOT_DRAINED = 3
    CANNOT_START = 4
    FENCED = 5
    INTERRUPTED = 130  # 128 and the number of SIGINT, as shells count


EXIT_CODES: Final = """\
Exit codes:
  0    Done. A node was told to stop, and every record is where it belongs.
  1    Arguments are missing and this page was shown; or a command of the shell, or the demo, failed; or status or
       ping got no answer, or verify found a difference; or what was printed could not be written: a full disk, or
       a reader that went away (nothing is said of that).
  2    A bad argument, option or environment variable: one line on stderr names it. Nothing was started.
  3    The node did not finish within --drain-timeout; the log says how many records were left.
  4    The node could not start, for instance because its port is in use; or verify could not ask node or database.
  5    Another process has taken the name of the node, which was silent for some seconds: it cannot save anything any
       more, and the log says how many records that cost.
  130  Ctrl-C. At the prompt of the shell it drops the line, or the call, and no more.
"""
"""The end of each page of ``--help``."""
