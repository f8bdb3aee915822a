"""A primary that leads when it is elected: the authority of a cluster with several primaries is a row that they share.

:class:`~ckv.cluster.election.Election` says when it stands and for how long it is sure to lead, and
:class:`~ckv.cluster.leader.Leader` what is decided then. Here is what both want of the row, and what its answers mean.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple

from ckv.address import parse_address
from ckv.cluster.election import PATIENCE, Beat, Election, Look, Row, Stand
from ckv.cluster.leader import Leader
from ckv.cluster.map import NO_VERSION, Map, Version
from ckv.cluster.messages import Again, Answer, Elsewhere
from ckv.cluster.watch import NEVER
from ckv.errors import BadSetting

BELIEVED: Final = 10.0
"""Seconds for which another primary leads by an earlier map than is known here until that is the one that counts. One
that has not heard of the later map asks the nodes as soon as one of them says so, and leads by a later one then."""


class Put(NamedTuple):
    """Have this map follow the one of the ``expected`` version, if this primary still leads in that term; then
    :meth:`Candidate.put`."""

    expected: Version
    following: Map


class StepDown(NamedTuple):
    """Say that nobody leads any more, if the term is still this one. Nothing is told of it."""

    term: int


Step = Look | Beat | Stand | Put | StepDown
"""What is asked of the row. One after the other, in this order."""


class Candidate:
    """One of several primaries. See :class:`~ckv.cluster.authority.Authority`."""

    def __init__(self, leader: Leader, election: Election) -> None:
        self.election = election
        self.lost = 0
        """How often it has led, and another one does."""
        self._leader = leader
        self._version: Version = NO_VERSION
        """What the row has, while it leads."""
        self._putting: Put | None = None
        self._leading_by: Put | None = None
        """That of the map by which it is to lead, which the nodes have told."""
        self._contradicted = (0.0, NEVER)
        """Since when another primary leads by an earlier map than is known here, and when that was found last."""
        self._out: list[Step] = []
        self._sees_to_certainty()

    def take(self) -> list[Step]:
        """What is to be asked of the row, after each of the calls below; what the leader wants is for others."""
        out, self._out = [*self.election.take(), *self._out], []
        return out

    def tick(self, now: float) -> None:
        """To be called ten times a second, or so."""
        self.election.tick(now)
        self._sees_to_certainty()

    # --- what the row says -----------------------------------------------------------------------------------------

    def looked(self, row: Row, now: float) -> None:
        """What :class:`Look` has found."""
        self.election.seen(row, now)

    def believes(self, row: Row, version: Version, known: Version, now: float) -> bool:
        """Whether to route by the map that the row has, of that ``version``, by whoever routes by one of the version
        ``known``: by a later one always; by an earlier one when those who knew the later one must be gone."""
        since, last = self._contradicted
        if version >= known or self.election.term is not None or row.leader in ("", self.election.name):
            self._contradicted = (now, NEVER)
            return version > known
        if now - last > PATIENCE:
            since = now  # what has been meanwhile nobody has seen
        self._contradicted = (since, now)
        return now - since > BELIEVED

    def beaten(self, asked: Beat, accepted: bool, asked_at: float) -> None:
        """What became of a beat; not to be called where nobody knows."""
        self.election.beaten(asked.term, accepted, asked_at)
        self._sees_to_certainty()

    def stood(self, found: Map | None, is_new: bool, asked_at: float, now: float) -> None:
        """What became of :class:`Stand`: the map under the new term, None if somebody else was quicker. ``is_new``: no
        leader has made a map yet; nodes may know one all the same, which another authority has made."""
        if found is None:
            return
        if not self.election.stands:
            self._out.append(StepDown(found.version[0]))
            return
        self.election.won(found.version[0], asked_at)
        self._version = found.version
        self._sees_to_certainty()
        if is_new:
            self._leader.gather(now)
        else:
            self._leader.elected(found, now)

    def put(self, asked: Put, accepted: bool | None, asked_at: float, now: float) -> None:
        """What became of it; None where nobody knows: then it may be done, or still will be. Whoever leads next reads
        what there is, and from then on it will not."""
        if asked is not self._putting:
            return  # of a time when it led
        self._putting = None
        if not accepted:
            self.election.lost()
            self._sees_to_certainty()
            return
        version = self._version = asked.following.version
        if self._leader.leads:
            self._leader.replaced(True, now)
        elif asked is self._leading_by:  # else the leader has found meanwhile that there is a later one
            self.election.won(version[0], asked_at)
            self._sees_to_certainty()
            self._leader.elected(asked.following, now)

    def _sees_to_certainty(self) -> None:
        """Has the leader know for how long it leads for certain, and that it does not any more."""
        self._leader.certain_until = self.election.certain_until
        if self.election.term is None and self._version != NO_VERSION:
            self._version = NO_VERSION
            self._putting = None
            self.lost += 1
            self._leader.deposed()

    # --- what the leader wants, and who asks it ----------------------------------------------------------------------

    def lead(self, remembered: Map, now: float) -> None:
        term, (known, epoch) = self.election.term, remembered.version
        if term is not None:
            version = (max(term, known + 1), max(self._version[1], epoch) + 1)
            self._put(Map(version, *remembered.content))
            self._leading_by = self._putting

    def replace(self, following: Map, now: float) -> None:
        if self.election.term is not None:
            self._put(following)

    def _put(self, following: Map) -> None:
        self._putting = Put(self._version, following)
        self._out.append(self._putting)

    def instead(self) -> Answer | None:
        if self.election.term is not None:
            return None
        leader = self.election.row.leader
        with suppress(BadSetting):
            if leader != self.election.name:  # or else this process has not led yet, and one before it did
                address = parse_address(leader)
                return Elsewhere(address.host, address.port)
        return Again()

    def step_down(self) -> None:
        """Leads no more, and never will again: it is about to end."""
        self.election.stands = False
        if self.election.term is not None:
            self._out.append(StepDown(self.election.term))
            self.election.lost()
            self._sees_to_certainty()
