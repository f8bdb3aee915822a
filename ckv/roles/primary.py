"""A primary: passes each request to the secondary that owns its key, and the answer back."""

from __future__ import annotations

from ckv import errors
from ckv.cluster.slots import SlotMap
from ckv.commands import COMMANDS, Command
from ckv.roles.node import Node, pong
from ckv.settings import Address, PrimarySettings
from ckv.values import SURELY_FITS, checked_key
from ckv.wire.client import Peer
from ckv.wire.limits import Limits
from ckv.wire.msgpackrpc import LATER, Caller, Handler


def run(settings: PrimarySettings) -> int:
    """Runs the role until it is told to stop; the exit code."""
    limits = Limits(max_value_bytes=settings.max_value_bytes, max_connections=settings.max_connections)
    node = Node("primary", limits, settings.drain_timeout)
    peers = [Peer(node.loop, node.outbox, address, limits, settings.call_timeout) for address in settings.secondaries]
    for peer in peers:
        peer.start()
    try:
        return node.serve(
            Address(settings.bind, settings.port),
            handlers(SlotMap(peers)),
            f"secondaries={','.join(map(str, settings.secondaries))}",
            lambda _wait: 0,
        )
    finally:
        for peer in peers:
            peer.close()


def handlers(owners: SlotMap[Peer]) -> dict[str, Handler]:
    """One handler per command: those with a key go to its owner, the others are the node's own."""
    return {
        command.name: pong if command.key is None else _forward(command, command.key, owners)
        for command in COMMANDS.values()
    }


def _forward(command: Command, position: int, owners: SlotMap[Peer]) -> Handler:
    name = command.name
    count = len(command.arguments)
    owner = owners.owner

    def forward(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        if len(params) != count:
            raise errors.BadArguments(f"{len(params)} arguments; it is {command.usage}")
        key = params[position]
        if key.__class__ is not str or len(key) > SURELY_FITS:
            key = checked_key(key)
        owner(key).call(name, params, caller, msgid)
        return LATER

    return forward
