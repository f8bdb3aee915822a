"""A primary: passes each request to the secondary that owns its key, and the answer back."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Final

import gevent

from ckv import core, errors
from ckv.address import Address
from ckv.cluster.directory import OWNERS
from ckv.cluster.map import Map
from ckv.cluster.options import Options
from ckv.cluster.slots import SlotMap
from ckv.cluster.view import Health, of_list, of_map
from ckv.commands import COMMANDS, Command
from ckv.net.callee import Callee
from ckv.net.connecting import connect_by, log_in_as
from ckv.net.peer import Peer
from ckv.net.relogin import log_in_again
from ckv.net.waiting import WaitingRoom
from ckv.node import picture, readiness
from ckv.node.direct import of_list as owners_by_list
from ckv.node.direct import of_map as owners_by_map
from ckv.node.everywhere import Everywhere
from ckv.node.figures import Info, of_peers
from ckv.node.following import Following
from ckv.node.handlers import own, pong
from ckv.node.lanes import new_lanes, route_loops
from ckv.node.leading import NO_CLUSTER, STATIC, TICK, Leading
from ckv.node.node import Node, Wait
from ckv.node.owners import AllOwners
from ckv.node.parts import exec_at_owners
from ckv.node.refusals import LOOK_EVERY, Refusals
from ckv.node.reloading import Reloading, of_primary
from ckv.node.routing import Routing
from ckv.node.survey import surveys
from ckv.persistent.opening import open_coordinator
from ckv.protocol.greeting import Share, calls
from ckv.protocol.handler import LATER, NO_CORES, Caller, Handler
from ckv.protocol.limits import BULKY_BYTES, Limits
from ckv.settings.roles import PrimarySettings
from ckv.values import BYTES_PER_CHARACTER, SURELY_FITS, checked_key, checked_value

VALUES: Final = frozenset({"value", "expected"})
"""The arguments that may be as long as a value."""

MAX_WORD_BYTES: Final = 5 * 1024
"""How long any other one may be, such as the digits of an amount."""

FILES_OF_A_PEER: Final = 2
"""Open files for each secondary: the old connection may still be there while the next one is tried."""


EXPECTED_NODES: Final = 32
"""Secondaries that may join, for whose connections open files are kept."""


def run(settings: PrimarySettings) -> int:
    """Runs the role until it is told to stop; the exit code."""
    log_in_as(settings.account)
    connect_by(settings.certificates)
    limits = Limits(max_value_bytes=settings.max_value_bytes, max_connections=settings.max_connections)
    limits = replace(limits, max_in_flight=limits.max_answers_in_flight)
    if not settings.secondaries:
        return _lead(settings, limits)
    files = FILES_OF_A_PEER * len(settings.secondaries)
    node = _node(settings, limits, files)
    node.reread = Reloading(settings, of_primary(node, None)).reload
    room = WaitingRoom()
    count = len(settings.secondaries)
    lanes = new_lanes(count, node.slow)
    nodes = list(map(str, settings.secondaries)) if settings.cluster_clients else []
    peers: list[Peer] = []
    refusals = Refusals(peers, nodes)
    for number, (address, lane) in enumerate(zip(settings.secondaries, lanes, strict=True), 1):
        peer = Peer(
            *(node.poller, address, limits, settings.call_timeout, settings.node_wait, room, lane),
            greeting=partial(refusals.greeting, number) if nodes else partial(calls, Share(number, count)),
        )
        peers.append(peer)
    slots: SlotMap[Callee] = SlotMap(peers)
    if settings.cluster_clients:
        node.placing.view = of_list(settings.secondaries)
        node.placing.health = lambda number: health_of(peers[number])
    for peer in peers:
        peer.start()
    node.when_reloaded = lambda: log_in_again([peer.login for peer in peers])

    def figures() -> Info:
        return node.figures() | of_peers(peers) | NO_CLUSTER

    looking = node.loop.timer(LOOK_EVERY, LOOK_EVERY)
    if settings.cluster_clients:
        looking.start(refusals.look)
    try:
        return node.serve(
            Address(settings.bind, settings.port),
            handlers(slots, settings.max_value_bytes)
            | Everywhere(peers, allow_flush=settings.allow_flush).handlers
            | {"EXEC": exec_at_owners(slots, limits.max_message_bytes)}
            | {OWNERS: own(OWNERS, lambda: owners_by_list(peers, slots.owners).pack())}
            | surveys(figures, node.clients, lambda: peers, gevent.spawn_later),
            f"secondaries={','.join(map(str, settings.secondaries))}",
            _answer_all,
            route_loops(slots.owners, peers, lanes, settings.max_value_bytes) if core.COMPILED else NO_CORES,
            others=STATIC,
            figures=figures,
            checks={"secondaries": lambda: readiness.secondaries(peers)},
            picture=lambda: picture.of_list(peers, slots.owners, node.address),
        )
    finally:
        looking.stop()
        for peer in peers:
            peer.close()


def _node(settings: PrimarySettings, limits: Limits, files: int) -> Node:
    return Node(
        *("primary", limits, settings.drain_timeout, files),
        keys_max=settings.keys_max,
        slow_time=settings.slow_time,
        http=settings.http,
        users=settings.users,
        certificates=settings.certificates,
        rereads=settings.rereads,
    )


def _lead(settings: PrimarySettings, limits: Limits) -> int:
    """As :func:`run`, without a list: secondaries join, and are dealt slots."""
    files = FILES_OF_A_PEER * EXPECTED_NODES
    node = _node(settings, limits, files)
    routing = Routing(node.poller, settings, limits, node.slow)
    node.when_reloaded = lambda: log_in_again([peer.login for peer in routing.peers.values()])
    options = Options(settle=settings.settle, move_slots=settings.move_slots, cluster_clients=settings.cluster_clients)
    following = Following(settings.follow, limits, routing) if settings.follow is not None else None
    leading = Leading(routing, options, open_coordinator(settings.coordinator), following)
    node.reread = Reloading(settings, of_primary(node, leading)).reload

    def tell(world: Map) -> None:
        node.placing.view = of_map(world)

    if settings.cluster_clients:
        tell(routing.router.map)
        routing.when_taken = tell

    def owners() -> object:
        return owners_by_map(routing.router.map, routing.peers).pack()

    exec_ = exec_at_owners(routing.slots, limits.max_message_bytes)
    routing.exec_again = exec_

    def figures() -> Info:
        return node.figures() | of_peers(list(routing.peers.values())) | leading.figures()

    def drain(wait: Wait) -> int:
        # First: who is told to stop answers no secondary, however long what is under way takes.
        if leading.coordinating is not None:
            leading.coordinating.step_down()
        return _answer_all(wait)

    ticker = node.loop.timer(TICK, TICK)
    ticker.start(leading.tick)
    if leading.coordinating is not None:
        leading.coordinating.begin(lambda: node.address, settings.advertise)
    if following is not None:
        following.begin()
    try:
        return node.serve(
            Address(settings.bind, settings.port),
            handlers(routing.slots, settings.max_value_bytes)
            | AllOwners(routing, allow_flush=settings.allow_flush).handlers
            | {"EXEC": exec_, OWNERS: own(OWNERS, owners)}
            | surveys(figures, node.clients, routing.peers.values, gevent.spawn_later),
            f"secondaries=those that join coordinator={leading.coordinator_name} follows={settings.follow or '-'}",
            drain,
            routing.cores,
            others=leading.handlers,
            figures=figures,
            checks={
                "slots": lambda: readiness.slots(leading.leader, routing, time.monotonic()),
                "secondaries": lambda: readiness.secondaries(routing.peers.values()),
            },
            picture=lambda: picture.of_map(
                *(leading.leader, routing.router.map, routing.peers, node.address),
                leading.primaries,
                time.monotonic(),
            ),
        )
    finally:
        ticker.stop()
        if leading.coordinating is not None:
            leading.coordinating.end()
        if following is not None:
            following.end()
        routing.close()


def _answer_all(wait: Wait) -> int:
    wait(lambda: True)
    return 0


def health_of(peer: Peer) -> Health:
    """What clients in cluster mode are told of a node. One for which calls wait may be back before they go there."""
    if peer.is_refused:
        return "refused"
    return "down" if peer.is_down else "online"


def handlers(owners: SlotMap[Callee], max_value_bytes: int) -> dict[str, Handler]:
    """One handler per command but INFO: those with a key go to its owner, the others are the node's own, or refused."""
    made = {
        command.name: _forward(command, owners, max_value_bytes) if command.has_owner else _keeps_nothing
        for command in COMMANDS.values()
    }
    return made | {"PING": pong}


def _keeps_nothing(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
    # Not an answer of 0 or of no keys, which whoever took this node for a secondary would believe.
    raise errors.Refused("a primary keeps no records; ask the secondary")


def _forward(command: Command, owners: SlotMap[Callee], max_value_bytes: int) -> Handler:
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
