"""bash at a pseudo-terminal, for what a reader types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.nodes import ckv_environment

PROMPT: Final = "typed-by-a-test$ "
TIMEOUT: Final = 30.0
"""Seconds until what is expected has to be on the screen."""

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x07|\r")


class Terminal:
    """The shell, and what it shows."""

    def __init__(self, folder: Path, cwd: Path) -> None:
        """``folder``: its home. ``cwd``: where it begins."""
        self._master, slave = pty.openpty()
        environment = ckv_environment({"PS1": PROMPT, "TERM": "dumb", "HOME": str(folder), "HISTFILE": ""})
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)
        self._raw = ""
        self.expect(PROMPT)

    def type(self, line: str) -> None:
        """Types the line and Enter."""
        os.write(self._master, line.encode() + b"\n")

    def expect(self, text: str) -> str:
        """Waits for the text and takes it off the screen, with everything before it, which is returned."""
        self.wait_for(text)
        before, _, self._raw = self._shown().partition(text)
        return before

    def wait_for(self, text: str) -> None:
        """Raises AssertionError if the text is not on the screen within :data:`TIMEOUT`."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self._shown():
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear; on the screen:\n{self._shown()}"
            self._raw += os.read(self._master, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        """Ends it, and all that it has started."""
        # bash -i gives each job its own process group; what they share is the session.
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                session = int(status.read_text().rpartition(")")[2].split()[3])
                if session == self._process.pid:
                    os.kill(int(status.parent.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass  # it ended by itself meanwhile
        self._process.wait()
        os.close(self._master)

    def _shown(self) -> str:
        return _ESCAPES.sub("", self._raw)


@contextmanager
def terminal(folder: Path, cwd: Path) -> Iterator[Terminal]:
    """One that is closed in the end."""
    opened = Terminal(folder, cwd)
    try:
        yield opened
    finally:
        opened.close()
