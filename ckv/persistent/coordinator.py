"""The row that several primaries share: which of them leads, in which term, and the map that this one made last.

This is the contract of where it is kept. All that changes it is compare-and-set: a primary that was paused or cut off
while another one took its place changes nothing, whatever it sends afterwards, and whenever that arrives.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that an answer may take. Whoever waits longer for its own beat leads no more for certain."""


class State(NamedTuple):
    """What the row says."""

    term: int
    """It never becomes smaller. That of a new row is the seconds of the epoch, for nodes may remember maps of a cluster
    that was here before, and take none that is not later."""
    leader: str
    """Where it is, ``host:port``; empty for nobody."""
    beat: int
    """Another number after each change of the row."""
    epoch: int
    """Of the map, which is of this term."""
    is_new: bool
    """No leader has made a map yet, or the row has lost the last one."""
    map: bytes | None
    """Only if it is asked for, and there is one."""


class Coordinator(Protocol):
    """Where the row is kept. One greenlet at a time uses it.

    Each call but :meth:`close` connects where that is needed, waits for each answer for :data:`ANSWER_TIMEOUT` at most,
    and may raise TierUnavailable: nobody knows then whether something was done, or still will be. It raises Forbidden
    where somebody has to see to it that it can be done.
    """

    @property
    def name(self) -> str:
        """What logs show, without the password."""

    @property
    def local_host(self) -> str:
        """The address of this machine from which it is reached; empty before it was."""

    def look(self, known: tuple[int, int]) -> State:
        """What there is; the map unless it is that of the term and the epoch that are ``known``."""

    def stand(self, name: str, term: int, leader: str, beat: int, known: tuple[int, int] = (0, 0)) -> State | None:
        """Has this one lead in the next term, with the map one epoch later, if the row still says these; None if it
        does not. Where a later map than that of the row is ``known`` by its term and epoch, the row has lost it, as a
        replica may: then it has none afterwards, as if it were new, and both are later than those as well."""

    def beat(self, name: str, term: int) -> bool:
        """Says that the leader of that term lives; whether it still leads."""

    def replace(self, name: str, expected: tuple[int, int], following: tuple[int, int], packed: bytes) -> bool:
        """Has another map follow the one of this term and epoch, if that is still the last one and ``name`` leads;
        whether that was done. Only a leader whose map is not that of the row may take another term."""

    def step_down(self, name: str, term: int) -> None:
        """Nobody leads any more, if this one did in that term: the others need not wait."""

    def attend(self, name: str) -> list[str]:
        """Says that this primary is there; all that are. It is a hint for nodes that look for the leader."""

    def close(self) -> None:
        """Gives the connection back. Never raises."""
