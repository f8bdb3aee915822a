"""What a node does about each signal (docs/configuration.md has the table). None that can be caught costs a record.

A signal that was ignored when the process started stays so, as nohup wants it for SIGHUP, but for SIGTERM and SIGINT:
a shell has what it starts with ``&`` ignore SIGINT, and whoever sends one means it.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Final

import gevent

from ckv import events

log = logging.getLogger(__name__)

STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""The node drains; at a second one it gives up what is left."""

DRAIN: Final = frozenset({signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGPWR, signal.SIGXCPU})
"""The node drains, however often they come: a terminal that closes, a shell and a supervisor each send SIGHUP. Where it
has users, certificates, a file of options or one with its secret, it reads these again at SIGHUP, and goes on."""

FAULTS: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP})
"""The node drains when somebody sends one. They are the processor's own too, and then the process ends, for it could
not go on: no handler may return. So they are blocked, which the kernel does not heed for the processor's, and looked
for once a second."""

SILENTLY_IGNORED: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU})
"""What they are about fails with an error besides, or goes on: SIGTTOU would stop a node that logs to a terminal."""

AS_ALWAYS: Final = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP,  # cannot be caught
        signal.SIGTSTP, signal.SIGTTIN, signal.SIGCONT,  # stop the process and have it go on
        signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH,  # are ignored unless somebody asks for them
    }
)  # fmt: skip
"""Those that the system deals with. Every other one would end the process; it is logged and ignored."""


class Signals:
    """The signals of this process, dealt with from now on."""

    def __init__(self, stop: Callable[[bool], None], reload: Callable[[], None] | None = None) -> None:
        """``stop(hurry)`` is called for each signal that ends a node; with ``hurry`` it may give up what is left.
        ``reload()``, if there is one, is called for SIGHUP, in the place of that."""
        self._stop = stop
        self._reload = reload
        self._was_told = False
        self._handlers: list[object] = []
        for number in sorted(signal.valid_signals() - AS_ALWAYS - FAULTS):
            is_wanted = number in STOP or (number == signal.SIGHUP and reload is not None)
            if signal.getsignal(number) == signal.SIG_IGN and not is_wanted:
                continue
            if number in SILENTLY_IGNORED:
                signal.signal(number, signal.SIG_IGN)
            else:
                self._handlers.append(gevent.signal_handler(number, self._came, number))
        # Before there are other threads, as each has a mask of its own and begins with that of its maker.
        signal.pthread_sigmask(signal.SIG_BLOCK, FAULTS)

    def tick(self) -> None:
        """To be called about once a second."""
        while (found := signal.sigtimedwait(FAULTS, 0)) is not None:
            self._came(found.si_signo)

    def _came(self, number: int) -> None:
        if number in STOP:
            self._stop(self._was_told)
            self._was_told = True
            return
        try:
            name = signal.Signals(number).name
        except ValueError:  # a real-time signal
            name = f"SIGRTMIN+{number - signal.SIGRTMIN}"
        if number == signal.SIGHUP and self._reload is not None:
            self._reload()
        elif number in DRAIN | FAULTS:
            log.warning(events.SIGNAL_STOPS, name, extra={"once_a_minute": name})
            self._stop(False)
        else:
            log.warning(events.SIGNAL_IGNORED, name, extra={"once_a_minute": name})
