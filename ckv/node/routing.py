"""A primary's way by a map that changes: the nodes that it is connected to, and the requests that wait for an owner.

Each node is told the map's version before the first request that goes by it, on the same connection (EPOCH). What a
node has not carried out, because it is not sure to be the owner, is made again later, but not when its slot has gone
to another owner meanwhile. No request of the same key may overtake it: so all of its slot wait until each that was sent
before has come back or was answered, for which the node is asked how far it is, by EPOCH as well
(:mod:`ckv.node.guard`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Set
from functools import partial
from typing import Any, Final

from ckv import core, errors
from ckv.address import Address
from ckv.cluster.map import Map, Node, Version, read
from ckv.cluster.messages import EPOCH, MAP
from ckv.cluster.router import Router
from ckv.cluster.slots import SlotMap, slot_of
from ckv.commands import COMMANDS
from ckv.net.asker import Asker
from ckv.net.callee import Callee
from ckv.net.parking import Parking
from ckv.net.peer import Peer
from ckv.net.poller import Poller
from ckv.net.waiting import Parked, WaitingRoom
from ckv.node.lanes import RouteLoop, new_lanes, route_loops
from ckv.node.steps import asked_of
from ckv.protocol.batch import Batch
from ckv.protocol.defects import meant
from ckv.protocol.handler import LATER, NO_CORES, Call, Caller, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.messages import is_bulky
from ckv.protocol.slow import SlowLog
from ckv.settings.roles import PrimarySettings
from ckv.values import checked_key

EXEC: Final = "EXEC"

CALM: Final = 1.0
"""Seconds without a request of a slot that comes back, after which that was another time."""

LEARNED_WITHIN: Final = 2.0
"""Seconds within which a later map is learned that a node has; else this primary is cut off from where maps are."""

NUMBERS: Final = 2**16
"""What a slot's target may be: the number of a node, or one of those that stand for none."""


class Routing:
    """The nodes of a map, by their numbers."""

    def __init__(self, poller: Poller, settings: PrimarySettings, limits: Limits, slow: SlowLog) -> None:
        self.router = Router()
        self._slow = slow
        self.parking = Parking(time.monotonic, settings.call_timeout / 2)
        self.peers: dict[int, Peer] = {}
        self.when_taken: Callable[[Map], None] = lambda _world: None
        """Is told each map that it goes by."""
        self.when_behind: Callable[[], None] = lambda: None
        """Is called when a node is found to have a later map than this."""
        self._nodes: list[Callee] = [self.parking] * NUMBERS
        self.slots: SlotMap[Callee] = SlotMap(self._nodes, self.router.targets)
        self._lanes: dict[int, Any] = {}
        self._retries: set[int] = set()
        """Slots of which a node has not carried out a request, that is to be tried again."""
        self._unsure: dict[int, set[int]] = {}
        """Of nodes of which it is not known whether more comes back, by number, such slots."""
        self._asked: set[Peer] = set()
        """The nodes that were asked how far they are."""
        self._bouncing: dict[int, tuple[float, float]] = {}
        """Of such slots, when the first and the last request came back."""
        self._later: tuple[Version, float] | None = None
        """The latest map that a node was found to have, while this is none as late, and since when there is one."""
        self._patience = settings.call_timeout / 2
        self._room = WaitingRoom()
        self._new_peer = partial(self._peer_of, poller, limits, settings)
        self.limits = limits
        self.cores = NO_CORES
        """What passes requests on that need no look at their parts."""
        if core.COMPILED:
            self.cores = route_loops(self.router.targets, [], [], settings.max_value_bytes)
        self.exec_again: Handler = _no_step
        """The handler of EXEC: what was to be one step of a node may be for several by now."""

    def close(self) -> None:
        """Ends the connections."""
        for peer in self.peers.values():
            peer.close()

    def peer_of(self, node: Node) -> Peer | None:
        """The way to a node; None while it is not in the map with this name and address."""
        number = self.router.map.number_of(node.name)
        peer = self.peers.get(number) if number is not None else None
        return peer if peer is not None and peer.address == Address(node.host, node.port) else None

    def lacks(self, now: float) -> Version | None:
        """The version of a map by which a node goes, and which was not learned in time; None if all is well, as far as
        is known."""
        if self._later is None or now - self._later[1] <= LEARNED_WITHIN:
            return None
        return self._later[0]

    # --- maps --------------------------------------------------------------------------------------------------------

    def take(self, world: Map, *, push: bool, found: bool = False) -> None:
        """Goes by this map from now on, if :meth:`Router.take_map` does. ``push``: the nodes are told all of it.

        Requests of slots that move wait until those that are on their way to the old owner have come back, or are
        answered, if they were not parked before: whoever does not lead hears of a move when it is over.
        """
        before, parked = self.router.map, self.router.moving
        change = self.router.take_map(world, found=found)
        if change is None:
            return
        if self._later is not None and world.version >= self._later[0]:
            self._later = None
        for number, _ in change.removed:
            self._nodes[number] = self.parking
            self._slow.latencies.drop(self._lanes.pop(number, None))
            self._unsure.pop(number, None)
            self.peers.pop(number).close()
        for number, node in change.added:
            peer = self._nodes[number] = self.peers[number] = self._new_peer(number, Address(node.host, node.port))
            peer.start()
        new = {number for number, _ in change.added}  # which are told when they are connected
        for number, peer in self.peers.items():
            if number not in new and self.router.version[0]:
                if push:
                    peer.tell(MAP, (world.pack(),))
                peer.tell(EPOCH, (self.router.version,))
        moved = self._moved(before, world, parked)
        for number, slots in moved.items():
            self._unsure.setdefault(number, set()).update(slots)
            self._retries |= slots
        self._retries &= self._not_yet()
        self.router.wait(self._retries)
        self._bouncing.clear()
        self._targets_changed()
        self._dispatch(self.parking.take())
        for number, slots in moved.items():
            self._hold_back(self.peers[number])
            self._ask_how_far(number, frozenset(slots), soon=True)
        self.when_taken(world)

    def _moved(self, before: Map, world: Map, parked: Set[int]) -> dict[int, set[int]]:
        """The slots that have another owner now, and were not parked, by the number of the owner before, if that is
        connected."""
        moved: dict[int, set[int]] = {}
        for slot, (old, new) in enumerate(zip(before.owners, world.owners, strict=True)):
            if old != new and slot not in parked and old in self.peers and self.peers[old].session is not None:
                moved.setdefault(old, set()).add(slot)
        return moved

    def _peer_of(
        self, poller: Poller, limits: Limits, settings: PrimarySettings, number: int, address: Address
    ) -> Peer:
        (lane,) = new_lanes(1, self._slow)
        self._lanes[number] = lane
        return Peer(
            *(poller, address, limits, settings.call_timeout, settings.node_wait, self._room, lane),
            introduce=partial(self._introduction, number),
            came_back=partial(self._came_back, number),
        )

    def _introduction(self, number: int) -> list[tuple[str, tuple[object, ...]]]:
        world = self.router.map
        node = world.nodes[number]
        if not world.version[0] or node is None:
            return []  # it is no leader's, and says no more than who is there
        # With the name: another node may listen there by now, which would serve what is not its own.
        return [(MAP, (world.pack(), node.name)), (EPOCH, (world.version,))]

    def _targets_changed(self) -> None:
        for loop in self.cores[:2]:
            if isinstance(loop, RouteLoop):
                loop.route_by(self.router.targets, self.peers, self._lanes)

    # --- requests that wait ------------------------------------------------------------------------------------------

    def park(self, slots: Iterable[int]) -> None:
        """The requests of these slots wait for the next map."""
        self.router.park(slots)
        self._targets_changed()
        for peer in self.peers.values():
            self._hold_back(peer)

    def release(self, slots: Iterable[int]) -> None:
        """They do not move after all."""
        self.router.release(slots)
        self.router.wait(self._not_yet())
        self._targets_changed()
        self._dispatch(self.parking.take())

    def tick(self) -> None:
        """To be called some ten times a second."""
        self.parking.expire()
        self._try_again()
        for number, slots in list(self._unsure.items()):
            self._ask_how_far(number, frozenset(slots))

    def _try_again(self) -> None:
        """Makes what has come back, where nothing more can."""
        if retries := self._retries - self._not_yet():
            self._retries -= retries
            for slot in retries:
                self.router.unpark(slot)
            self._targets_changed()
            self._dispatch(self.parking.take())

    def _not_yet(self) -> set[int]:
        """The slots of which more may come back."""
        return set().union(*self._unsure.values())

    def _ask_how_far(self, number: int, slots: frozenset[int], *, soon: bool = False) -> None:
        """Goes on when the node has answered what it was asked before: at the next tick, or as ``soon`` as that. It
        does not serve the slots until then, and what waits for them does not come to it: so none overtakes another
        one."""
        peer = self.peers[number]
        session = peer.session
        if session is None:
            self._is_sure(number, slots)  # What was sent is answered: that the connection broke.
        elif peer not in self._asked:

            def told(error: object, turned_away: object) -> None:
                self._asked.discard(peer)
                if error is None and self.peers.get(number) is peer:
                    # Only now it may serve the slots: all that it turned away until it was asked is here.
                    peer.tell(EPOCH, (self.router.version, turned_away))
                    self._is_sure(number, slots)
                    if soon:
                        self._try_again()

            self._asked.add(peer)
            session.pack_alone(Batch([EPOCH, (self.router.version,)], [(Asker(told), 0)]))
            peer.flush_later()

    def _is_sure(self, number: int, slots: Iterable[int]) -> None:
        """No more of these comes back from the node."""
        unsure = self._unsure.pop(number, set()).difference(slots)
        if unsure:
            self._unsure[number] = unsure

    def _hold_back(self, peer: Peer) -> None:
        """Has what is not sent yet wait, if its slot has no owner now: it is to be made before what comes from now on.
        What is for others is sent at once."""
        waited_for: set[int] = set()
        for batch in peer.take_queued():
            requests: list[Any] = batch.requests
            for method, params, (caller, msgid) in zip(requests[::2], requests[1::2], batch.calls, strict=True):
                try:
                    if self._waits(method, params):
                        self.parking.call(method, params, caller, msgid, large=is_bulky(params))
                        waited_for |= _slots_of(method, params)
                    else:
                        self._make(method, params, caller, msgid)
                except Exception as problem:  # noqa: BLE001 - as above
                    caller.respond(msgid, errors.to_wire(meant(problem, method)), None)
        if self._let_none_overtake(waited_for):
            self._targets_changed()

    def _came_back(self, number: int, call: Call | Batch | None, error: object) -> bool:
        """A node has not carried out a call, as the slot of its key is not its own. See :data:`Bounced`."""
        peer = self.peers.get(number)
        if peer is None:
            return False
        unsure = self._unsure.setdefault(number, set())
        if call is None:
            return False  # its caller was told before that it took too long
        if not isinstance(call, Batch):
            # What it was is not known any more: it was large, behind a large answer, or has waited there.
            caller, msgid = call
            moving = errors.Moving("the slot of the key has moved; the request was not carried out")
            caller.respond(msgid, errors.to_wire(moving), None)
            return True
        version = read(str(error).split()[1])

        def look(slot: int) -> None:
            # Since another one came back from there all of its slot wait, so that none has gone to a new owner.
            if slot not in unsure and self.router.not_owner(slot, number, version) == "late":
                raise errors.Moving(f"slot {slot} has another owner by now; the request was not carried out")
            if version > self.router.version:
                self._is_behind(version)
            self._retries.add(slot)
            unsure.add(slot)
            self._wait_no_longer_than_others(slot)

        self._again(call, look)
        self._targets_changed()
        self._hold_back(peer)
        return True

    def _is_behind(self, version: Version) -> None:
        latest, since = self._later or (version, time.monotonic())
        self._later = (max(latest, version), since)
        self.when_behind()  # where nobody else decides, nodes that have a later map say so when they join

    def _wait_no_longer_than_others(self, slot: int) -> None:
        """Raises Moving when all requests of the slot have come back for as long as one may wait."""
        now = time.monotonic()
        first, last = self._bouncing.get(slot, (now, now))
        if now - last > CALM:
            first = now
        self._bouncing[slot] = (first, now)
        if now - first > self._patience:
            raise errors.Moving(f"no node has served slot {slot} for {self._patience:g} s; nothing was done")

    def _again(self, batch: Batch, look: Callable[[int], None]) -> None:
        """Has calls that were not carried out wait before all that came later. ``look`` is told of their slots first,
        has these wait, and raises a CkvError where nothing is to be done again."""
        requests: list[Any] = batch.requests
        for method, params, (caller, msgid) in zip(requests[::2], requests[1::2], batch.calls, strict=True):
            try:
                for slot in _slots_of(method, params):
                    look(slot)
                self.parking.came_back(method, params, caller, msgid)
            except Exception as problem:  # noqa: BLE001 - those behind it are nowhere else any more
                caller.respond(msgid, errors.to_wire(meant(problem, method)), None)

    def _dispatch(self, parked: list[Parked]) -> None:
        """Makes the calls of which all slots have an owner; the others wait on, and what is behind them for the same
        slots."""
        back: list[Parked] = []
        waited_for: set[int] = set()
        for each in parked:
            slots = _slots_of(each.method, each.params)
            if not waited_for.isdisjoint(slots) or self._waits(each.method, each.params):
                back.append(each)
                waited_for |= slots
            else:
                try:
                    self._make(each.method, each.params, each.caller, each.msgid)
                except Exception as error:  # noqa: BLE001 - as above
                    each.caller.respond(each.msgid, errors.to_wire(meant(error, each.method)), None)
                each.end_hold()
        self.parking.put_back(back)
        if self._let_none_overtake(waited_for):
            self._targets_changed()

    def _let_none_overtake(self, slots: set[int]) -> bool:
        """What waits has these slots: has what comes now for any of them wait as well; whether that changes anything.
        A step waits for one slot, and its others may have owners."""
        others = {slot for slot in slots if self.router.target(slot) is not None}
        self.router.wait(others)
        self._retries |= others
        return bool(others)

    def _waits(self, method: str, params: tuple[object, ...]) -> bool:
        """Whether a slot of the request has no owner now."""
        return any(self._nodes[self.router.targets[slot]] is self.parking for slot in _slots_of(method, params))

    def _make(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        """Makes a call whose slots have owners. Raises a CkvError."""
        if not caller.is_open:
            caller.settle()  # Nobody would hear of it, and whoever asked may have asked again elsewhere.
        elif method != EXEC:
            (slot,) = _slots_of(method, params)
            self._nodes[self.router.targets[slot]].call(method, params, caller, msgid, large=is_bulky(params))
        elif (result := self.exec_again(caller, msgid, params)) is not LATER:
            caller.respond(msgid, None, result)


def _no_step(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
    raise errors.UnknownMethod(EXEC)


def _slots_of(method: str, params: tuple[object, ...]) -> set[int]:
    """Those of the keys of a request that was passed on, so that it has all that it needs."""
    if method != EXEC:
        return {slot_of(checked_key(params[COMMANDS[method].arguments.index("key")]))}
    _, watched, requests = asked_of(params)
    return {slot_of(checked_key(key)) for key in (*(key for key, _ in watched), *(args[0] for _, args in requests))}
