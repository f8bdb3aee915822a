"""What was typed, kept in a file for its owner alone: values may be secrets."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_MODE: Final = 0o600

_LONGEST: Final = 10_000
"""Characters of a line that is kept: a longer one is a value that nobody types again."""


def history(path: Path) -> History:
    """What was typed, kept in this file; only in memory, with a word on stderr, where that cannot be.

    A device, such as /dev/null, means that nothing is to be kept.
    """
    try:
        return _PrivateHistory(path) if _secure(path) else InMemoryHistory()
    except OSError as error:
        print(f"ckv: no history is kept: {error}", file=sys.stderr)
        return InMemoryHistory()


class _PrivateHistory(FileHistory):
    _failed = False

    def append_string(self, string: str) -> None:
        # As in bash and others: who puts a space before a line does not want it kept.
        if not string.startswith(" ") and len(string) <= _LONGEST:
            super().append_string(string)

    def store_string(self, string: str) -> None:
        try:
            _secure(Path(os.fsdecode(self.filename)))  # it may have gone meanwhile, and come back readable for all
            super().store_string(string)
        except OSError as error:
            if not self._failed:
                print(f"ckv: no history is kept: {error}", file=sys.stderr)
            self._failed = True


def _secure(path: Path) -> bool:
    """Makes the file if need be, and makes it its owner's alone; whether it is one. Raises OSError if it cannot be."""
    if path.is_symlink() and path.lstat().st_uid != os.geteuid():
        raise PermissionError(f"{path} is a link that somebody else made")
    # O_NONBLOCK: a pipe that nobody reads would wait.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, _MODE)
    try:
        found = os.fstat(file)
        if stat.S_ISCHR(found.st_mode):
            return False
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no file")
        if found.st_uid != os.geteuid():
            raise PermissionError(f"{path} is somebody else's")
        if stat.S_IMODE(found.st_mode) != _MODE:
            os.fchmod(file, _MODE)
    finally:
        os.close(file)
    return True
