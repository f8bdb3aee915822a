"""Which of several primaries leads, where a row in a database says so.

The row has a term, the name of the leader, and a beat that the leader moves. Whoever sees it stand still for long
enough takes the next term by compare-and-set, on the beat that it saw. The leader counts from when it asked: it is
certain for less time than others wait, so it stops to confirm nodes before anybody else begins.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BEAT_EVERY: Final = 0.5
"""Seconds between two beats of the leader, and between two looks of the others."""

CERTAIN: Final = 2.0
"""Seconds after a beat, counted from when it was sent, for which nobody else can lead."""

PATIENCE: Final = 3.0
"""Seconds for which the others watch a beat that stands still."""


class Row(NamedTuple):
    """What the place says."""

    term: int
    leader: str
    """Where it is, ``host:port``; empty for nobody."""
    beat: int


class Look(NamedTuple):
    """Read the row; then :meth:`Election.seen`."""


class Beat(NamedTuple):
    """Move the beat, if the term is still this one; then :meth:`Election.beaten`."""

    term: int


class Stand(NamedTuple):
    """Take the term behind this one, if the row is still as it says; then :meth:`Election.won`, if that was done."""

    row: Row


Output = Look | Beat | Stand


class Election:
    """One primary that leads, or would."""

    def __init__(self, name: str = "", patience: float = PATIENCE) -> None:
        """``name``: that of this primary, which may be known later. ``patience``, in seconds: not the same for all,
        else they stand at once; never less than :data:`PATIENCE`."""
        self.name = name
        self.term: int | None = None
        """That in which it leads; None while it does not."""
        self.certain_until = float("-inf")
        """Until when nobody else can lead."""
        self.stands = True
        """Whether it would lead; not when it is about to end."""
        self.row = Row(0, "", 0)
        """What it saw last."""
        self._patience = max(PATIENCE, patience)
        self._since: float | None = None
        """When it saw that first."""
        self._due = float("-inf")
        self._out: list[Output] = []

    def take(self) -> list[Output]:
        """What is to be done, after each of the calls below."""
        out, self._out = self._out, []
        return out

    def tick(self, now: float) -> None:
        """To be called ten times a second, or so."""
        if self.term is not None and now > self.certain_until + PATIENCE:
            self.lost()  # the place does not answer, and may answer others
        if now >= self._due:
            self._due = now + BEAT_EVERY
            self._out.append(Beat(self.term) if self.term is not None else Look())

    def seen(self, row: Row, now: float) -> None:
        """The row is as it says, or was when it was looked at."""
        if self.term is not None:
            return
        if self._since is None or row != self.row:
            self.row, self._since = row, now
            if row.leader:
                return
            # Whoever led has said that it does not any more, or nobody ever has.
        elif now - self._since <= self._patience:
            return
        self._since = now
        if self.stands:
            self._out.append(Stand(row))

    def won(self, term: int, asked_at: float) -> None:
        """It leads, as it has asked for at that time."""
        self.term = term
        self.certain_until = asked_at + CERTAIN
        self._since = None

    def beaten(self, term: int, accepted: bool, asked_at: float) -> None:
        """Whether the beat of that term was moved, as it was asked for at that time."""
        if term != self.term:
            return
        if accepted:
            self.certain_until = max(self.certain_until, asked_at + CERTAIN)
        else:
            self.lost()

    def lost(self) -> None:
        """It leads no more, and who does is not known yet."""
        self.term = None
        self.row = self.row._replace(leader="")
        self._since = None
