"""The leader of a cluster: takes nodes in, deals the slots, moves them, one decision at a time.

Every decision is a new map, which the authority has to accept before it counts. While one is on its way, and while
slots are frozen, nothing else is decided; a move that only prepares gives way to everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ckv.cluster.dealing import Plan, deal, is_possible, next_move, up, without
from ckv.cluster.gathering import Gathering
from ckv.cluster.keeping import Kept
from ckv.cluster.map import NO_VERSION, NOBODY, Key, Map, Version
from ckv.cluster.messages import (
    KEPT,
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
from ckv.cluster.options import Options
from ckv.cluster.outputs import Lead, Output, Park, Publish, Replace, Route, ToNode, Unpark
from ckv.cluster.roster import Known, Roster, Row
from ckv.cluster.slots import SLOTS
from ckv.cluster.watch import Watch

FIRST_WAIT: Final = 1.0
"""Seconds without a newcomer before the first slots of all are dealt: who comes with others has a part of them."""

PROGRESS: Final = "move_rows"
"""The figure in a BEAT that changes while a move goes on."""


class Leader:
    """One primary, as far as it leads or wants to."""

    def __init__(self, options: Options, slots: int = SLOTS) -> None:
        self.options = options
        self.map = Map.empty(slots)
        """The last one that the authority accepted."""
        self.leads = False
        self._rebalances: bool | None = None
        """What an operator wants of the next map; None: as it is."""
        self.moved = Moved()
        self.move: Move | None = None
        self.roster = Roster(options.lease)
        self._silence = options.silence
        self.watch = Watch(options.node_timeout, self._silence)
        self.certain_until = float("inf")
        """Until when nobody else can lead, by the clock of this process: before that it confirms nodes."""
        self._ticked = float("-inf")
        self._out: list[Output] = []
        self._gathering: Gathering | None = None
        self._gathered = False
        """It is the only one that could lead since before the nodes were asked for the map."""
        self._following: Map | None = None
        """What the authority has been asked to accept."""
        self._first = NO_VERSION
        """That of the map by which it began to lead."""
        self._unsettled = 0.0
        """When a node came or went last."""
        self._not_before = 0.0
        """When the next move may begin."""
        self._at_rest: tuple[object, ...] = ()
        """For what there is no move to make."""
        self._moves = 0
        self._ordered: Plan | None = None
        self._kept = Kept()

    def take(self) -> list[Output]:
        """What is to be done, in this order, after each of the calls below."""
        out, self._out = self._out, []
        return out

    # --- what the authority says -----------------------------------------------------------------------------------

    def gather(self, now: float) -> None:
        """It is the only primary that could lead, and nobody but the nodes knows the map."""
        self.map = Map.empty(len(self.map.owners))
        self._gathering = Gathering(now, self.options.lease, self.map)
        self.watch.begin(now)
        self._gathered = True

    def elected(self, world: Map, now: float) -> None:
        """It leads from now on, by this map, which nobody knows yet."""
        self._gathering = self._following = self.move = self._rebalances = None
        if not self._gathered:  # else nobody has led while the nodes were asked for the map
            self.watch.begin(now)
            self._gathering = Gathering(now, self.options.lease, world)
        self._gathered = False
        self.leads = True
        self.map = world
        self._first = world.version
        self.roster.remember(world)
        self._unsettled = now
        self._out.append(Publish(world))
        self._decide(now)

    def deposed(self) -> None:
        """It leads no more."""
        if self.move is not None and self.move.phase != "preparing":
            self._out.append(Unpark(self.move.plan.slots))
        self._gathering = self._following = self.move = self._ordered = None
        self.leads = self._gathered = False
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
        if move is not None:
            self.moved.end(move, following.version, now)
        self._out.append(Publish(following))
        self._decide(now)

    # --- what nodes say --------------------------------------------------------------------------------------------

    def join(self, ask: Join, now: float) -> Answer:
        """A process wants to be a node."""
        if not (self.leads or self.gathers):
            return Again()
        why = self.roster.why_not(ask, self.map, now)
        if not why and self.leads and self.watch.is_inactive((ask.name, ask.incarnation)):
            why = f"{ask.name}, incarnation {ask.incarnation}, is fenced, or has ended"
        if why:
            return NoEntry(why)
        if ask.map is not None:
            self._doubt(ask.map.version, now)
        if self.leads or ask.incarnation:
            if self.roster.join(ask, self.map, now):
                self._unsettled = now
            ask = ask._replace(incarnation=self.roster[ask.name].incarnation)
        if self._gathering is not None:
            found = self._gathering.hear(ask, now)
            if found is not None and not self.leads:
                self._out.append(Route(found))
        if not ask.incarnation:
            return Again()  # which numbers its name had is not known yet
        self.tick(now)
        return Joined(ask.incarnation, self.options.lease, self.map, self.options.cluster_clients)

    def beat(self, said: Beat, now: float) -> Answer:
        """A node lives."""
        self._doubt(said.version, now)
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

    def _doubt(self, version: Version, now: float) -> None:
        """A node has the map of this version. One that is neither its own nor before them was made by somebody of whom
        it does not know: by another authority, or by this one before that lost it. So the map that it leads by was not
        the last one: it leads no more until all nodes have said what they have."""
        latest, first = (self._following or self.map).version, self._first
        if self.leads and (version > latest or (version < first and version[1] >= first[1])):
            self.deposed()
            self.gather(now)

    def _confirms(self, known: Known, now: float) -> bool:
        """Whether the node may serve for another lease."""
        return self.leads and now < self.certain_until and self.watch.may_confirm(known.key, known.tier)

    def leave(self, said: Leave, now: float) -> Answer:
        """A node was told to stop."""
        known = self.roster.find(said)
        if known is None or not self.leads or now >= self.certain_until:
            return Again()
        known.heard, known.leaves = now, True
        stays = self.moved.keeps(known.key, self.roster, now - self._silence)
        known.gone = not stays and self._owned(known.key) == 0
        self.tick(now)
        left = self._owned(known.key)
        is_early = now - self.watch.since <= max(self._silence, self.options.node_timeout)  # some may come yet
        return Left(not (stays or (left and (is_early or self._takers(known, now)))), left)

    def _owned(self, key: Key) -> int:
        """How many slots a process has, by what is decided already."""
        world = self._following or self.map
        return len(world.slots_of(key[0])) if world.has(key) else 0

    def _takers(self, leaving: Known, now: float) -> bool:
        """Whether somebody else can take slots."""
        return any(
            not (other.drains or other.leaves) and now - other.heard <= self._silence
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
            case Prepare(), ["prepared", *_] if now >= self.certain_until:
                # Nobody would serve what is frozen until the authority takes maps again.
                self._call_off("it is not certain that this primary leads", now)
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
            case _, [str() as word, bytes() as slots, str() as why, *_] if word == KEPT:
                is_new = self._kept.hear(move, slots, self.map, now)
                # What it can give is asked for at once: a node that leaves has not much time.
                self._call_off(f"{move.source.name}: {why}", now, pause=not is_new)
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
            names = ", ".join(sorted(each.name for each in self.roster))
            return f"there is no node {name}: {names or 'none has joined'}"
        if not self._takers(known, now):
            return f"nobody could take the slots of {name}"
        known.drains = True
        self._decide(now)
        return ""

    def rebalance(self, on: bool, now: float) -> str:
        """Whether slots are to move to level the shares, by whichever primary; what speaks against it, or nothing. Who
        leaves or drains gives its own away in any case. It is so when the map says so."""
        if not self.leads:
            return "this primary does not lead"
        self._rebalances = on
        self._decide(now)
        return ""

    def send(self, slots: Sequence[int], name: str, now: float) -> str:
        """Moves these slots, all of one node, to the node of that name; what speaks against it, or nothing."""
        if not self.leads:
            return "this primary does not lead"
        target = self.map.number_of(name)
        sources = {self.map.owners[slot] for slot in slots}
        if target not in up(self.map.nodes):
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
        if gathering is not None and gathering.is_done(self.watch, now):
            self._gathering = None
            if not self.leads:
                self._out.append(Lead(gathering.remembered))
        elif gathering is not None:
            for key in gathering.missing(self.watch):
                if self.watch.stands_still(key, now):
                    self._fence(key, now)
        self._decide(now)

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
        if self._gathering is not None:
            return  # a later map than that of the authority may be found, and others who serve by it
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
        free = world.owners.count(NOBODY)
        if free and not (free == len(world.owners) and now - self._unsettled < FIRST_WAIT):
            owners = deal(world, self.roster.fit(world, now, self._silence))
            if owners is not None:
                world = world.successor(owners=owners)
        if self._rebalances not in (None, world.rebalances):
            world = world.successor(rebalances=self._rebalances)
        return world if world is self.map else Map(self.map.successor().version, *world.content)

    def _fence(self, silent: Key, now: float) -> None:
        """Has a node see to it that this process writes nothing any more: one that is in the map, if there is any."""
        others = (each for each in self.roster if each.name != silent[0] and now - each.heard <= self._silence)
        known = max(others, key=self.roster.reaches, default=None)
        if known is not None and (order := self.watch.fence(silent, self.map.version[0], now)) is not None:
            self._out.append(ToNode(known.node, order))

    def _replace(self, following: Map) -> None:
        self._following = following
        self._out.append(Replace(following))

    def _begin_move(self, now: float) -> None:
        if now < self._not_before:
            return
        level = self.map.rebalances and now - self._unsettled >= self.options.settle
        fit, (kept, shut) = self._fit(now), self._kept.left_out(self.map, now)
        at_rest = (self.map.version, fit, level, kept, shut)
        plan, self._ordered = self._ordered, None
        if plan is None and self._at_rest == at_rest:
            return
        if plan is None or not is_possible(plan, self.map, fit):
            plan = next_move(self.map, fit, self.options.move_slots, level=level, kept=kept, shut=shut)
        if plan is None:
            self._at_rest = at_rest
            return
        self._moves += 1
        self.move = move = Move.begin(self._moves, plan, self.map, now)
        self._out.append(ToNode(move.source, move.asked))

    def _call_off(self, why: str, now: float, *, pause: bool = True) -> None:
        """The same owners by a later map: only that ends what the source has begun."""
        if self.move is not None:
            self.moved.call_off(self.move, why)
        self._not_before = now + self.options.pause * pause
        self._replace(self.map.successor())

    # --- what people see -------------------------------------------------------------------------------------------

    @property
    def gathers(self) -> bool:
        """Whether it asks the nodes for the map, and leads by none."""
        return self._gathering is not None and not self.leads

    def waits_for(self, now: float) -> str:
        """What it waits for before it decides anything; nothing if it decides, or has just begun."""
        return self._gathering.waits_for(self.watch, now) if self._gathering is not None else ""

    def table(self, now: float) -> list[Row]:
        """A row for each node."""
        return self.roster.table(self.map, now, self._silence)
