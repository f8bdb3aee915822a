"""Requests that are for this node, and those that are not: what a secondary of a registered cluster looks at.

Whoever routes by a map says so (EPOCH, once on each connection and map). As long as no slot was lost since that map,
its requests need not be looked at: each of them is for a slot that is served here, and costs what it costs without a
cluster. All others are looked at one by one, and answered ``NotOwner`` where another node is to be asked; nothing was
done then.

Whoever routes by a map makes such a request again, and none may overtake it. So what comes behind it on the same
connection, and asks for one of its slots, is turned away as well, until an EPOCH says that all which were are known to
be: it has the number that the EPOCH before was answered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import gevent

from ckv import errors
from ckv.cluster.map import Version, show, unpack_version
from ckv.cluster.slots import slot_of
from ckv.commands import COMMANDS
from ckv.node.steps import slots_of_step
from ckv.protocol.defects import meant
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.session import Session
from ckv.values import checked_key

PATIENCE: Final = 1.0
"""Seconds that a request waits for a map that is on its way, or for a slot that is about to be served."""

MOST_WAITING: Final = 10_000
"""Requests that wait for such a slot."""

SLOTS_NAMED: Final = 8
"""Slots that an error names."""

OF_A_LIST: Final = "this node is one of a list of secondaries, and in no map"


class Knows(Protocol):
    """What is to be known of the cluster: :class:`ckv.cluster.member.Member`."""

    joined: bool
    static: bool
    serves: bytearray
    plain_from: Version

    @property
    def version(self) -> Version: ...
    @property
    def is_settled(self) -> bool: ...
    def leased(self, now: float) -> bool: ...
    def is_forgetting(self, slot: int) -> bool: ...
    def is_behind(self, declared: Version, now: float) -> bool: ...


class Doors(Protocol):
    """Who is served without a look: :class:`ckv.net.server.Server`."""

    def trust_nobody(self) -> None: ...
    def trust(self, caller: Caller, trusted: bool) -> bool: ...


class Sockets(Protocol):
    """Where answers leave: :class:`ckv.net.poller.Poller`."""

    look: Callable[[], None] | None

    def drop_answers(self) -> None: ...


class _Request(NamedTuple):
    """One that waits for its slot."""

    until: float
    slots: frozenset[int]
    handler: Handler
    caller: Caller
    msgid: int
    params: tuple[object, ...]


class _Late(NamedTuple):
    """Whoever routes by a map that is not here yet, and is not read from meanwhile."""

    until: float
    version: Version
    caller: Caller
    msgid: int


@dataclass(slots=True)
class _Router:
    """Whoever routes by a map."""

    version: Version
    turned_away: int = 0
    """Requests of it that were answered NotOwner."""
    refused: dict[int, int] = field(default_factory=dict)
    """The slots that it is not served: the number of the last such request that asked for them."""


class Guard:
    """Looks at requests. All of its methods are called in the loop of the node."""

    def __init__(self, member: Knows, clock: Callable[[], float]) -> None:
        self._member = member
        self._clock = clock
        self._doors: Doors | None = None
        self._sockets: Sockets | None = None
        self._routers: dict[Caller, _Router] = {}
        self._late: list[_Late] = []
        self._waiting: list[_Request] = []
        self._waited_for: set[int] = set()
        """The slots of their keys."""
        self._leased = False
        """Whether the node had its lease when that was looked at last."""
        self._looked_at: object = None
        """What decided then whom to trust, beside what each of them has said."""
        self._unsettled: set[Caller] = set()
        """Routers that have to be looked at again all the same."""
        self._forget_at = 0
        """How many routers there have to be for those that are closed to be forgotten."""
        self.turned_away = 0
        """Requests that were answered NotOwner."""

    def opens(self, doors: Doors, sockets: Sockets) -> None:
        """Where the node is served."""
        self._doors, self._sockets = doors, sockets
        self.look_again()

    @property
    def _looks(self) -> bool:
        # Who says EPOCH routes by a map, so this node is in one, whether it knows that already or not.
        return self._member.joined or (bool(self._routers) and not self._member.static)

    def guarded(self, name: str, handler: Handler) -> Handler:
        """The handler of this command that looks first."""
        names = COMMANDS[name].arguments
        if name == "EXEC":
            return self._look(handler, len(names), slots_of_step)
        if not COMMANDS[name].has_owner:
            return handler
        place = names.index("key")
        return self._look(handler, len(names), lambda params: frozenset((slot_of(checked_key(params[place])),)))

    def _look(self, handler: Handler, count: int, slots_of: Callable[[tuple[object, ...]], frozenset[int]]) -> Handler:
        """One that looks whether all slots of a request with so many arguments are served here."""

        def look(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if not self._looks or len(params) != count:
                return handler(caller, msgid, params)
            slots = slots_of(params)
            now = self._clock()
            if self._has_to_wait(caller, slots):
                if len(self._waiting) >= MOST_WAITING:
                    # Not NotOwner: whoever would make it again may have others that wait before it.
                    raise errors.Moving("too many requests wait for slots that are soon served; nothing was done")
                self._let_wait(_Request(now + PATIENCE, slots, handler, caller, msgid, params))
                return LATER
            self._check(caller, slots, now)
            return handler(caller, msgid, params)

        return look

    def when_settled(self, handler: Handler) -> Handler:
        """For what is about all keys, whoever asks: while slots are on their way there may be copies of what is another
        node's by now. Whoever routes by a map asks the owners of that one, who are not all by another map."""

        def look(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if self._looks and not (self._member.is_settled and self._member.leased(self._clock())):
                raise errors.Moving("slots are on their way to or from this node, or it may not serve its own now")
            router, version = self._routers.get(caller), self._member.version
            if router is not None and router.version != version:
                raise errors.Moving(f"{show(version)} is the map here, and {show(router.version)} was asked by")
            return handler(caller, msgid, params)

        return look

    def serves(self, key: str) -> bool:
        """Whether the key is served here at this moment."""
        return not self._looks or self._serves((slot_of(key),), self._clock())

    def _serves(self, slots: Iterable[int], now: float) -> bool:
        serves = self._member.serves
        return all(serves[slot] for slot in slots) and self._member.leased(now)

    def _has_to_wait(self, caller: Caller, slots: frozenset[int]) -> bool:
        """Whether the slots are served in a moment, or others wait for one of them, which are answered first."""
        if not self._waited_for.isdisjoint(slots):
            return True
        if self._is_refused(caller, slots):
            return False
        member = self._member
        not_served = [slot for slot in slots if not member.serves[slot]]
        return bool(not_served) and all(map(member.is_forgetting, not_served))

    def _let_wait(self, request: _Request) -> None:
        self._waiting.append(request)
        self._waited_for |= request.slots

    def _is_refused(self, caller: Caller, slots: Iterable[int]) -> bool:
        """Whether something was turned away that has to be made before a request of these slots."""
        router = self._routers.get(caller)
        return router is not None and not router.refused.keys().isdisjoint(slots)

    def _check(self, caller: Caller, slots: frozenset[int], now: float) -> None:
        """Raises NotOwner where the slots are not served, or not to this caller."""
        if not self._serves(slots, now) or self._is_refused(caller, slots):
            raise self._turned_away(caller, slots)

    def _turned_away(self, caller: Caller, slots: frozenset[int]) -> errors.NotOwner:
        self.turned_away += 1
        if (router := self._routers.get(caller)) is not None:
            router.turned_away += 1
            router.refused |= dict.fromkeys(slots, router.turned_away)
            self._unsettled.add(caller)
        named = ", ".join(map(str, sorted(slots)[:SLOTS_NAMED]))
        what = f"slot {named} is not served" if len(slots) == 1 else f"not all of slots {named} are served"
        return errors.NotOwner(f"{show(self._member.version)} is the map here, and {what}")

    def epoch(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of EPOCH: from now on the caller routes by the map of this version. The result is the number of
        its requests that were turned away; with an earlier one of these it says that it has heard of all of them."""
        try:
            version, heard = _unpack_epoch(params)
        except ValueError as error:
            raise errors.BadArguments(f"EPOCH takes the version of a map: {error}") from None
        if self._member.static:
            turn_out(caller)
            raise errors.Refused(OF_A_LIST)
        now = self._clock()
        router = self._routers.setdefault(caller, _Router(version))
        router.version = version
        router.refused = {slot: number for slot, number in router.refused.items() if number > heard}
        late = _Late(now + PATIENCE, version, caller, msgid) if self._member.is_behind(version, now) else None
        if late is not None:
            self._late.append(late)
            caller.hold(late)
        # Not at all of the others: many come at once, when there is a new map.
        if not self._look_at_all_if_changed():
            self._look_at(caller, router)
        return router.turned_away if late is None else LATER

    @property
    def map_is_known(self) -> bool:
        """Whether all who route by a map, and are connected, do so by the one that the node has, or by a later one."""
        version = self._member.version
        return all(router.version >= version for caller, router in self._routers.items() if caller.is_open)

    def look_again(self) -> None:
        """What is served has changed: looks anew whom to trust, and goes on with whoever waited for it."""
        member = self._member
        if member.static and self._routers:
            for late in list(self._late):
                self._go_on(late, errors.to_wire(errors.Refused(OF_A_LIST)))
            for caller in self._routers:
                turn_out(caller)
        for late in [late for late in self._late if late.version <= member.version]:
            self._go_on(late, None)
        if not member.joined or len(self._routers) >= self._forget_at:
            self._forget_closed()
        if not self._look_at_all_if_changed():
            unsettled, self._unsettled = self._unsettled, set()
            for caller in unsettled:
                if caller.is_open and (router := self._routers.get(caller)) is not None:
                    self._look_at(caller, router)
        if self._waiting:
            self._serve_waiting()

    def _look_at_all_if_changed(self) -> bool:
        """Looks anew whom to trust, if the map, or the lease, is another one than when that was done last: whether."""
        doors, member = self._doors, self._member
        leased = member.leased(self._clock())
        looked_at = (leased, member.version, member.plain_from)
        if doors is None or not self._looks or looked_at == self._looked_at:
            return False
        had_lease, self._leased, self._looked_at = self._leased, leased, looked_at
        self._forget_closed()
        doors.trust_nobody()
        self._unsettled.clear()
        for caller, router in self._routers.items():
            self._look_at(caller, router)
        if self._sockets is not None:
            self._sockets.look = self._look_at_lease
            if had_lease and not leased:
                # The process may have stood still for as long as this, before it answered what waits to be sent.
                self._sockets.drop_answers()
        return True

    def _look_at(self, caller: Caller, router: _Router) -> None:
        """Looks whether to trust this one."""
        doors = self._doors
        is_plain = self._member.plain_from <= router.version <= self._member.version
        if doors is not None and not doors.trust(caller, self._leased and is_plain and not router.refused):
            self._unsettled.add(caller)

    def _forget_closed(self) -> None:
        self._routers = {caller: router for caller, router in self._routers.items() if caller.is_open}
        self._forget_at = 2 * len(self._routers) + 64

    def _look_at_lease(self) -> None:
        """Is called before anything is served, and before answers leave: what was answered before the lease was over
        is right whenever it arrives, and all else that was answered as if there were one must not leave."""
        if self._leased != self._member.leased(self._clock()):
            self.look_again()

    def tick(self) -> None:
        """To be called some ten times a second: nobody waits for long."""
        now = self._clock()
        for late in [late for late in self._late if late.until <= now]:
            text = f"{show(self._member.version)} is the map here, {show(late.version)} has not come yet"
            self._go_on(late, errors.to_wire(errors.Moving(text)))
        self.look_again()

    def _go_on(self, late: _Late, error: str | None) -> None:
        self._late.remove(late)
        router = self._routers.get(late.caller)
        late.caller.respond(late.msgid, error, router.turned_away if error is None and router is not None else None)
        late.caller.release(late)

    def _serve_waiting(self) -> None:
        now = self._clock()
        waiting, self._waiting = self._waiting, []
        self._waited_for.clear()
        answered: set[Caller] = set()
        for request in waiting:
            caller = request.caller
            if not caller.is_open:
                caller.settle()  # Nobody would hear of it, and whoever asked may have asked again elsewhere.
                continue
            if now < request.until and self._has_to_wait(caller, request.slots):
                self._let_wait(request)
                continue

            def serve(caller: Caller, msgid: int, params: tuple[object, ...], request: _Request = request) -> object:
                self._check(caller, request.slots, now)
                return request.handler(caller, msgid, params)

            answer_apart(serve, caller, request.msgid, request.params)
            answered.add(caller)
        # These answers leave before any to what was sent later, which is read in another turn.
        for caller in answered:
            caller.hold(self)
            gevent.get_hub().loop.run_callback(caller.release, self)


def between_turns(handler: Handler) -> Handler:
    """The handler of what changes who is served without a look.

    It is carried out when the turn of the loop is over in which it was read, and until then its caller is not served.
    So what was sent behind it is looked at, or is not, as is right afterwards. Compiled code is in no loop then.
    """

    def later(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        def carry_out() -> None:
            answer_apart(handler, caller, msgid, params)
            caller.release(carry_out)

        caller.hold(carry_out)
        gevent.get_hub().loop.run_callback(carry_out)
        return LATER

    return later


def answer_apart(handler: Handler, caller: Caller, msgid: int, params: tuple[object, ...]) -> None:
    """Carries a request out apart from the others of its connection, and answers it."""
    try:
        result = handler(caller, msgid, params)
    except Exception as error:  # noqa: BLE001 - those behind it have waited too
        caller.respond(msgid, errors.to_wire(meant(error, "a request that has waited")), None)
    else:
        if result is not LATER:
            caller.respond(msgid, None, result)


def turn_out(caller: Caller) -> None:
    """Serves nothing more of a connection: what comes over it is for another node, at whose address this one is."""
    if isinstance(caller, Session):
        caller.line.finish()
        caller.line.done()


def _unpack_epoch(params: tuple[Any, ...]) -> tuple[Version, int]:
    """The version, and of how many requests that were turned away the caller has heard. Raises ValueError."""
    version, *heard = params
    if len(heard) > 1 or not all(isinstance(number, int) for number in heard):
        raise ValueError("and perhaps a number")
    return unpack_version(version), sum(heard)
