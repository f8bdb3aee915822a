"""A stderr that never waits for whoever reads it.

A pipe whose reader hangs, a terminal that was stopped with Ctrl-S, a journal that is restarting: a ``write`` to any of
them waits, and with it a node that lives in one thread. No thread writes for it: from the second one on the kernel
counts the users of each file in each call, and a small request pays for it (see ``ckv/net/resolver.py``). And
``O_NONBLOCK`` is not set on file 2, for it would hold for everybody who has the same open file, a shell for instance.
So pipes and terminals are opened once more (``/proc/self/fd/2``), which makes an open file of our own, and a socket is
asked not to wait call by call.
"""

from __future__ import annotations

import _socket
import atexit
import io
import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

MAX_WAITING_BYTES: Final = 1024 * 1024
"""What waits for a reader that does not read. Beyond it the oldest lines go, for the newest say how things ended."""


def never_wait() -> None:
    """Has ``sys.stderr``, and so the log and every traceback, wait for nobody from now on."""
    output = Output(2, sys.stderr.encoding)
    sys.stderr = output
    atexit.register(output.finish)


class Output(io.TextIOBase):
    """Text that is written at once where that is possible, and kept for later within a bound where it is not.

    What cannot be written is tried again at every :meth:`write` and :meth:`flush`, whatever the error was: a pipe may
    find another reader, and a full disk be emptied.
    """

    def __init__(self, fd: int, encoding: str = "utf-8", max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._fd = fd
        self._encoding = encoding
        self._send = _sender(fd)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._max_waiting_bytes = max_waiting_bytes
        self._begun = b""
        """The rest of what was written in part: it comes first, and is never given up, so that no line is torn."""
        self._may_be_read = True
        """Whether what waits only waits for a reader: no error says otherwise."""
        self._told = 0
        self.dropped = 0
        """Lines that were given up because nobody read them; whatever was written in one piece counts as a line."""
        self.notice: Callable[[int], str] = "{} lines of the log were dropped: nobody had read them\n".format
        """Makes the line that tells of them, as soon as somebody reads again, of their number."""

    def write(self, text: str) -> int:
        data = text.encode(self._encoding, "backslashreplace")
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self.flush()
        while self._waiting_bytes > self._max_waiting_bytes:
            self._waiting_bytes -= len(self._waiting.popleft())
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Writes what can be written without waiting."""
        while data := self._next():
            try:
                sent = self._send(data)
            except OSError as error:
                self._may_be_read = isinstance(error, BlockingIOError)
                return
            self._begun = data[sent:]

    def _next(self) -> bytes:
        if not self._begun:
            if self.dropped > self._told:
                self._begun = self.notice(self.dropped - self._told).encode(self._encoding, "backslashreplace")
                self._told = self.dropped
            elif self._waiting:
                self._begun = self._waiting.popleft()
                self._waiting_bytes -= len(self._begun)
        return self._begun

    def finish(self) -> None:
        """Gives whoever reads up to one second for what is left."""
        end = time.monotonic() + 1
        self.flush()
        while (self._begun or self._waiting) and self._may_be_read and time.monotonic() < end:
            time.sleep(0.01)
            self.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def fileno(self) -> int:
        return self._fd


def _sender(fd: int) -> Callable[[bytes], int]:
    """A ``write`` to the file that does not wait, and raises BlockingIOError instead."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):  # which cannot be opened; and gevent's class would wait in a greenlet
        sock = _socket.socket(fileno=os.dup(fd))
        return lambda data: sock.send(data, _socket.MSG_DONTWAIT)
    if stat.S_ISREG(mode):
        return partial(os.write, fd)
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        # A pipe that belongs to another user, or one that nobody reads any more.
        return partial(_write_if_ready, fd)
    return partial(os.write, own)


def _write_if_ready(fd: int, data: bytes) -> int:
    """Writes as much as a pipe takes without waiting when it is ready, unless somebody else writes to it just then."""
    from gevent import monkey

    poller = monkey.get_original("select", "poll")()
    poller.register(fd, select.POLLOUT)
    if not poller.poll(0):
        raise BlockingIOError
    return os.write(fd, data[: select.PIPE_BUF])
