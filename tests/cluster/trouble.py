"""What goes wrong in a schedule: pauses, cuts, crashes, at any time and in the very moment of a move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ckv.cluster.map import Key
from ckv.cluster.moving import Move
from tests.cluster.candidate import Elected
from tests.cluster.primary import Primary
from tests.cluster.schedule import Process
from tests.cluster.secondary import Secondary

if TYPE_CHECKING:
    from tests.cluster.world import World

SHORT: Final = (0.3, 1.2, 2.8)
"""Seconds, in which nobody is missed."""

LONG: Final = (3.2, 6.5)
"""The least and the most seconds in which a lease is over, and others take over, just or not quite."""

ISLAND: Final = (1.2, 5.0, 9.5)
"""Seconds, of which the longest are enough for another primary to lead, for others to take over after that, and for
clients of both sides."""


class Trouble:
    """What happens to one cluster."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._schedule = world.schedule
        self._chance = world.schedule.chance
        self._next: set[str] = set()
        """The names of nodes that are to be paused in the middle of their next transaction."""
        world.database.when_begun = self._has_begun

    def begin(self) -> None:
        """Something goes wrong from now on, until the world ends."""
        world, chance = self._world, self._chance
        if world.begins < self._schedule.now < world.ends:
            what = chance.random()
            if chance.random() < 0.6:
                self._happens_to_node(chance.choice(world.up() or [world.nodes[0]]), what)
            else:
                self._happens_to_primary(chance.choice(world.primaries), what)
        if self._schedule.now < world.ends:
            self._schedule.at(chance.uniform(0.2, 1.8), None, self.begin)

    def _happens_to_node(self, node: Secondary, what: float) -> None:
        chance = self._chance
        if what < 0.1:
            self._is_doubled(node)
        elif what < 0.2 and not self._world.copies:
            self._next.add(node.node_name)
        elif what < 0.35:
            self._pause(node, self._long())
        elif what < 0.6:
            self._kill(node, chance.choice(SHORT))
        elif what < 0.67:
            self._is_slow(node, chance.choice(SHORT))
        elif what < 0.8:
            self._cut_off(node, seconds=self._long())
        else:
            # Whoever asks that primary hears of nothing that is decided elsewhere.
            self._cut_off(node, chance.choice(self._world.primaries), seconds=chance.choice(ISLAND))

    def _happens_to_primary(self, primary: Primary, what: float) -> None:
        chance = self._chance
        if what < 0.25:
            self._pause(primary, self._long())
        elif what < 0.45:
            self._kill_primary(primary, chance.choice(SHORT))
        elif what < 0.6:
            if isinstance(primary, Elected) and primary.leads:
                primary.stop()
                self._schedule.at(1.0, None, self._start_primary, primary)
        elif what < 0.75:
            self._pause(self._world.database, chance.choice(SHORT))
        elif what < 0.82:
            self._is_slow(primary, chance.choice(SHORT))
        else:
            self._cut_off(primary, seconds=self._long())

    def _long(self) -> float:
        """Seconds, that may be short."""
        chance = self._chance
        return chance.uniform(*LONG) if chance.random() < 0.3 else chance.choice(SHORT)

    def _is_doubled(self, node: Secondary) -> None:
        """Somebody believes that it has died, and starts it elsewhere."""
        twin = self._world.twin(node)
        if twin is not None and not twin.up:
            self._schedule.count("twins")
            node.pause(self._chance.choice((4.0, 6.0)))
            self._schedule.at(0.7, None, self._world.start, twin)

    def _pause(self, process: Process, seconds: float) -> None:
        self._schedule.count("pauses")
        process.pause(seconds)

    def _has_begun(self, key: Key) -> None:
        """A transaction has, as its process will hear."""
        if key[0] in self._next and self._schedule.now < self._world.ends:
            self._next.remove(key[0])
            for node in self._world.nodes.values():
                if node.serves_as(key):
                    self._schedule.count("pauses in a transaction")
                    node.pause(self._chance.uniform(*LONG))

    def _kill(self, node: Secondary, seconds: float) -> None:
        if node.up:
            self._schedule.count("kills")
            node.kill()
            self._schedule.at(seconds, None, self._world.start, node)

    def _kill_primary(self, primary: Primary, seconds: float) -> None:
        if primary.up:
            self._schedule.count("kills of primaries")
            primary.kill()
            self._schedule.at(seconds, None, self._start_primary, primary)

    def _start_primary(self, primary: Primary) -> None:
        if not primary.up:
            primary.boot()

    def _cut_off(self, *island: Process, seconds: float) -> None:
        """Nothing, or not all, passes between these and the others. The connections are mended one by one."""
        chance, schedule = self._chance, self._schedule
        breaks, some = chance.random() < 0.5, chance.random() < 0.3
        schedule.count("cuts")
        names = " and ".join(process.name for process in island)
        how = ("connections break" if breaks else "all is late") + (", but not of all" if some else "")
        schedule.say("%s cut off for %.1f s: %s", names, seconds, how)
        for link in schedule.links:
            if (link.client in island) != (link.server in island) and not (some and chance.random() < 0.5):
                link.cut(seconds * chance.uniform(0.7, 1.0), breaks=breaks)

    def _is_slow(self, process: Process, seconds: float) -> None:
        """What comes over one of its connections is late, and others may overtake it."""
        links = [link for link in self._schedule.links if (process is link.client) != (process is link.server)]
        link = self._chance.choice(links)
        self._schedule.count("connections that are slow")
        self._schedule.say("from %s to %s a connection is slow for %.2f s", link.client.name, link.server.name, seconds)
        link.cut(seconds, breaks=False)

    def slow_down(self, move: Move) -> None:
        """Some of a move, which has just begun, takes longer than usual: less than anybody gives up for."""
        if self._chance.random() < 0.3:
            node = self._world.nodes[self._chance.choice((move.source, move.target)).port]
            self._is_slow(node, self._chance.uniform(0.02, 0.3))

    def around_a_move(self, leader: Primary, move: Move) -> None:
        """A move has just begun."""
        chance, world = self._chance, self._world
        what, soon = chance.random(), chance.choice((0.0, 0.003, 0.006, 0.01, 0.02))
        source, target = world.nodes[move.source.port], world.nodes[move.target.port]
        if what < 0.05:
            self._schedule.at(soon, None, self._pause, leader, chance.choice(SHORT))
        elif what < 0.1:
            self._schedule.at(soon, None, self._pause, source, self._long())
        elif what < 0.14:
            self._schedule.at(soon, None, self._kill_one_of_two, chance.choice((source, target)))
        elif what < 0.17:
            self._schedule.at(soon, None, self._kill_leader, leader)
        elif what < 0.2:
            # With a primary by which it is still asked: while others give it up it goes on.
            beside = chance.choice([primary for primary in world.primaries if primary is not leader])
            self._schedule.at(soon, None, self._part, source, beside)

    def _part(self, node: Secondary, primary: Primary) -> None:
        self._schedule.count("islands in a move")
        self._cut_off(node, primary, seconds=self._chance.choice(ISLAND))

    def _kill_one_of_two(self, node: Secondary) -> None:
        self._schedule.count("kills in a move", int(node.up))
        self._kill(node, self._chance.choice(SHORT))

    def _kill_leader(self, leader: Primary) -> None:
        self._schedule.count("leader kills in a move", int(leader.up))
        self._kill_primary(leader, 0.3)
