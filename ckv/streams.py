"""The three standard streams, made fit for whatever the program was started with.

One of them may be closed, its reader may have gone, its disk may be full, and its encoding may lack a character. What
cannot be written to stdout is one error (:class:`OutputLost`), which :mod:`ckv.cli` turns into a line and an exit code;
what cannot be written to stderr is dropped, for there is nobody to tell.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, Final, TextIO

_IF_CLOSED: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
"""How a null device is opened in the place of a closed stream: so that reading and writing fail as they do with a
closed one, and no socket gets its number (as gnulib's stdopen does it). What goes to stderr has nowhere to fail to."""


class OutputLost(Exception):
    """Something could not be written to stdout; ``quiet`` if that is because nobody wants it any more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to stdout: {error.strerror or error}")
        self.quiet = error.errno in (errno.EPIPE, errno.EIO)  # EIO: the terminal has gone


def prepare() -> None:
    """Makes all three fit. For the program only, before anything else: a library has no business here."""
    for number, mode in enumerate(_IF_CLOSED):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _wrapped(sys.stdout, _Out(1, "w", closefd=False))
    sys.stderr = _wrapped(sys.stderr, _Err(2, "w", closefd=False))


def give_up_stdout() -> None:
    """Whatever is still to be written to stdout goes nowhere. Python would complain of it at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _wrapped(stream: TextIO | None, raw: io.FileIO) -> TextIO:
    # A character that the terminal lacks is shown as an escape, and is no reason to end.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=isinstance(raw, _Err) or raw.isatty(),
        write_through=bool(getattr(stream, "write_through", False)),
    )


class _Out(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])  # somebody that shares the stream made it non-blocking
            return written
        except OSError as error:
            raise OutputLost(error) from None


class _Err(io.FileIO):
    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            return super().write(data) or size
        except OSError:
            return size
