"""A primary without a list: it takes secondaries in, deals the slots to them, and moves them.

:class:`ckv.cluster.leader.Leader` decides; what it wants done is done here. Of one that follows another one nothing is
wanted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import gevent

from ckv import errors, events
from ckv.address import Address
from ckv.cluster.authority import Authority
from ckv.cluster.leader import Leader
from ckv.cluster.map import Node as MapNode
from ckv.cluster.map import show
from ckv.cluster.memory import Memory
from ckv.cluster.messages import (
    ASK_THE_LEADER,
    BEAT,
    DRAIN,
    FOLLOW,
    JOIN,
    LEAVE,
    REBALANCE,
    TABLE,
    Again,
    Answer,
    Beat,
    Beaten,
    Elsewhere,
    FenceOff,
    Follow,
    Followed,
    Join,
    Leave,
    Order,
    Prepare,
    Static,
)
from ckv.cluster.options import Options
from ckv.cluster.outputs import Lead, Output, Park, Publish, Replace, Route, ToNode, Unpark
from ckv.cluster.roster import Known
from ckv.net.asker import Asker
from ckv.node.changes import tell_changes
from ckv.node.coordinating import EMPTY, Coordinating
from ckv.node.figures import Info
from ckv.node.following import Following
from ckv.node.link import FAILURES, Link
from ckv.node.problems import STUCK_SECONDS
from ckv.node.routing import Routing
from ckv.outage import Outage
from ckv.persistent.coordinator import Coordinator
from ckv.protocol.handler import Caller, Handler

log = logging.getLogger(__name__)

TICK: Final = 0.05
"""Seconds between two looks at what is due."""

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for the answer of a node that is in no map: to fence a process may take a wait for its locks."""


NO_CLUSTER: Final[Info] = {
    "cluster_map": "-",
    "cluster_map_epoch": 0,
    "cluster_nodes": 0,
    "cluster_away": "-",
    "cluster_leads": 0,
    **EMPTY,
    "cluster_waits_for": "-",
    "cluster_rebalances": 0,
    "cluster_moves": 0,
    "cluster_move": "-",
    "cluster_move_seconds": 0.0,
    "cluster_moves_called_off": 0,
    "cluster_moved_slots": 0,
    "cluster_moved_rows": 0,
    "cluster_last_pause_seconds": 0.0,
    "cluster_worst_pause_seconds": 0.0,
    "cluster_last_error": "-",
    "parked_requests": 0,
    "parked_refused": 0,
}
"""What INFO says where there is a list."""

STATIC: Final[dict[str, Handler]] = dict.fromkeys(
    (JOIN, BEAT, LEAVE, FOLLOW), lambda _caller, _msgid, _params: Static().pack()
)
"""What a primary with a list answers to secondaries that would join, and to primaries that would follow it."""


class Leading:
    """What a leader decides, carried out; or, while another primary leads, where that is."""

    def __init__(
        self,
        routing: Routing,
        options: Options | None = None,
        coordinator: Coordinator | None = None,
        following: Following | None = None,
    ) -> None:
        """``coordinator``: where several primaries decide which of them leads; None for the only one. ``following``:
        for one that never does."""
        self.leader = Leader(options or Options())
        self.coordinating: Coordinating | None = None
        self._authority: Authority
        self._following = following
        self._routing = routing
        self._carrying = False
        self._leads = False
        """Whether that was logged."""
        self._called_off = 0
        """Moves that were, when that was looked at last."""
        self._waits_for = ""
        """What it was found to wait for last."""
        self._stuck, self._waiting, self._conflict = Outage(log), Outage(log), Outage(log)
        self.leader.roster.reaches = self._reaches
        if following is not None:
            self._authority = following
        elif coordinator is None:
            self._authority = Memory(self.leader, first_term=int(time.time()))
            self.leader.gather(time.monotonic())
        else:
            self.coordinating = Coordinating(coordinator, self.leader, routing, self.carry_out)
            self._authority = self.coordinating.candidate

    @property
    def coordinator_name(self) -> str:
        """What texts call what decides who leads."""
        return self.coordinating.name if self.coordinating is not None else "-"

    @property
    def primaries(self) -> tuple[Address, ...]:
        """Those that are known beside this one, be it among them or not."""
        if self._following is not None:
            return (self._following.primary,)
        return self.coordinating.primaries if self.coordinating is not None else ()

    @property
    def handlers(self) -> dict[str, Handler]:
        """What secondaries ask, other primaries, and operators."""
        return {
            JOIN: lambda _caller, _msgid, params: self._hear(Join.unpack, self.leader.join, params),
            BEAT: lambda _caller, _msgid, params: self._hear(Beat.unpack, self.leader.beat, params),
            LEAVE: lambda _caller, _msgid, params: self._hear(Leave.unpack, self.leader.leave, params),
            FOLLOW: self._follow,
            TABLE: self._slots,
            DRAIN: self._drain,
            REBALANCE: self._rebalance,
        }

    def figures(self) -> Info:
        """What INFO says of the cluster."""
        leader, moved, parking = self.leader, self.leader.moved, self._routing.parking
        move = leader.move
        way = self._following or self.coordinating
        world = leader.map if leader.leads or way is None else self._routing.router.map
        return {
            "cluster_map": show(world.version) if world.version[0] else "-",
            "cluster_map_epoch": world.version[1] if world.version[0] else 0,
            "cluster_nodes": sum(node is not None for node in world.nodes),
            "cluster_away": ", ".join(node.name for node in world.nodes if node and node.state == "away") or "-",
            "cluster_leads": int(leader.leads),
            **EMPTY,
            **(way.figures() if way is not None else {}),
            "cluster_waits_for": self._waits_for or "-",
            "cluster_rebalances": int(world.rebalances),
            "cluster_moves": moved.moves,
            "cluster_move": f"{move.title}: {move.meanwhile}" if move is not None else "-",
            "cluster_move_seconds": round(time.monotonic() - move.since, 1) if move is not None else 0.0,
            "cluster_moves_called_off": moved.called_off,
            "cluster_moved_slots": moved.slots,
            "cluster_moved_rows": moved.rows,
            "cluster_last_pause_seconds": round(moved.last_pause, 4),
            "cluster_worst_pause_seconds": round(moved.worst_pause, 4),
            "cluster_last_error": moved.last_error or "-",
            "parked_requests": len(parking),
            "parked_refused": parking.refused,
        }

    def tick(self) -> None:
        """To be called every :data:`TICK` seconds."""
        now = time.monotonic()
        if self.coordinating is not None:
            self.coordinating.tick()
        self.leader.tick(now)
        self.carry_out()
        if self._leads and self.leader.gathers:
            log.warning(events.LEADS_LATER)
        self._leads = self.leader.leads
        self._routing.tick()
        self._tell_moves(now)
        waits_for = self.leader.waits_for(now)
        if waits_for:
            self._waiting.tell(events.DEALING_WAITS, waits_for)
        else:
            self._waiting.end(events.DEALS)
        self._waits_for = waits_for
        in_conflict = self.leader.roster.in_conflict
        if in_conflict:
            self._conflict.tell(events.FILES_IN_CONFLICT, ", ".join(in_conflict))
        else:
            self._conflict.end(events.FILES_FIT)

    def _tell_moves(self, now: float) -> None:
        """Logs a move that stands still, and one that was called off."""
        move, moved = self.leader.move, self.leader.moved
        if move is not None and now - move.since >= STUCK_SECONDS:
            self._stuck.tell(events.MOVE_STUCK, move.title, STUCK_SECONDS)
        else:
            self._stuck.end(events.MOVE_GOES_ON)
        if moved.called_off > self._called_off:
            log.warning(events.MOVE_CALLED_OFF, moved.last_error, extra={"once_a_minute": "called off"})
        self._called_off = moved.called_off

    def carry_out(self) -> None:
        """Does what the leader has decided."""
        if self._carrying:
            return  # whoever does it comes to it
        self._carrying = True
        try:
            while outputs := self.leader.take():
                for output in outputs:
                    self._do(output)
        finally:
            self._carrying = False
        if self.coordinating is not None:
            self.coordinating.pass_on()

    def _do(self, output: Output) -> None:
        now = time.monotonic()
        match output:
            case Lead(remembered):
                self._authority.lead(remembered, now)
            case Replace(following):
                self._authority.replace(following, now)
            case Publish(world):
                if self._leads:
                    tell_changes(self._routing.router.map, world)
                else:
                    log.info(events.LEADS, show(world.version))
                self._leads = True
                self._routing.take(world, push=True)
            case Route(world):
                self._routing.take(world, push=False, found=True)
            case Park(slots):
                self._routing.park(slots)
            case Unpark(slots):
                self._routing.release(slots)
            case ToNode(node, order):
                self._ask(node, order)

    def _reaches(self, known: Known) -> bool:
        peer = self._routing.peer_of(known.node)
        return peer is not None and peer.connected

    def _ask(self, node: MapNode, order: Order) -> None:
        peer = self._routing.peer_of(node)

        def told(error: object, result: object) -> None:
            if error is not None:
                known = errors.from_wire(error)
                if isinstance(order, Prepare) and isinstance(known, errors.CallTimeout):
                    self._ask(node, order)  # it takes its time: the leader knows for how long it may
                    return
                log.info(events.ORDER_REFUSED, node.name, order.method, known)
            self.leader.answered(order, result if error is None else None, time.monotonic())
            self.carry_out()

        try:
            if peer is not None:
                peer.ask(order.method, tuple(order.pack()), Asker(told))
            elif isinstance(order, FenceOff):
                gevent.spawn(self._ask_apart, node, order, told)
            else:
                raise errors.NodeDown("it is not in the map of this primary")
        except errors.CkvError as error:
            told(errors.to_wire(error), None)

    def _ask_apart(self, node: MapNode, order: Order, told: Callable[[object, object], None]) -> None:
        """Asks a node that has its address in no map: there may be none with it before somebody else is fenced."""
        link = Link(self._routing.limits)
        try:
            link.connect(Address(node.host, node.port))
            result = link.call(order.method, list(order.pack()), ANSWER_TIMEOUT)
        except FAILURES as error:
            known = error if isinstance(error, errors.CkvError) else errors.NodeLost(str(error))
            told(errors.to_wire(known), None)
        else:
            told(None, result)
        finally:
            link.close()

    # --- what is asked -----------------------------------------------------------------------------------------------

    def _hear(
        self, unpack: Callable[[object], Any], answer: Callable[[Any, float], Answer], params: tuple[object, ...]
    ) -> object:
        try:
            said = unpack(params)
        except ValueError as error:
            raise errors.BadArguments(str(error)) from None
        answered = self._authority.instead() or answer(said, time.monotonic())
        if isinstance(answered, Beaten) and self.coordinating is not None:
            answered = answered._replace(primaries=self.coordinating.primaries)
        self.carry_out()
        return answered.pack()

    def _follow(self, _caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        try:
            known = Follow.unpack(params).version
        except ValueError as error:
            raise errors.BadArguments(str(error)) from None
        return Followed(self._routing.router.map_for(known)).pack()

    def _look_who_leads(self) -> None:
        """Raises Refused, with where the leader is, if it is another primary."""
        match self._authority.instead():
            case Elsewhere(host, port):
                raise errors.Refused(f"{ASK_THE_LEADER}{Address(host, port)}")
            case Again():
                raise errors.Refused("another primary leads, or will: which one is not known yet")

    def _slots(self, _caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
        self._look_who_leads()
        return [[list(row) for row in self.leader.table(time.monotonic())], self.figures()]

    def _drain(self, _caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        self._look_who_leads()
        match params:
            case (str() as name,):
                why = self.leader.drain(name, time.monotonic())
                self.carry_out()
                if why:
                    raise errors.Refused(why)
                return True
        raise errors.BadArguments("DRAIN takes the name of a node")

    def _rebalance(self, _caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        self._look_who_leads()
        match params:
            case (bool() as on,):
                why = self.leader.rebalance(on, time.monotonic())
                self.carry_out()
                if why:
                    raise errors.Refused(why)
                return True
        raise errors.BadArguments("REBALANCE takes true or false")
