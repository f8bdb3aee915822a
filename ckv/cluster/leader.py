"""The leader of a cluster: takes nodes in, deals the slots, moves them, one decision at a time.

Every decision is a new map, which the authority has to accept before it counts. While one is on its way, and while
slots are frozen, nothing else is decided; a move that only prepares gives way to everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ckv.cluster.dealing import Plan, deal, next_move, wanted, without
from ckv.cluster.gathering import Gathering
from ckv.cluster.map import NOBODY, Key, Map
from ckv.cluster.messages import (
    Again,
    Answer,
    Beat,
    Beaten,
    FenceOff,
    Freeze,
    Join,
    Joined,
    Leave,
    Left,
    NoEntry,
    Order,
    Prepare,
)
from ckv.cluster.moving import Move, Moved
from ckv.cluster.outputs import Lead, Output, Park, Publish, Replace, Route, ToNode, Unpark
from ckv.cluster.roster import Known, Roster
from ckv.cluster.slots import SLOTS
from ckv.cluster.watch import Watch

SILENCE: Final = 2.5
"""Beats without which a node takes part in no move."""

FIRST_WAIT: Final = 1.0
"""Seconds without a newcomer before the first slots of all are dealt: who comes with others has a part of them."""

PROGRESS: Final = "move_rows"
"""The figure in a BEAT that changes while a move goes on."""


class Options(NamedTuple):
    """How a leader leads. Times are in seconds."""

    lease: float = 5.0
    beat: float = 1.0
    node_timeout: float = 6.0
    """Without a word from a node, and with its beat in the database standing still; more than a lease. 0: for ever."""
    settle: float = 30.0
    """After a node has come or gone, before slots are moved to level the shares."""
    move_slots: int = 1024
    """Slots of one move at most."""
    freeze_timeout: float = 5.0
    prepare_timeout: float = 60.0
    """Without any progress."""
    pause: float = 5.0
    """After a move that was called off."""


class Leader:
    """One primary, as far as it leads or wants to."""

    def __init__(self, options: Options, slots: int = SLOTS) -> None:
        self.options = options
        self.map = Map.empty(slots)
        """The last one that the authority accepted."""
        self.leads = False
        self.rebalances = True
        """Whether slots move to level the shares; who leaves or drains gives its own away in any case."""
        self.moved = Moved()
        self.move: Move | None = None
        self.roster = Roster(options.lease)
        self.watch = Watch(options.node_timeout, self._silence)
        self.certain_until = float("inf")
        """Until when nobody else can lead, by the clock of this process: before that it confirms nodes."""
        self._ticked = float("-inf")
        self._slots = slots
        self._out: list[Output] = []
        self._gathering: Gathering | None = None
        self._alone = False
        """There is no other primary that could lead."""
        self._following: Map | None = None
        """What the authority has been asked to accept."""
        self._unsettled = 0.0
        """When a node came or went last."""
        self._not_before = 0.0
        """When the next move may begin."""
        self._at_rest: tuple[object, ...] = ()
        """For what there is no move to make."""
        self._moves = 0
        self._ordered: Plan | None = None

    def take(self) -> list[Output]:
        """What is to be done, in this order, after each of the calls below."""
        out, self._out = self._out, []
        return out

    # --- what the authority says -----------------------------------------------------------------------------------

    def gather(self, now: float) -> None:
        """It is the only primary, and has just started: the nodes know the map."""
        self._gathering = Gathering(now, self.options.lease, self._slots)
        self.watch.begin(now)
        self._alone = True

    def elected(self, world: Map, now: float) -> None:
        """It leads from now on, by this map, which nobody knows yet."""
        if not self._alone:
            self.watch.begin(now)  # else nobody has led while the nodes were asked for the map
        self._gathering = self._following = self.move = None
        self.leads = True
        self.map = world
        self._unsettled = now
        self._out.append(Publish(world))
        self._decide(now)

    def deposed(self) -> None:
        """It leads no more."""
        if self.move is not None and self.move.phase != "preparing":
            self._out.append(Unpark(self.move.plan.slots))
        self._following = self.move = None
        self.leads = False
        self.roster.forget_all()

    def replaced(self, accepted: bool, now: float) -> None:
        """Whether the authority took what it was asked to."""
        following, self._following = self._following, None
        if following is None:
            return
        if not accepted:
            self.deposed()
            return
        move, self.move = self.move, None
        self.map = following
        if move is not None and move.phase == "decided":
            self._count(move, now)
        self._out.append(Publish(following))
        self._decide(now)

    # --- what nodes say --------------------------------------------------------------------------------------------

    def join(self, ask: Join, now: float) -> Answer:
        """A process wants to be a node."""
        if not (self.leads or self._gathering):
            return Again()
        why = self.roster.why_not(ask, self.map)
        if why:
            return NoEntry(why)
        if self._gathering is not None:
            found = self._gathering.hear(ask)
            if found is not None:
                self._out.append(Route(found))
            if not ask.incarnation:
                return Again()  # which numbers its name had is not known yet
        if self.roster.join(ask, self.map, now):
            self._unsettled = now
        self.tick(now)
        return Joined(self.roster[ask.name].incarnation, self.options.lease, self.map)

    def beat(self, said: Beat, now: float) -> Answer:
        """A node lives."""
        known = self.roster.find(said)
        if known is None:
            return Again()
        known.heard, known.version, known.figures = now, said.version, said.figures
        self.watch.see(said.sights, now)
        if self.move is not None and self.move.source.key == known.key:
            self.move.went_on(said.figures.get(PROGRESS, 0), now)
        self.tick(now)
        newer = self.map if self.leads and said.version < self.map.version else None
        return Beaten(self._confirms(known, now), self.map.version, newer)

    def _confirms(self, known: Known, now: float) -> bool:
        """Whether the node may serve for another lease."""
        return self.leads and now < self.certain_until and self.watch.may_confirm(known.key, known.tier)

    def leave(self, said: Leave, now: float) -> Answer:
        """A node was told to stop."""
        known = self.roster.find(said)
        if known is None or not self.leads:
            return Again()
        known.heard = now
        known.leaves = True
        known.gone = self._owned(known.key) == 0
        self.tick(now)
        left = self._owned(known.key)
        return Left(not (left and self._takers(known, now)), left)

    def _owned(self, key: Key) -> int:
        """How many slots a process has, by what is decided already."""
        world = self._following or self.map
        number = world.number_of(key[0])
        node = world.nodes[number] if number is not None else None
        return world.owners.count(number) if number is not None and node is not None and node.key == key else 0

    def _takers(self, leaving: Known, now: float) -> bool:
        """Whether somebody else can take slots."""
        return any(
            not (other.drains or other.leaves) and self._hears(other, now)
            for other in self.roster
            if other is not leaving
        )

    def answered(self, order: Order, result: object, now: float) -> None:
        """What a node answered to :class:`ToNode`: the result as it came; None if there was an error, or no answer."""
        if isinstance(order, FenceOff):
            self.watch.fenced(order, result, now)
            self._decide(now)
            return
        move = self.move
        if move is None or order is not move.asked or self._following is not None:
            return
        match order, result:
            case Prepare(), ["prepared", *_]:
                # What comes before it on the connection is served; from the park on nothing more is sent.
                freeze = move.freeze(now)
                self._out += (Park(move.plan.slots), ToNode(move.source, freeze))
            case Freeze(), ["released", int() as rows, *_]:
                target = self.roster.get(move.target.name)
                if move.plan.target not in self._fit(now) or target is None or target.node.state != "up":
                    self._call_off(f"{move.target.name} is not there", now)
                    return
                move.phase = "decided"
                self.moved.rows += rows
                self._replace(self.map.successor(owners=move.owners(self.map)))
            case _:
                self._call_off(
                    f"{move.source.name} did not {'prepare' if move.phase == 'preparing' else 'release'} it", now
                )

    # --- what an operator says -------------------------------------------------------------------------------------

    def drain(self, name: str, now: float) -> str:
        """Has a node own nothing; what speaks against it, or nothing."""
        known = self.roster.get(name)
        if not self.leads:
            return "this primary does not lead"
        if known is None or known.gone:
            return f"there is no node {name}: " + (
                ", ".join(sorted(each.name for each in self.roster)) or "none has joined"
            )
        if not self._takers(known, now):
            return f"nobody could take the slots of {name}"
        known.drains = True
        self._decide(now)
        return ""

    def send(self, slots: Sequence[int], name: str, now: float) -> str:
        """Moves these slots, all of one node, to the node of that name; what speaks against it, or nothing."""
        if not self.leads:
            return "this primary does not lead"
        target = self.map.number_of(name)
        sources = {self.map.owners[slot] for slot in slots}
        if target is None or not self._is_up(target):
            return f"there is no node {name}, or it is to own nothing"
        if len(sources) != 1 or sources & {target, NOBODY}:
            return "the slots have to be of one other node"
        if len(slots) > self.options.move_slots:
            return f"a move has {self.options.move_slots} slots at most"
        self._ordered = Plan(sources.pop(), target, tuple(slots))
        self._decide(now)
        return ""

    # --- time ------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """To be called every tenth of a second, or so."""
        if now - self._ticked > self._silence:
            self.watch.begin(now)  # whoever sleeps hears nobody
        self._ticked = now
        gathering = self._gathering
        if gathering is not None:
            if gathering.is_done(self.watch, now):
                self._out.append(Lead(gathering.latest))
                self._gathering = None
                return
            for key in gathering.missing(self.watch):
                if self.watch.stands_still(key, now):
                    self._fence(key, now)
        self._decide(now)

    @property
    def _silence(self) -> float:
        return SILENCE * self.options.beat

    def _fit(self, now: float) -> frozenset[int]:
        return self.roster.fit(self.map, now, self._silence)

    def _decide(self, now: float) -> None:
        """Does the next thing that is to be done, if any."""
        if not self.leads or self._following is not None:
            return
        move = self.move
        if move is not None and move.phase == "frozen":
            if now - move.since > self.options.freeze_timeout:
                self._call_off(f"{move.source.name} did not release it in time", now)
            return
        gone, silent = self.watch.look(self.map, self.roster, now)
        if silent is not None:
            self._fence(silent, now)
        world = self._wanted(gone, now)
        if world is not self.map:
            self._replace(world)
        elif move is None:
            self._begin_move(now)
        elif now - move.since > self.options.prepare_timeout:
            self._call_off(f"{move.source.name} does not get on", now)

    def _wanted(self, gone: Sequence[int], now: float) -> Map:
        """The map with the nodes that have joined and without those that are gone, and with an owner for each slot;
        that which there is, if it is so."""
        world = self.map
        nodes = self.roster.nodes(world, now)
        if nodes is not world.nodes:
            world = world.successor(nodes=nodes)
        if gone:
            self._unsettled = now
            world = without(world, gone)
            self.roster.give_up(self.map.nodes[number] for number in gone)
        first = world.owners.count(NOBODY) == self._slots
        wait = first and now - self._unsettled < FIRST_WAIT
        owners = None if wait else deal(world, self.roster.fit(world, now, self._silence))
        if owners is not None:
            world = world.successor(owners=owners)
        return world if world is self.map else self.map.successor(nodes=world.nodes, owners=world.owners)

    def _fence(self, silent: Key, now: float) -> None:
        """Has a node see to it that this process writes nothing any more."""
        known = next((each for each in self.roster if self._hears(each, now) and each.name != silent[0]), None)
        order = self.watch.fence(silent, self.map.version[0], now) if known is not None else None
        if known is not None and order is not None:
            self._out.append(ToNode(known.node, order))

    def _hears(self, known: Known, now: float) -> bool:
        return now - known.heard <= self._silence

    def _replace(self, following: Map) -> None:
        self._following = following
        self._out.append(Replace(following))

    def _begin_move(self, now: float) -> None:
        if now < self._not_before:
            return
        level = self.rebalances and now - self._unsettled >= self.options.settle
        fit = self._fit(now)
        if self._ordered is None and self._at_rest == (self.map.version, fit, level):
            return
        plan = self._order(fit) or next_move(self.map, fit, self.options.move_slots, level=level)
        if plan is None:
            self._at_rest = (self.map.version, fit, level)
            return
        self._moves += 1
        self.move = move = Move.begin(self._moves, plan, self.map, now)
        self._out.append(ToNode(move.source, move.asked))

    def _is_up(self, number: int) -> bool:
        node = self.map.nodes[number]
        return node is not None and node.state == "up"

    def _order(self, fit: frozenset[int]) -> Plan | None:
        """The move that an operator wants, if it still can be."""
        plan, self._ordered = self._ordered, None
        if plan is None or not {plan.source, plan.target} <= fit or not self._is_up(plan.target):
            return None
        return plan if all(self.map.owners[slot] == plan.source for slot in plan.slots) else None

    def _call_off(self, why: str, now: float) -> None:
        """The same owners by a later map: only that ends what the source has begun."""
        if self.move is not None:
            self.moved.called_off += 1
            self.moved.last_error = f"{self.move.title} was called off: {why}"
        self._not_before = now + self.options.pause
        self._replace(self.map.successor())

    def _count(self, move: Move, now: float) -> None:
        self.moved.moves += 1
        self.moved.slots += len(move.plan.slots)
        self.moved.last_pause = now - move.frozen_at
        self.moved.worst_pause = max(self.moved.worst_pause, self.moved.last_pause)

    # --- what people see -------------------------------------------------------------------------------------------

    def table(self, now: float) -> list[tuple[str, int, str, str, int, int, int]]:
        """A row for each node: name, incarnation, address, state, weight, slots that it owns and that it should own."""
        goal, counts = wanted(self.map), self.map.counts()
        fit = self._fit(now)
        return [
            (
                *(node.name, node.incarnation, f"{node.host}:{node.port}"),
                node.state if number in fit else f"{node.state}, silent",
                *(node.weight, counts[number], goal[number]),
            )
            for number, node in enumerate(self.map.nodes)
            if node is not None
        ]
