"""How a primary that begins to lead learns which map is the latest one: the nodes remember it.

Where nodes have a database in common it tells who can still write. Once all of these were heard, the latest map that
they know is the latest one that anybody acts upon; who is not heard, and stands still, is fenced first. Elsewhere all
nodes of the latest map have to be heard, for a later one would be known to one of them; or a lease has to pass, for
nobody but a leader prolongs it, and whoever was not heard then is given up. Where each node has a file of its own
nobody is: all nodes of the latest map have to be heard, however long that takes. Until then nothing is decided;
requests are routed by what was found, which is safe, as each node looks at what it is asked.

The map that other primaries have kept is only the first one that was found: the cluster may have gone on without them,
under a primary alone, and a process that has started since knows of nothing.
"""

from __future__ import annotations

from array import array
from typing import Final

from ckv.cluster.dealing import without
from ckv.cluster.map import NO_VERSION, NOBODY, Key, Map, Node
from ckv.cluster.messages import Join
from ckv.cluster.roster import OWN_TIER, is_lasting, is_shared
from ckv.cluster.watch import Watch

MARGIN: Final = 1.0
"""Seconds beyond a lease, for clocks that do not go alike."""

LOOK: Final = 2.0
"""Seconds after the start from which on a node says what the database said after the start. So long others that start
at the same time may take for that, too, to have a part of the first slots."""

PATIENCE: Final = 10.0
"""Seconds after the first JOIN until which it is no news that something is still waited for: a process that has died is
found out and fenced within them."""


class Gathering:
    """The maps that the nodes remember, from when a primary begins until it decides something."""

    def __init__(self, now: float, lease: float, found: Map) -> None:
        """``found``: the one that is known without them; an empty one for none."""
        self._began = now
        self._lease = lease
        self.latest = found
        """The latest one that was found."""
        self._epoch = 0
        """The highest one, of whatever term: each map that is made has a higher one than those before it."""
        self._heard: dict[Key, Node] = {}
        self._first_heard = float("inf")
        self._tier = ""

    def hear(self, ask: Join, now: float) -> Map | None:
        """Takes note of a process that joins. Returns what there is to route by, if that has changed."""
        self._tier = ask.tier
        self._first_heard = min(now, self._first_heard)
        self._heard[ask.name, ask.incarnation] = Node(ask.name, ask.incarnation, ask.host, ask.port, ask.weight)
        if ask.map is not None:
            self._epoch = max(self._epoch, ask.map.version[1])
        if ask.map is not None and ask.map.version > self.latest.version:
            self.latest = ask.map
            return ask.map
        if self.latest.version == NO_VERSION:
            # A map without owners: those who are in it can be asked something.
            owners = array("H", [NOBODY]) * len(self.latest.owners)
            named = {node.name: node for node in self._heard.values()}
            return Map((NO_VERSION[0], len(self._heard)), list(named.values()), owners)
        return None

    @property
    def remembered(self) -> Map:
        """The latest one, by which to lead: under no lower an epoch than any that was found."""
        world = self.latest if is_lasting(self._tier) else without(self.latest, self._unheard)
        return Map((self.latest.version[0], self._epoch), *world.content)

    @property
    def _unheard(self) -> list[int]:
        """The numbers of the nodes of the latest map that may serve by it, and were not heard."""
        nodes = [(number, node) for number, node in enumerate(self.latest.nodes) if node and node.state != "away"]
        if self._tier == OWN_TIER:
            # Each process of a name has what those before it had. One that drains, and owns nothing, is given nothing.
            names = {name for name, _ in self._heard}
            owners = {*self.latest.owners}
            return [
                number for number, node in nodes if node.name not in names and (node.state == "up" or number in owners)
            ]
        return [number for number, node in nodes if not self._has_heard(node)]

    def _has_heard(self, node: Node) -> bool:
        # Somewhere else it is another process: a primary that knew nothing of the one gave the same number again.
        heard = self._heard.get(node.key)
        return heard is not None and (heard.host, heard.port) == (node.host, node.port)

    def missing(self, watch: Watch) -> list[Key]:
        """The processes that can still write, and were not heard: they may know a later map."""
        return [key for key in watch.active if key not in self._heard]

    def is_done(self, watch: Watch, now: float) -> bool:
        """Whether the latest map that was found is the latest one that counts."""
        if not self._heard:
            return False
        if is_shared(self._tier):
            return watch.reported >= self._began + LOOK and not self.missing(watch)
        # With a slot of nobody's somebody may have been dealt it of whom nobody else has heard.
        if self.latest.version != NO_VERSION and NOBODY not in self.latest.owners and not self._unheard:
            return True
        if self._tier == OWN_TIER and self._unheard:
            return False
        return now - max(self._first_heard, watch.since) >= self._lease + MARGIN

    def waits_for(self, watch: Watch, now: float) -> str:
        """What is still to come, for people; nothing if it is done, or nobody has joined long enough ago."""
        if now - self._first_heard < PATIENCE or self.is_done(watch, now):
            return ""
        if self._tier == OWN_TIER:
            nodes = [self.latest.nodes[number] for number in self._unheard]
            return ", ".join(node.name for node in nodes if node) + ", with its file, to join"
        missing = ", ".join(f"{name} (incarnation {incarnation})" for name, incarnation in self.missing(watch))
        if missing:
            return f"{missing}, which writes to the database and may know a later map, to join"
        return "a secondary to say what the database says"
