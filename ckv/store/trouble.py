"""Batches that fail: how large the next ones are, and when a row is to blame (I5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ckv.errors import CkvError, SessionLost, WriteFailed

GROWTH: Final = 25
"""After a batch that failed, each one that was committed lets the next be larger by one part of so many: a size that is
too large is tried again after 18 that passed. By one row at least."""

STRIKES: Final = 3
"""Times that a row is to blame for its failure until it is parked."""

FIRST_ASIDE: Final = 0.5
LONGEST_ASIDE: Final = 30.0
"""Seconds for which a row is set aside: doubled each time, from the first to the longest."""


@dataclass(eq=False, slots=True)
class Limit:
    """Records in the next batch: half as many after each that failed, then slowly more (as TCP's congestion window)."""

    records: int | None = None
    _ceiling: int = 0
    """Records in the batch that failed first: the limit ends here."""

    @property
    def lowered(self) -> bool:
        """Whether batches are smaller than they could be, because one failed lately."""
        return self.records is not None

    def failed(self, records: int) -> None:
        """A batch of so many failed."""
        if self.records is None:
            self._ceiling = records
            self.records = records // 2
        else:
            self.records = min(self.records, max(1, records // 2))

    def passed(self) -> None:
        """A batch was committed."""
        if self.records is not None:
            self.records += max(1, self.records // GROWTH)
            if self.records >= self._ceiling:
                self.records = None


@dataclass(eq=False, slots=True)
class Trouble:
    """What is remembered of a row that was in a batch that failed."""

    alone: bool = False
    """It failed in a batch of its own. Until it is committed it is in no batch with others."""
    doubtful: bool = False
    """Some version of it may have been committed by an attempt whose end nobody saw."""
    strikes: int = 0
    """How often it was to blame."""
    _commits: int = -1
    _pauses: int = 0

    def blame(self, error: CkvError, commits: int) -> bool:
        """The row failed alone, right after a probe that passed; returns whether it is to be given up. It is to blame

        - when the persistent tier answered that it does not carry out this write (:class:`~ckv.errors.WriteFailed`);
        - when the connection broke (:class:`~ckv.errors.SessionLost`) and something else was committed since that last
          happened to it: a tier that takes every write and loses the answer is no fault of a row.
        """
        others_passed, self._commits = commits != self._commits, commits
        self.strikes += isinstance(error, WriteFailed) or (isinstance(error, SessionLost) and others_passed)
        return self.strikes >= STRIKES

    def pause(self) -> float:
        """Seconds for which the row is set aside now."""
        self._pauses += 1
        return min(FIRST_ASIDE * 2.0 ** (self._pauses - 1), LONGEST_ASIDE)
