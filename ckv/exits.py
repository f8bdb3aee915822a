"""The exit codes of the program."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the program. The usage page lists them (:mod:`ckv.cli`)."""

    FINE = 0
    """Done; for a node: told to stop, and everything is where it belongs."""

    FAILED = 1
    """Arguments are missing and the usage page was shown; or a command of the shell, the demo, ``status`` or ``ping``
    failed, or ``verify`` found a difference.
    """

    BAD_SETTING = 2
    """A bad argument, option or environment variable. Nothing was started."""

    NOT_DRAINED = 3
    """The node stopped before all of its records were in the persistent tier."""

    CANNOT_START = 4
    """The node could not start, for instance because its port is in use; ``verify`` could not ask node or database."""

    INTERRUPTED = 130
    """Ctrl-C in the shell's input or in the demo: 128 and the number of SIGINT, as shells count."""
