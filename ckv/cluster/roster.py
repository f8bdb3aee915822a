"""Who has joined: what a leader knows of each node, and what the map should say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ckv.cluster.dealing import wanted
from ckv.cluster.map import MAX_NODES, NO_VERSION, Key, Map, Node, State, Version
from ckv.cluster.messages import Beat, Join, Leave

NO_TIER: Final = ""
"""The ``tier`` of nodes that keep records nowhere but in memory."""

OWN_TIER: Final = "sqlite"
"""That of nodes of which each has a place of its own: nobody else can have what is there."""

OTHERS_TIER: Final = "sqlite, with records of others"
"""The same, where there are records already that are not the node's by any map."""

CONFLICT: Final = "conflict"
"""The figure in a BEAT that is 1 while a node follows no map of this leader, as its file speaks against it."""

Row = tuple[str, int, str, str, int, int, int]
"""A node: name, incarnation, address, state, weight, slots that it owns and that it should own."""

FORGET: Final = 3600.0
"""Seconds after which a process is forgotten that was given up, or has gone, when none of its name has come."""


def is_shared(tier: str) -> bool:
    """Whether nodes with this ``tier`` have one place for their records in common."""
    return tier not in (NO_TIER, OWN_TIER)


def is_lasting(tier: str) -> bool:
    """Whether nodes with this ``tier`` have their records again when they are started anew."""
    return tier != NO_TIER


@dataclass(slots=True)
class Known:
    """One process that has joined."""

    name: str
    boot: int
    incarnation: int
    host: str
    port: int
    weight: int
    tier: str
    since: float
    """When it joined first."""
    heard: float
    """When it was heard last."""
    version: Version = NO_VERSION
    """That of its map, when it was heard last."""
    drains: bool = False
    """An operator wants it to own nothing."""
    leaves: bool = False
    """It was told to stop."""
    fenced: bool = False
    """It was given up: it cannot write any more or, without a database, is to begin anew, under another incarnation."""
    gone: bool = False
    """It owns nothing, and has gone."""
    figures: Mapping[str, int] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.name, self.incarnation)

    @property
    def node(self) -> Node:
        """What the map should say."""
        state: State = "draining" if self.drains or self.leaves else "up"
        return Node(self.name, self.incarnation, self.host, self.port, self.weight, state)


class Roster:
    """All of them, by name: of each name the last process."""

    def __init__(self, lease: float) -> None:
        """``lease``: seconds for which a process goes on serving after it was confirmed last; 0 if nobody is asked."""
        self._lease = lease
        self._known: dict[str, Known] = {}
        self._away: dict[Key, float] = {}
        """Who was given up, and when that was found first."""
        self.reaches: Callable[[Known], bool] = lambda _known: True
        """Whether a node can be asked something now."""

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    @property
    def tier(self) -> str:
        """That of the nodes, which is one; nothing if none has joined."""
        return next((known.tier for known in self if not known.gone), "")

    @property
    def in_conflict(self) -> list[str]:
        """The names of those that follow no map of this leader."""
        return sorted(known.name for known in self if known.figures.get(CONFLICT))

    def __getitem__(self, name: str) -> Known:
        return self._known[name]

    def get(self, name: str) -> Known | None:
        return self._known.get(name)

    def find(self, said: Beat | Leave) -> Known | None:
        """The process that says it; None if it has not joined, or another one has its name."""
        known = self._known.get(said.name)
        if known is None or (known.boot, known.incarnation) != (said.boot, said.incarnation):
            return None
        return known if is_lasting(known.tier) or not known.fenced else None

    def forget_all(self) -> None:
        """Nobody has joined."""
        self._known.clear()

    def why_not(self, ask: Join, world: Map, now: float) -> str:
        """What speaks against a process that wants to join; nothing, if all is well."""
        if ask.tier == OTHERS_TIER:
            return (
                "its file has records that it was given before it joined, or under another name: a node that joins"
                " begins with a file of its own, which is empty, and goes on with that under its name"
            )
        known = self._known.get(ask.name)
        is_own = ask.tier == OWN_TIER and known is not None and now - known.heard > self._lease
        if known is not None and known.boot != ask.boot and 0 < ask.incarnation <= known.incarnation and not is_own:
            return f"a later process has the name {ask.name}"
        if known is not None and self._lives_elsewhere(known, ask, now):
            return (
                f"{ask.name} was heard just now, at {known.host}:{known.port}: no other process can have its name, be"
                " it with a copy of its file"
            )
        if is_shared(ask.tier) and 0 < ask.incarnation < _incarnation(world, ask.name):
            return f"a later process had the name {ask.name}"
        others = {node.name for node in world.nodes if node is not None}
        others |= {other.name for other in self if not other.gone}
        if len(others - {ask.name}) >= MAX_NODES:
            return f"a cluster has {MAX_NODES} nodes at most"
        for other in self:
            if other.name != ask.name and other.tier != ask.tier and not other.gone:
                return (
                    f"it keeps its records {_where(ask.tier)}, and {other.name} {_where(other.tier)}: all nodes of a"
                    " cluster need the same persistent node, or none"
                )
        return ""

    def _lives_elsewhere(self, known: Known, ask: Join, now: float) -> bool:
        """Whether somebody else has the name, with a file of its own that no other process can open. At the same
        address that one has ended, for it listens no more."""
        is_other = known.boot != ask.boot and (known.host, known.port) != (ask.host, ask.port)
        return ask.tier == OWN_TIER and is_other and not known.gone and now - known.heard <= self._lease

    def join(self, ask: Join, world: Map, now: float) -> bool:
        """Takes it in; whether it is a new process."""
        known = self._known.get(ask.name)
        begins_anew = self._begins_anew(ask, world)
        if known is not None and known.boot == ask.boot and not begins_anew:
            known.heard = now
            known.host, known.port, known.weight = ask.host, ask.port, ask.weight
            known.incarnation = max(known.incarnation, ask.incarnation)
            return False
        before = world.named(ask.name)
        highest = max(known.incarnation if known is not None else 0, _incarnation(world, ask.name))
        incarnation = highest + 1 if begins_anew else ask.incarnation or highest + 1
        # A leader that has started anew knows the process already by its map.
        self._known[ask.name] = Known(
            *(ask.name, ask.boot, incarnation, ask.host, ask.port, ask.weight, ask.tier, now, now),
            drains=before is not None and before.key == (ask.name, incarnation) and before.state == "draining",
        )
        return before is None or before.key != (ask.name, incarnation)

    def _begins_anew(self, ask: Join, world: Map) -> bool:
        """Whether others may have had, as far as is known, what the process had under its incarnation."""
        if is_shared(ask.tier) or not ask.incarnation or world.version == NO_VERSION:
            return False
        known = self._known.get(ask.name)
        if is_lasting(ask.tier):
            # The number stands beside its file, and is another one where that is.
            highest = max(known.incarnation if known is not None else 0, _incarnation(world, ask.name))
            is_same = known.boot == ask.boot if known is not None else ask.incarnation == highest
            return ask.incarnation <= highest and not is_same
        if known is not None and known.boot == ask.boot:
            return known.fenced and known.incarnation == ask.incarnation
        return not world.is_up((ask.name, ask.incarnation))

    def remember(self, world: Map) -> None:
        """Those that have joined before it was known by which map to lead drain, or are given up, as that says."""
        for known in self:
            node = world.named(known.name)
            known.drains |= node is not None and known.key == node.key and node.state == "draining"
            known.fenced |= not (is_lasting(known.tier) or world.is_up(known.key))

    def give_up(self, nodes: Iterable[Node | None]) -> None:
        """These processes have had everything taken, and are not taken in again as what they were."""
        for node in nodes:
            known = self._known.get(node.name) if node is not None else None
            if node is not None and known is not None and known.key == node.key:
                known.fenced = True

    def fit(self, world: Map, now: float, silence: float) -> frozenset[int]:
        """The numbers of the nodes that can take part in something."""
        return frozenset(
            number
            for number, node in enumerate(world.nodes)
            if node is not None and not self.why_unfit(node, now, silence)
        )

    def why_unfit(self, node: Node, now: float, silence: float) -> str:
        """What keeps a node from taking part; nothing, if it was heard not longer ago than that, and can be asked."""
        known = self._known.get(node.name)
        if known is None or known.incarnation != node.incarnation or now - known.heard > silence:
            return "silent"
        if known.figures.get(CONFLICT):
            return "follows another map"
        return "" if self.reaches(known) else "not connected"

    def table(self, world: Map, now: float, silence: float) -> list[Row]:
        """A row for each node of a map."""
        goal, counts = wanted(world), world.counts()
        return [
            (
                *(node.name, node.incarnation, f"{node.host}:{node.port}"),
                ", ".join(filter(None, (node.state, self.why_unfit(node, now, silence)))),
                *(node.weight, counts[number], goal[number]),
            )
            for number, node in enumerate(world.nodes)
            if node is not None
        ]

    def nodes(self, world: Map, now: float) -> tuple[Node | None, ...]:
        """The nodes that the map should have; those that it has, if it is as it should be."""
        nodes = list(world.nodes)
        for free in self._forgotten(world, now):
            nodes[free] = None
        for known in self._known.values():
            number = world.number_of(known.name)
            if number is None:
                if not (known.gone or known.leaves or known.fenced):
                    _place(nodes, known.node)
                continue
            before = world.nodes[number]
            if before is None or (before == known.node and not known.gone):
                continue
            if before.state == "away" and before.key == known.key and known.fenced:
                continue
            if known.gone:
                if number not in world.owners:
                    nodes[number] = None
            elif before.incarnation <= known.incarnation and self._may_follow(known, before, now):
                nodes[number] = known.node
        return tuple(nodes) if nodes != list(world.nodes) else world.nodes

    def _forgotten(self, world: Map, now: float) -> list[int]:
        """The numbers of those that were given up long ago. Nobody knows them any more, nor who has gone long ago."""
        away = {node.key: number for number, node in enumerate(world.nodes) if node and node.state == "away"}
        self._away = {key: self._away.get(key, now) for key in away}
        long = {key for key, since in self._away.items() if now - since > FORGET and away[key] not in world.owners}
        long |= {known.key for known in self if known.gone and now - known.heard > FORGET}
        if long:
            self._known = {name: known for name, known in self._known.items() if known.key not in long}
        return [number for key, number in away.items() if key in long]

    def _may_follow(self, known: Known, before: Node, now: float) -> bool:
        """Whether a process can have what one before it of its name has. At the same address that one has ended, for
        it listens no more; at another one it may serve until its lease is over, though nobody confirms it."""
        if known.incarnation == before.incarnation or (known.host, known.port) == (before.host, before.port):
            return True
        return now - known.since >= self._lease


def _incarnation(world: Map, name: str) -> int:
    """That of the process which a map has under a name; 0 if it has none."""
    node = world.named(name)
    return node.incarnation if node is not None else 0


def _where(tier: str) -> str:
    if tier == OWN_TIER:
        return "in a file of SQLite"
    return f"in {tier}" if is_shared(tier) else "in memory alone (-)"


def _place(nodes: list[Node | None], node: Node) -> None:
    if None in nodes:
        nodes[nodes.index(None)] = node
    else:
        nodes.append(node)
