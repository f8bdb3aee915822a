"""A whole cluster with its clients, and all that can go wrong with it, in one schedule."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, NamedTuple

from ckv.cluster.leader import Leader
from ckv.cluster.map import Map, Node
from ckv.cluster.memory import ROOM
from ckv.cluster.moving import Move
from ckv.cluster.options import Options
from tests.cluster.candidate import Elected
from tests.cluster.client import Client
from tests.cluster.database import Database, Fence
from tests.cluster.filed import rows_of_others
from tests.cluster.follower import Following
from tests.cluster.invariants import Invariants
from tests.cluster.linearizable import Call, is_linearizable
from tests.cluster.losses import Losses
from tests.cluster.primary import Primary
from tests.cluster.schedule import Process, Schedule, Wrong
from tests.cluster.secondary import Secondary
from tests.cluster.trouble import Trouble

MODES: Final = ("through", "behind", "evict", "copy", "file")
"""The write modes; in ``copy`` there is no database for records, and slots move as copies; in ``file`` too, and each
node has a file, which it writes through to."""

KINDS: Final = ("moves", "trouble", "anew", "elections", "elections anew", "elections behind")
"""``moves``: slots move, and nodes come and go as they are told; no call may fail. ``trouble``: besides, whatever can
happen does. ``anew``: the same, from the first start on. ``elections``: both primaries would lead, by what the database
says; ``elections anew``: it says nothing at first; ``elections behind``: it has not heard of what one that led without
it has decided since. A third primary, or a second one where none is elected, follows the first one."""

SLOTS: Final = 5

NAMES: Final = 5
TWINS: Final = 2
"""Names of nodes, and how many of these can be taken by a process at another place."""

TROUBLE: Final = 8.0
"""Seconds until the last thing goes wrong."""

CALM: Final = 40.0
"""Seconds after that until all has to be well again."""

LOOK_EVERY: Final = 0.25
"""Seconds between two looks whether all is well."""

AGAIN: Final = 0.5
"""Seconds until a key is read again in the end, which was refused."""

LATEST: Final = 12.0
"""Seconds within which it has to be answered: its slot may just have gone to a node that has died."""

OPTIONS: Final = Options(
    lease=3.5, node_timeout=4.5, settle=0.7, move_slots=2, freeze_timeout=3.5, prepare_timeout=6.0, pause=0.3
)
"""Shorter than those of a real cluster, so that more happens in less time, but in the same order: one is silent sooner
than a primary loses its patience, and that is sooner than a lease is over, a node is given up, and so on."""


class World:
    """One schedule from its beginning to its end."""

    def __init__(self, seed: int, mode: str, kind: str, say: Callable[[str], None] | None = None) -> None:
        self.schedule = schedule = Schedule(f"{mode} {kind} {seed}", say)
        chance = schedule.chance
        self.mode, self.kind = mode, kind
        self.copies, self.has_files = mode in ("copy", "file"), mode == "file"
        self.slots = SLOTS
        self.key_names = [f"k{slot}" for slot in range(SLOTS)]
        self.keys = {key: slot for slot, key in enumerate(self.key_names)}
        self.options = OPTIONS
        self.rebalances = chance.random() < 0.5
        self.history: dict[str, list[Call]] = {key: [] for key in self.key_names}
        self.failures: list[str] = []
        self.drained: set[str] = set()
        """Names that an operator had own nothing."""
        self.sees_the_end: set[int] = set()
        """Processes that can tell that the one before them has ended."""
        self.losses = Losses(self)
        self.invariants = Invariants(self)
        self._number = 0
        self.elects, self.is_anew = kind.startswith("elections"), kind.endswith("anew")
        self.begins = 5.0 if self.is_anew else 0.5
        self.ends = self.begins + TROUBLE
        self.database = Database(schedule, SLOTS)
        self.database.when_fenced = self.losses.was_fenced
        self.primaries: list[Primary] = []
        if self.elects:
            self.primaries += (Elected(self, 0), Elected(self, 1))
        else:
            self.primaries.append(Primary(self, "P0"))
        self.primaries.append(Following(self, "F", self.primaries[0]))
        self.nodes = {port: Secondary(self, f"S{port % NAMES}", port) for port in range(NAMES + TWINS)}
        """By where they listen. Behind the last name there are other places for processes of the first ones."""
        self._trouble = Trouble(self)
        self.clients = [Client(self, f"c{number}") for number in range(3)]
        self._begin(chance.randint(2, 4))

    def twin(self, node: Secondary) -> Secondary | None:
        """The place where another process of its name can be, if there is one: not where its file is not."""
        return self.nodes[NAMES + node.port] if node.port < TWINS and not self.has_files else None

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def _begin(self, count: int) -> None:
        first = [self.nodes[port] for port in range(count)]
        if self.is_anew:
            for primary in self.primaries:
                primary.boot()
            for node in first:
                self.schedule.at(self.schedule.chance.uniform(0, 2), None, self.start, node)
        else:
            for node in first:
                self.database.fences[node.node_name, 1] = Fence()
            nodes = [Node(node.node_name, 1, "host", node.port, 100) for node in first]
            owners = array("H", [slot * count // SLOTS for slot in range(SLOTS)])
            world_map = Map((1, 1), nodes, owners)
            self.database.keep(world_map)
            if self.kind.endswith("behind"):
                others = array("H", [(owner + 1) % count for owner in owners])
                world_map = world_map.successor(term=world_map.version[0] + ROOM, owners=others)
            for node in first:
                node.start_with(1, world_map)
            for primary in reversed(self.primaries):
                if self.kind.endswith("behind"):
                    primary.boot()
                else:
                    primary.start_with(world_map)
        self._next_move()
        self._next_change()
        if self.kind != "moves":
            self._trouble.begin()

    # --- what is noted ----------------------------------------------------------------------------------------------

    def note(self, key: str, call: Call) -> None:
        self.history[key].append(call)
        self.schedule.say("  %s %s %r (since %.4f)", call.kind, key, call.value, call.began)

    def failed(self, what: str) -> None:
        self.failures.append(f"{self.schedule.now:.3f} {what}")
        self.schedule.say("  %s", what)
        self.schedule.count("failed calls")

    # --- what happens -----------------------------------------------------------------------------------------------

    def start(self, node: Secondary) -> None:
        if not node.up:
            self.schedule.say("%s starts", node.name)
            self.drained.discard(node.node_name)
            node.boot()
            alone = not any(other.node_name == node.node_name for other in self.up() if other is not node)
            if alone and self.schedule.chance.random() < 0.5:
                self.sees_the_end.add(node.boot_number)

    def up(self) -> list[Secondary]:
        """Those that run."""
        return [node for node in self.nodes.values() if node.up]

    @property
    def _first(self) -> Primary:
        """The primary that leads, if one does."""
        return next((primary for primary in self.primaries if primary.leads), self.primaries[0])

    @property
    def _leading(self) -> Leader:
        leader = self._first.leader
        assert leader is not None
        return leader

    def _takers(self) -> list[Secondary]:
        """Those that can take the slots of others."""
        world_map = self._leading.map
        names = {node.name for node in world_map.nodes if node is not None and node.state == "up"}
        return [node for node in self.up() if node.node_name in names - self.drained and not node.is_leaving]

    def _next_move(self) -> None:
        """Slots go somewhere, whether that makes sense or not."""
        chance = self.schedule.chance
        world_map = self._leading.map
        if self.schedule.now > self.begins:
            numbers = [number for number, node in enumerate(world_map.nodes) if node is not None]
            if len(numbers) > 1:
                source, target = chance.sample(numbers, 2)
                slots = [slot for slot, owner in enumerate(world_map.owners) if owner == source][: chance.randint(1, 2)]
                to = world_map.nodes[target]
                if slots and to is not None:
                    self._first.move(slots, to.name)
        if self.schedule.now < self.ends:
            self.schedule.at(chance.uniform(0.1, 0.7), None, self._next_move)

    def _next_change(self) -> None:
        """Somebody wants another cluster."""
        chance = self.schedule.chance
        if self.schedule.now > self.begins:
            node = self.nodes[chance.randrange(NAMES)]
            what = chance.random()
            if not node.up:
                if self.schedule.now - node.stopped_at > 0.7:
                    self.start(node)
            elif what < 0.4 and any(other is not node for other in self._takers()):
                if what < 0.3:
                    node.stop()
                else:
                    self.drained.add(node.node_name)
                    self._first.drain(node.node_name)
        if self.schedule.now < self.ends:
            self.schedule.at(chance.uniform(0.4, 2), None, self._next_change)

    def around_a_move(self, leader: Primary, move: Move | None) -> None:
        """A primary that leads was told to move something: here it begins, or another one goes on."""
        if move is not None and self.schedule.now <= self.ends:
            self._trouble.slow_down(move)
            if self.kind != "moves":
                self._trouble.around_a_move(leader, move)

    # --- the end ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Wrong."""
        schedule = self.schedule
        schedule.run(self.ends)
        self._start_all()
        while not self._is_well():
            if schedule.now > self.ends + CALM:
                raise Wrong(f"the cluster did not recover: {self._first.name} has {self._leading.map}")
            self._wait()
        self._check_end()

    def _wait(self) -> None:
        """A moment passes."""
        if self.has_files:
            self._start_all()  # one that was told to stop may have kept slots
        self.schedule.run(self.schedule.now + LOOK_EVERY)

    def _start_all(self) -> None:
        names = {node.node_name for node in self.up()}
        for node in self.nodes.values():
            if node.node_name not in names:
                self.start(node)
                if self.copies:
                    names.add(node.node_name)  # another one would take its place, and what it has

    def _is_well(self) -> bool:
        """Whether every slot is served, by who owns it, all primaries know that, and nothing is in their way."""
        first, now = self._first, self.schedule.now
        world_map = self._leading.map
        if not (first.leads and all(each.up and each.router.version == world_map.version for each in self.primaries)):
            return False
        if self.has_files and any(rows_of_others(node, node.file) for node in self.up()):
            return False
        owners = [(slot, world_map.owner(slot)) for slot in range(SLOTS)]
        if not all(owner is not None and self.nodes[owner.port].serves(slot) for slot, owner in owners):
            return False
        processes: list[Process] = [self.database, *self.primaries, *self.up()]
        return not any(each.paused_until > now for each in processes) and not any(
            link.is_cut for link in self.schedule.links
        )

    def _check_calls(self) -> None:
        if self.kind == "moves" and (self.failures or (self.copies and "losses" in self.schedule.counts)):
            raise Wrong(f"calls failed, or records were lost, though nothing did: {self.failures[:3]}")
        for key, calls in self.history.items():
            if not is_linearizable(calls):
                raise Wrong(f"{key} was read as it cannot have been")

    def _check_end(self) -> None:
        """Each key is answered, by all primaries, be it the second time where its slot has just moved."""
        reader = Client(self, "end")
        left = {(key, place) for key in self.key_names for place in range(len(self.primaries))}

        def read(key: str, place: int) -> None:
            def told(answered: bool) -> None:
                if answered:
                    left.discard((key, place))
                else:
                    self.schedule.at(AGAIN, None, read, key, place)

            reader.call(place, "read", key, "", told)

        for key, place in sorted(left):
            read(key, place)
        until = self.schedule.now + LATEST
        while left and self.schedule.now < until:
            self._wait()
        if left:
            raise Wrong(f"the cluster did not recover: {sorted(left)} are not answered")
        self._check_calls()


class Outcome(NamedTuple):
    """What became of one schedule."""

    counts: dict[str, int]
    wrong: str


def run(seed: int, mode: str, kind: str, say: Callable[[str], None] | None = None) -> Outcome:
    """One schedule."""
    world = World(seed, mode, kind, say)
    try:
        world.run()
    except Wrong as wrong:
        return Outcome(world.schedule.counts, str(wrong))
    return Outcome(world.schedule.counts, "")
