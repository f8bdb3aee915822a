"""Saves what the persistent tier lacks, while requests go on: afterwards that has all that was accepted before.

Everything whose latest write is not committed is a record in memory that is not clean, or a row in pending. So memory
is walked through first: a record that leaves meanwhile and is not clean becomes a row. Then the rows are looked at that
are there at that time, and for each of them a commit of its version, or of a later one, is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ckv.store.memory import Memory
from ckv.store.motion import Awaited, Motion
from ckv.store.pending import Pending
from ckv.values import Value

PIECE: Final = 1000
"""Keys that are looked at in one go."""

SAVED_PIECE: Final = 100
"""Records that are made pending in one go."""

AHEAD_RECORDS: Final = 5000
"""Records made pending that are not committed yet, at most: they may be beyond the bound of what is pending."""

AHEAD_BYTES: Final = 8 * 1024 * 1024
"""Bytes of values of these, with which they are enough."""

AFTER_A_PIECE: Final = 0.001
"""Seconds in which others are served."""

AFTER_A_LOOK: Final = 0.01
"""Seconds between two looks whether something was committed."""


class Replaced(Exception):
    """The persistent tier may have become another one, which need not have what the old one was given."""


class Saving:
    """One pass. :meth:`run` makes it."""

    def __init__(
        self, memory: Memory, pending: Pending, motion: Motion, save: Callable[[str, Value, int, int], None]
    ) -> None:
        """``save`` makes a record pending."""
        self._memory = memory
        self._pending = pending
        self._motion = motion
        self._save_record = save
        self._replaced = motion.replaced
        self._awaited = Awaited()
        self._unseen = len(memory) if memory.clean < len(memory) else 0
        self._unseen_rows = len(pending)
        self._ahead_bytes = 0
        self._refused: set[str] = set()
        """Keys of rows that the persistent tier refuses; one may be met more than once."""
        self.is_over = False

    @property
    def saved(self) -> int:
        """Records, and deletions, that were committed since it began."""
        return self._awaited.count

    @property
    def refused(self) -> int:
        """Rows that the persistent tier refuses, which are not saved."""
        return len(self._refused)

    @property
    def left(self) -> int:
        """What is still to be looked at or to be committed, about; 0 when all is done and not before."""
        return 0 if self.is_over else max(1, self._unseen + self._unseen_rows + len(self._awaited.versions))

    def run(self) -> Iterator[float]:
        """Goes on with it, and tells after how many seconds it wants to do so again. Raises Replaced."""
        self._motion.attend(self._awaited)
        try:
            yield from self._records()
            yield from self._rows()
            yield from self._committed()
            self.is_over = True
        finally:
            self._motion.close(self._awaited)

    def _records(self) -> Iterator[float]:
        """Makes pending what memory has and the persistent tier lacks."""
        walk, place, count = self._memory.walk(), 0, 0
        while self._unseen:
            keys, place = walk.keys_at(place, PIECE)
            for key in keys:
                if not self._save(key):
                    continue
                count += 1
                if len(self._awaited.versions) >= AHEAD_RECORDS or self._ahead_bytes >= AHEAD_BYTES:
                    yield from self._committed()
                elif count % SAVED_PIECE == 0:
                    yield AFTER_A_PIECE
            self._unseen = max(1, self._unseen - len(keys)) if place else 0
            self._check()
            yield AFTER_A_PIECE

    def _save(self, key: str) -> bool:
        """Makes the record pending, if it is not clean; whether it was made so."""
        if self._memory.is_clean(key):
            return False
        record = self._memory.record(key)
        row = self._pending.find(key)
        # A row of a later version is not enough: in the mode through it may be refused, and is forgotten then.
        if record is None or (row is not None and row.version == record[2]):
            return False
        self._save_record(key, record[1], record[2], record[4])
        row = self._pending.find(key)
        if row is None:
            return False  # it has expired, and there is nothing to delete for it
        self._awaited.versions[key] = row.version
        self._ahead_bytes += len(record[1])
        return True

    def _rows(self) -> Iterator[float]:
        """Has the rows awaited that are pending."""
        keys = list(self._pending.keys())
        for start in range(0, len(keys), PIECE):
            for key in keys[start : start + PIECE]:
                row = self._pending.find(key)
                if row is not None:
                    self._awaited.versions[key] = row.version
            self._unseen_rows = max(0, self._unseen_rows - PIECE)
            yield AFTER_A_PIECE
        self._unseen_rows = 0

    def _committed(self) -> Iterator[float]:
        """Ends when all that is awaited was committed, or refused, or has turned out to be nothing."""
        versions = self._awaited.versions
        for number, key in enumerate(list(versions), 1):
            while key in versions:
                self._check()
                row = self._pending.find(key)
                if row is None:  # a deletion of what was not there, or a write that its writer was told to be refused
                    del versions[key]
                elif row.refused is not None:
                    self._refused.add(key)
                    del versions[key]
                else:
                    yield AFTER_A_LOOK
            if number % PIECE == 0:
                yield AFTER_A_PIECE
        self._ahead_bytes = 0
        self._check()

    def _check(self) -> None:
        if self._motion.replaced != self._replaced:
            raise Replaced
