"""The name of a node whose records are in a file: a lock on a file beside that one, which is gone with its process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import gevent

from ckv.errors import Forbidden, TierUnavailable
from ckv.persistent import Holder, Seen

_BYTES: Final = 1024
"""What stands in the file always has this length, so that it is read as a whole while somebody writes."""

_TO_BE_MENDED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class FileLock:
    """The name of one node (:class:`~ckv.persistent.Fence`) on one file of records.

    Nobody is fenced: of a process that has ended, nothing can come any more, and one that only stands still is waited
    for. The file stays when its process ends. Whoever removes it lets two processes have one name.
    """

    def __init__(self, path: str, name: str, process: str) -> None:
        """``path``: of the file of records."""
        self._path = path
        self._name = name
        self._process = process
        self._file: int | None = None
        self._told: int | None = None
        self.incarnation = 0
        self.when_fenced: Callable[[], None] = lambda: None

    def claim(self) -> Holder | None:
        # An error that is raised in the pool also gets its traceback printed by gevent.
        found: Holder | TierUnavailable | None = gevent.get_hub().threadpool.apply(self._claim)
        if isinstance(found, TierUnavailable):
            raise found
        return found

    def fence_off(self, holder: Holder) -> bool:
        return False

    def beat(self, left: int | None, share: str = "") -> None:
        if left != self._told:
            self._told = left
            gevent.get_hub().threadpool.apply(self._tell, (left,))

    def others(self) -> list[Holder]:
        return []  # Each has a file of its own, and does not know of the others.

    def census(self) -> list[Seen]:
        return []

    def release(self) -> None:
        """Leaves it to the end of the process: a write that was given up may be under way in a thread until then."""

    def close(self) -> None:
        pass

    # --- in a thread of the pool -----------------------------------------------------------------------------------

    def _claim(self) -> Holder | TierUnavailable | None:
        if self._file is not None:
            return None
        # One file has one lock, by whatever path it is reached.
        path = f"{os.path.realpath(self._path)}-{hashlib.sha256(self._name.encode()).hexdigest()[:16]}.lock"
        try:
            while self._file is None:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    there = os.stat(path)
                    if os.path.samestat(there, os.fstat(file)):  # else the one that stands there now is another one
                        self._file = file
                except BlockingIOError:
                    return _read(file)
                except FileNotFoundError:
                    pass
                finally:
                    if self._file is None:
                        os.close(file)
        except OSError as error:
            kind = Forbidden if error.errno in _TO_BE_MENDED else TierUnavailable
            return kind(f"the lock {path}: {error.strerror}")
        self.incarnation = _read(self._file).incarnation + 1
        self._tell(None)
        return None

    def _tell(self, left: int | None) -> None:
        """Writes what others see. That they do is no condition: the disk may be full."""
        assert self._file is not None
        told = {"name": self._name, "process": self._process, "incarnation": self.incarnation, "left": left}
        with suppress(OSError):
            os.pwrite(self._file, json.dumps(told).ljust(_BYTES).encode(), 0)


def _read(file: int) -> Holder:
    try:
        told = json.loads(os.pread(file, _BYTES, 0))
        return Holder(told["incarnation"], 0, told["left"], told["process"])
    except (OSError, ValueError, KeyError, TypeError):  # it has not told anything yet
        return Holder(0, 0, None, "")
