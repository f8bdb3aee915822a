"""A secondary's part in a registered cluster: it takes maps, and hands slots over to other nodes while it serves.

:class:`ckv.cluster.member.Member` decides, the store (:mod:`ckv.store.moving`) does what takes time, a greenlet goes on
with that, and the guard (:mod:`ckv.node.guard`) turns away what is another node's.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable, Iterator, Sized
from typing import Any, ClassVar, Final, Protocol

import gevent

from ckv import errors, events
from ckv.cluster.duties import EndMove, Forget, StartFreeze, StartPrepare, Tell
from ckv.cluster.map import Map, Node, pack_slots
from ckv.cluster.member import Denied, Member
from ckv.cluster.messages import EPOCH, FREEZE, KEPT, MAP, PREPARE, Beat, Freeze, Join, Leave, Prepare
from ckv.cluster.roster import CONFLICT
from ckv.cluster.slots import SLOTS
from ckv.node.copying import NotCopied
from ckv.node.guard import Guard, between_turns, turn_out
from ckv.node.slotset import ALL, ANY, set_of
from ckv.outage import Outage
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.store.memory.slots import SlotSet
from ckv.store.moving import NotTaken

log = logging.getLogger(__name__)

BREATH: Final = 0.0005
"""Seconds for everybody else between two steps."""

RETRY: Final = 5.0
"""Seconds until it is tried again to save what the database did not take."""

_Asked = tuple[Caller, int]


class Leaving(Protocol):
    """Slots that leave: :class:`ckv.store.moving.Move`, :class:`ckv.store.copying.Copy`,
    :class:`ckv.store.filed.FiledMove`."""

    slots: SlotSet
    rows: int
    prepared: bool

    @property
    def keys(self) -> int: ...
    @property
    def rounds(self) -> int: ...
    def prepare(self) -> Iterator[object]: ...
    def freeze(self) -> None: ...
    def hand_over(self) -> Iterator[object]: ...


class Movable(Protocol):
    """The store: :class:`ckv.store.store.Store`, :class:`ckv.store.alone.MemoryStore`,
    :class:`ckv.store.filed.Filed`."""

    @property
    def absent(self) -> Sized: ...
    @property
    def holds(self) -> bool: ...
    @property
    def move(self) -> Leaving | None: ...
    def begin_move(self, slots: SlotSet) -> Leaving: ...
    def end_move(self) -> None: ...
    def forget(self, slots: SlotSet) -> Iterator[None]: ...


class Passing(Protocol):
    """What other nodes are told of records: :class:`ckv.node.warming.Warming`, :class:`ckv.node.copying.Copying`,
    :class:`ckv.node.filing.Filing`."""

    has_tier: ClassVar[bool]
    """Whether records are anywhere but in memory."""
    is_quick: ClassVar[bool]
    """Whether slots can be served at once of which there is nothing in memory."""

    @property
    def handlers(self) -> dict[str, Handler]: ...
    @property
    def warmed(self) -> int: ...
    @property
    def is_idle(self) -> bool: ...
    def begin(self, move: int, target: Node) -> None: ...
    def begin_to_save(self) -> None:
        """What is here from before the node joined is saved from now on, until all of it is replaced."""

    def pass_on(self, step: object) -> None: ...
    def replace(self, here: frozenset[int], received: frozenset[int]) -> Iterator[None]:
        """Drops the records in memory of some slots, from this call on, and makes records of others of what has come.
        When it is gone through they can be served."""

    def look(self) -> None: ...
    def end(self) -> None: ...


class Moves:
    """Carries out what a member of the cluster is to do."""

    def __init__(
        self,
        member: Member,
        store: Movable,
        guard: Guard,
        tell: Callable[[Join | Beat | Leave], None],
        passing: Passing,
    ) -> None:
        """``tell`` sends a message to the primary."""
        self._member = member
        self._store = store
        self._guard = guard
        self._tell = tell
        self._passing = passing
        self._asked: dict[type, _Asked] = {}
        """Who asked for what the move does now."""
        self._preparing = -1
        """The number of the move."""
        self._worker: gevent.Greenlet[..., None] | None = None
        """Goes on with the move."""
        self._forgetters: dict[Any, frozenset[int]] = {}
        """Who drops what there is of which slots, and puts there what was received."""
        self._forgets = 0
        self._last_forget = array("L", [0]) * SLOTS
        """For each slot the last one that drops it."""
        self._served = b""
        self._may_be_here = bytearray([1]) * SLOTS
        """1 for each slot of which there may be records, or something that is to be saved."""
        self._saves_first = passing.has_tier
        """What is here was taken in before the node was in any map, and is nobody else's: where records are in memory
        alone it is dropped."""
        self._saving = False
        """That is being saved."""

    @property
    def handlers(self) -> dict[str, Handler]:
        """What a primary asks of the node, and another secondary, beside requests."""
        asked = {MAP: self._map, EPOCH: self._guard.epoch, PREPARE: self._prepare, FREEZE: self._freeze}
        return {name: between_turns(handler) for name, handler in asked.items()} | self._passing.handlers

    def carry_out(self) -> None:
        """Does what the member has decided. To be called after whatever may have changed its mind."""
        outputs = self._member.take()
        while outputs:
            for output in outputs:
                match output:
                    case StartPrepare(number, slots, target):
                        self._passing.begin(number, target)
                        move = self._store.begin_move(set_of(slots))
                        self._worker = gevent.spawn(self._go_on, PREPARE, number, move, move.prepare())
                    case StartFreeze(number, _):
                        self._start_freeze(number)
                    case EndMove():
                        self._end_move()
                    case Forget(slots, lost, received):
                        self._forget(slots, lost, received)
                    case Tell(message):
                        self._tell(message)
            outputs = self._member.take()
        self._passing.look()
        self._note_served()
        self._guard.look_again()

    def tick(self) -> None:
        """To be called some ten times a second."""
        self._member.tick(time.monotonic())
        self.carry_out()
        self._guard.tick()

    def end(self) -> None:
        """Stops whatever goes on."""
        gevent.killall([*self._forgetters, *filter(None, [self._worker])], block=False)
        self._passing.end()

    @property
    def warmed(self) -> int:
        """Records that were loaded here because another node had them in memory."""
        return self._passing.warmed

    @property
    def has_told_all(self) -> bool:
        """Whether other nodes have heard what was in memory here of the slots that are theirs."""
        return not self._forgetters and self._passing.is_idle

    def figures(self) -> dict[str, int]:
        """What a BEAT tells of it."""
        move = self._store.move
        rows = move.keys + move.rows + move.rounds if move is not None else 0
        return {"move_rows": rows, CONFLICT: int(bool(self._member.conflict))}

    # --- what a primary asks -----------------------------------------------------------------------------------------

    def _map(self, caller: Caller, _msgid: int, params: tuple[object, ...]) -> object:
        packed, *meant = params or (b"",)
        name = self._member.identity.name
        if meant and meant != [name]:
            turn_out(caller)
            raise errors.WrongNode(f"this is {name or 'a node without a name yet'}")
        if not self._member.joined:
            # It has all that it was asked for, and a list may be what it is of. It is told the map when it has joined.
            raise errors.Refused("this node has not joined")
        try:
            self._member.take_map(Map.unpack(packed))
        except ValueError as error:
            raise errors.BadArguments(f"MAP takes a map: {error}") from None
        self.carry_out()
        return list(self._member.version)

    def _prepare(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            asked = Prepare.unpack(params)
        except ValueError as error:
            raise errors.BadArguments(str(error)) from None
        if asked.move == self._preparing and self._store.move is not None:
            # It was asked before, by somebody who did not wait for the answer.
            if self._store.move.prepared:
                return self._prepared(self._store.move)
            return self._begun(Prepare, caller, msgid)
        if self._saving:
            raise errors.Refused("what was written before the node joined is not saved yet")
        try:
            self._member.prepare(asked.move, asked.version, asked.slots, asked.target)
        except Denied as denied:
            raise errors.Refused(str(denied)) from None
        self._preparing = asked.move
        return self._begun(Prepare, caller, msgid)

    def _freeze(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            asked = Freeze.unpack(params)
        except ValueError as error:
            raise errors.BadArguments(str(error)) from None
        move = self._store.move
        if move is None or not move.prepared:
            raise errors.Refused("the move is not prepared")
        try:
            self._member.freeze(asked.move, asked.version)
        except Denied as denied:
            raise errors.Refused(str(denied)) from None
        return self._begun(Freeze, caller, msgid)

    def _begun(self, order: type, caller: Caller, msgid: int) -> object:
        self._answer(order, errors.Refused("it was asked for again, and that is answered"))
        self._asked[order] = (caller, msgid)
        self.carry_out()
        return LATER

    def _answer(self, order: type, error: errors.CkvError | None, result: object = None) -> None:
        asked = self._asked.pop(order, None)
        if asked is not None:
            caller, msgid = asked
            caller.respond(msgid, errors.to_wire(error) if error is not None else None, result)

    # --- the move ----------------------------------------------------------------------------------------------------

    def _start_freeze(self, number: int) -> None:
        move = self._store.move
        assert move is not None
        move.freeze()
        self._worker = gevent.spawn(self._go_on, FREEZE, number, move, move.hand_over())

    def _go_on(self, what: str, number: int, move: Leaving, steps: Iterator[object]) -> None:
        """Goes through the steps, and answers whoever asked for them."""
        order = Prepare if what == PREPARE else Freeze
        began = time.monotonic()
        rows = move.rows
        try:
            for step in steps:
                self._passing.pass_on(step)
                gevent.sleep(BREATH)
                if self._store.move is not move:
                    return  # it is over, and somebody was told so
        except NotCopied as error:
            log.warning(events.MOVE_STOPPED, sum(move.slots.flags), error)
            self._answer(order, None, [KEPT, b"", str(error)])
            return
        except NotTaken as error:
            log.warning(events.MOVE_STOPPED, sum(move.slots.flags), error)
            self._answer(order, None, [KEPT, pack_slots(error.slots), str(error)])
            return
        if what == PREPARE:
            self._answer(order, None, self._prepared(move))
        elif self._member.released(number):
            took = round(1000 * (time.monotonic() - began))
            self._answer(order, None, ["released", move.rows - rows, took])
        else:
            self._answer(order, errors.Refused("the move is over"))

    def _prepared(self, move: Leaving) -> list[object]:
        return ["prepared", move.keys, move.rows, move.rounds]

    def _end_move(self) -> None:
        if self._worker is not None:
            self._worker.kill(block=False)
            self._worker = None
        self._preparing = -1
        self._store.end_move()
        for order in list(self._asked):
            self._answer(order, errors.Refused("the move is over"))

    # --- copies ------------------------------------------------------------------------------------------------------

    def _note_served(self) -> None:
        """There may be records of all that is served."""
        serves = bytes(self._member.serves)
        if serves != self._served:
            self._served = serves
            both = int.from_bytes(self._may_be_here, "big") | int.from_bytes(serves, "big")
            self._may_be_here = bytearray(both.to_bytes(SLOTS, "big"))

    def _forget(self, slots: frozenset[int], lost: frozenset[int], received: frozenset[int]) -> None:
        """Drops all that there may be of these slots. Where there is nothing, as in most that come, at once. What was
        received takes its place."""
        if self._saving:
            return  # All slots are dropped when it is saved, and none is served before that.
        if self._saves_first:
            self._saves_first = False
            if not self._is_empty:
                self._saving = True
                self._passing.begin_to_save()
                self._drop_later(slots, self._save_and_forget())
                return
            self._may_be_here = bytearray(SLOTS)
        here = frozenset(slot for slot in slots if self._may_be_here[slot] or not self._passing.is_quick)
        self._member.forgotten(slots - here - received)
        if lost:
            log.warning(events.SLOTS_LOST, len(lost))
        if here or received:
            self._drop_later(here | received, self._passing.replace(here, received))

    @property
    def _is_empty(self) -> bool:
        return not (self._store.holds or len(self._store.absent))

    def _save_and_forget(self) -> Iterator[None]:
        """For what was taken in before any map: it is saved, for whoever owns it now."""
        trouble = Outage(log)
        while True:
            move = self._store.begin_move(ALL)
            try:
                for _ in move.prepare():
                    yield
                move.freeze()
                for _ in move.hand_over():
                    yield
                break
            except NotTaken as error:
                trouble.tell(events.SAVE_BEFORE_JOINING, error)
                until = time.monotonic() + RETRY
                while time.monotonic() < until:
                    yield
            finally:
                self._store.end_move()
        trouble.end(events.SAVED_BEFORE_JOINING)
        yield from self._store.forget(ALL)
        yield from self._passing.replace(ANY, frozenset())
        self._saving = False
        self._may_be_here = bytearray(SLOTS)

    def _drop_later(self, slots: frozenset[int], steps: Iterator[None]) -> None:
        self._forgets += 1
        for slot in slots:
            self._last_forget[slot] = self._forgets
        # What an earlier one still drops, or puts there, is dropped after it.
        earlier = [other for other, theirs in self._forgetters.items() if not theirs.isdisjoint(slots)]
        self._forgetters[gevent.spawn(self._drop, self._forgets, slots, steps, earlier)] = slots

    def _drop(
        self,
        number: int,
        slots: frozenset[int],
        steps: Iterator[None],
        earlier: list[Any],
    ) -> None:
        try:
            gevent.joinall(earlier)
            for _ in steps:
                gevent.sleep(BREATH)
        finally:
            self._forgetters.pop(gevent.getcurrent(), None)
        # Those of a later one are not done, and must not be served while it drops what there is.
        done = [slot for slot in slots if self._last_forget[slot] == number]
        for slot in done:
            self._may_be_here[slot] = 0
        self._served = b""
        self._member.forgotten(done)
        self.carry_out()
