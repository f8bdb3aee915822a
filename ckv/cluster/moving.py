"""One move of slots from a node to another one, as the leader sees it.

The source saves what the database lacks while it serves (PREPARE), then serves the slots no more, saves the rest, and
says so (FREEZE). Without a database it sends the records to the target, in the same two steps
(:mod:`ckv.cluster.copying`). Then the map changes, and that is the moment. Any new map ends a move: one with other
owners, or one with the same owners, by which it is called off. A source never goes on serving by itself.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Literal

from ckv.cluster.dealing import Plan
from ckv.cluster.map import Key, Map, Node, Version
from ckv.cluster.messages import Freeze, Prepare
from ckv.cluster.roster import Roster, is_lasting

Phase = Literal["preparing", "frozen", "decided"]


@dataclass(slots=True)
class Move:
    """A move that is under way."""

    number: int
    plan: Plan
    source: Node
    target: Node
    asked: Prepare | Freeze
    """What the source has still to answer."""
    since: float
    """When its phase began, or went on last."""
    phase: Phase = "preparing"
    progress: int = 0
    """What the source said last of how far it is."""
    frozen_at: float = 0.0

    @classmethod
    def begin(cls, number: int, plan: Plan, world: Map, now: float) -> Move:
        source, target = world.nodes[plan.source], world.nodes[plan.target]
        if source is None or target is None:
            raise LookupError(f"{world} has no such nodes: {plan.source} and {plan.target}")
        return cls(number, plan, source, target, Prepare(number, world.version, plan.slots, target.name), now)

    def freeze(self, now: float) -> Freeze:
        """Has its source serve the slots no more: what to ask of it."""
        self.asked = asked = Freeze(self.number, self.asked.version)
        self.phase, self.since, self.frozen_at = "frozen", now, now
        return asked

    def owners(self, world: Map) -> array[int]:
        """Those of the map, with this move carried out."""
        owners = world.owners[:]
        for slot in self.plan.slots:
            owners[slot] = self.plan.target
        return owners

    def went_on(self, progress: int, now: float) -> None:
        """Takes note of how far the source is."""
        if progress != self.progress and self.phase == "preparing":
            self.progress, self.since = progress, now

    @property
    def title(self) -> str:
        return f"the move of {len(self.plan.slots)} slots from {self.source.name} to {self.target.name}"

    @property
    def meanwhile(self) -> str:
        """What is true of these slots as long as it is in this phase."""
        return "they are served meanwhile" if self.phase == "preparing" else "their requests wait"


@dataclass(slots=True)
class Moved:
    """What became of the moves so far."""

    moves: int = 0
    slots: int = 0
    rows: int = 0
    """Rows that were written while slots were frozen."""
    called_off: int = 0
    last_pause: float = 0.0
    """Seconds for which the slots of the last move were not served."""
    worst_pause: float = 0.0
    last_error: str = ""
    """Why the last one was called off that was."""
    _ends: dict[tuple[Key, Key], Version] = field(default_factory=dict)
    """For the source and the target of each move that was frozen: the map that ended the last one of theirs."""

    def end(self, move: Move, version: Version, now: float) -> None:
        """The map of this version has ended it, be it done or called off."""
        if move.phase != "preparing":
            self._ends[move.source.key, move.target.key] = version
        if move.phase != "decided":
            return
        self.moves += 1
        self.slots += len(move.plan.slots)
        self.last_pause = now - move.frozen_at
        self.worst_pause = max(self.worst_pause, self.last_pause)

    def keeps(self, key: Key, roster: Roster, since: float) -> bool:
        """Whether a node may not go yet, as another one, which was heard ``since``, does not know what became of a move
        between them: what that one has of a copy counts only as long as both are in the cluster."""
        for pair, version in self._ends.items():
            other = roster.get(pair[key == pair[0]][0]) if key in pair else None
            if other is not None and not is_lasting(other.tier) and other.heard >= since and other.version < version:
                return True
        return False

    def call_off(self, move: Move, why: str) -> None:
        """One that is over without having moved anything."""
        self.called_off += 1
        self.last_error = f"{move.title} was called off: {why}"
