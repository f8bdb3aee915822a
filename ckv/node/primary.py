"""A primary: passes each request to the secondary that owns its key, and the answer back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ckv import core, errors
from ckv.address import Address
from ckv.cluster.slots import SlotMap
from ckv.cluster.view import of_list
from ckv.commands import COMMANDS, Command
from ckv.net.peer import Peer
from ckv.net.waiting import WaitingRoom
from ckv.node.everywhere import Everywhere
from ckv.node.figures import of_peers
from ckv.node.node import Node, Wait, own, pong
from ckv.node.parts import exec_at_owners
from ckv.protocol.batch import BATCH_REQUESTS
from ckv.protocol.greeting import Share
from ckv.protocol.handler import LATER, NO_CORES, Caller, Cores, Handler, Outcome
from ckv.protocol.limits import BULKY_BYTES, MAX_PARTS_BYTES, Limits
from ckv.settings.roles import PrimarySettings
from ckv.values import BYTES_PER_CHARACTER, SURELY_FITS, checked_key, checked_value

VALUES: Final = frozenset({"value", "expected"})
"""The arguments that may be as long as a value."""

MAX_WORD_BYTES: Final = 5 * 1024
"""How long any other one may be, such as the digits of an amount."""

FILES_OF_A_PEER: Final = 2
"""Open files for each secondary: the old connection may still be there while the next one is tried."""


def run(settings: PrimarySettings) -> int:
    """Runs the role until it is told to stop; the exit code."""
    limits = Limits(max_value_bytes=settings.max_value_bytes, max_connections=settings.max_connections)
    limits = replace(limits, max_in_flight=limits.max_answers_in_flight)
    files = FILES_OF_A_PEER * len(settings.secondaries)
    node = Node("primary", limits, settings.drain_timeout, files, keys_max=settings.keys_max)
    room = WaitingRoom()
    count = len(settings.secondaries)
    lanes = new_lanes(count)
    nodes = list(map(str, settings.secondaries)) if settings.cluster_clients else []
    peers = [
        Peer(
            *(node.poller, address, limits, settings.call_timeout, settings.node_wait, room, lane),
            share=Share(number, count),
            nodes=nodes,
        )
        for number, (address, lane) in enumerate(zip(settings.secondaries, lanes, strict=True), 1)
    ]
    slots = SlotMap(peers)
    if settings.cluster_clients:
        node.placing.view = of_list(settings.secondaries)
    for peer in peers:
        peer.start()
    try:
        return node.serve(
            Address(settings.bind, settings.port),
            handlers(slots, settings.max_value_bytes)
            | Everywhere(peers, allow_flush=settings.allow_flush).handlers
            | {"EXEC": exec_at_owners(slots, limits.max_message_bytes)}
            | {"INFO": own("INFO", lambda: node.figures() | of_peers(peers))},
            f"secondaries={','.join(map(str, settings.secondaries))}",
            _answer_all,
            route_loops(slots, peers, lanes, settings.max_value_bytes) if core.COMPILED else NO_CORES,
        )
    finally:
        for peer in peers:
            peer.close()


def _answer_all(wait: Wait) -> int:
    wait(lambda: True)
    return 0


def new_lanes(count: int) -> list[Any]:
    """A lane for each node; None without the compiled modules."""
    if not core.COMPILED:
        return [None] * count
    from ckv.core.lane import Lane

    return [Lane(bulky_bytes=BULKY_BYTES) for _ in range(count)]


def route_loops(slots: SlotMap[Peer], peers: Sequence[Peer], lanes: list[Any], max_value_bytes: int) -> Cores:
    """What passes requests on that need no look at their parts. Only with the compiled modules; ``lanes`` are those of
    the ``peers``."""
    from ckv.core.route import RespRouter, Router

    bounds = {
        "batch_requests": BATCH_REQUESTS,
        "batch_bytes": MAX_PARTS_BYTES,
        "bulky_bytes": min(BULKY_BYTES, max_value_bytes),
    }
    rpc, resp = Router(slots.owners, lanes, **bounds), RespRouter(slots.owners, lanes, **bounds)
    return Cores(RouteLoop(rpc, peers, lanes), RouteLoop(resp, peers, lanes), resp_goes_ahead=True)


class RouteLoop:
    """A compiled loop for one protocol, and the nodes that it calls."""

    def __init__(self, router: Any, peers: Sequence[Peer], lanes: list[Any]) -> None:
        self._nodes = list(zip(peers, lanes, strict=True))
        self._router = router

    def serve_all(self, inbox: list[tuple[Any, bytes]], /) -> Sequence[Outcome]:
        """See :class:`ckv.protocol.handler.Core`."""
        for peer, lane in self._nodes:
            lane.open(peer.takes_calls())
        outcomes: Sequence[Outcome] = self._router.serve_all(inbox)
        for peer, lane in self._nodes:
            if lane.count:
                peer.flush_later()
        return outcomes

    def arrived(self, _arriving: Any, /) -> None:
        """There are none: what is large goes through the sessions."""


def handlers(owners: SlotMap[Peer], max_value_bytes: int) -> dict[str, Handler]:
    """One handler per command but INFO: those with a key go to its owner, the others are the node's own, or refused."""
    made = {
        command.name: _forward(command, owners, max_value_bytes) if command.has_owner else _keeps_nothing
        for command in COMMANDS.values()
    }
    return made | {"PING": pong}


def _keeps_nothing(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
    # Not an answer of 0 or of no keys, which whoever took this node for a secondary would believe.
    raise errors.Refused("a primary keeps no records; ask the secondary")


def _forward(command: Command, owners: SlotMap[Peer], max_value_bytes: int) -> Handler:
    """The handler of a command with a key among its arguments, be it any of them."""
    name = command.name
    # A value is checked here too: what one node may read can be too long for the next one when it is packed again.
    value_surely_fits = max_value_bytes // BYTES_PER_CHARACTER
    key_surely_fits = SURELY_FITS  # compiled code would look the name up in a dict for every request

    def forward_key(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            (key,) = params
        except ValueError:
            raise command.wrong_count(params) from None
        if type(key) is not str or len(key) > key_surely_fits:
            key = checked_key(key)
        owners.owner(key).call(name, params, caller, msgid)
        return LATER

    def forward_record(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            key, value = params
        except ValueError:
            raise command.wrong_count(params) from None
        if type(key) is not str or len(key) > key_surely_fits:
            key = checked_key(key)
        if (type(value) is not str and type(value) is not bytes) or len(value) > value_surely_fits:
            value = checked_value(value, max_value_bytes)
        owners.owner(key).call(name, params, caller, msgid, large=len(value) > BULKY_BYTES)
        return LATER

    names = command.arguments
    place = names.index("key")

    def forward_any(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        if len(params) != len(names):
            raise command.wrong_count(params)
        key = checked_key(params[place])
        size = 0
        for number, argument in enumerate(params):
            if number == place or type(argument) is int:
                continue
            if not isinstance(argument, (str, bytes)):
                kind = type(argument).__name__
                raise errors.BadArguments(f"{names[number]} must be a number, a str or a bin, not {kind}")
            most = max_value_bytes if names[number] in VALUES else MAX_WORD_BYTES
            size += len(checked_value(argument, most))
        owners.owner(key).call(name, params, caller, msgid, large=size > BULKY_BYTES)
        return LATER

    return {("key",): forward_key, ("key", "value"): forward_record}.get(names, forward_any)
