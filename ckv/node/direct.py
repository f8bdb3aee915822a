"""Clients that go to the owners of keys by themselves: what a primary tells them, and how a secondary takes them.

A secondary that has joined a primary serves them as it serves primaries: by the version of a map that they have said,
no request of a slot that it does not own (:mod:`ckv.node.guard`). One of a list looks at no request, so it takes only
those clients that come by the list which it serves itself, and turns them out when it serves another one.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Protocol

from ckv import errors
from ckv.address import Address
from ckv.cluster.directory import DIRECT, Directory, Place, unpack_introduction
from ckv.cluster.identity import Identity
from ckv.cluster.map import Map
from ckv.node.guard import Guard, between_turns, turn_out
from ckv.node.share import OwnShare
from ckv.protocol.greeting import PROCESS, Share
from ckv.protocol.handler import Caller, Handler


class Reached(Protocol):
    """A secondary, as its primary knows it: :class:`ckv.net.peer.Peer`."""

    @property
    def address(self) -> Address: ...
    @property
    def process(self) -> str: ...
    @property
    def connected(self) -> bool: ...


def of_list(nodes: Sequence[Reached], owners: array[int]) -> Directory:
    """What the primary of a list tells."""
    return Directory("list", (0, 0), [_place(node) for node in nodes], owners)


def of_map(world: Map, nodes: Mapping[int, Reached]) -> Directory:
    """What a primary tells that routes by a map; ``nodes``: those that it reaches, by number."""
    places: list[Place | None] = [None] * len(world.nodes)
    # One without a term is no leader's: a primary that was started anew has it until it knows who owns what.
    for number, node in nodes.items() if world.version[0] else ():
        entry = world.nodes[number] if number < len(places) else None
        if entry is not None:
            places[number] = _place(node, entry.name)
    return Directory("map", world.version, places, world.owners)


def _place(node: Reached, name: str = "") -> Place:
    return Place(node.address.host, node.address.port, node.process if node.connected else "", name)


class DirectClients:
    """What a secondary answers to them."""

    def __init__(self, identity: Identity, guard: Guard, share: OwnShare) -> None:
        self._identity = identity
        self._guard = guard
        self._share = share

    @property
    def handlers(self) -> dict[str, Handler]:
        """The methods, by their names."""
        return {DIRECT: between_turns(self.direct)}

    def direct(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of DIRECT: the caller asks by this map, or this list, from now on. Raises WrongNode when it means
        another process, another node, or another list; the answer to one that goes by a later map than is known here
        may be ``Moving``."""
        try:
            process, basis, first, second, name = unpack_introduction(params)
        except ValueError as error:
            raise errors.BadArguments(f"DIRECT takes what OWNERS has told: {error}") from None
        if process != PROCESS:
            turn_out(caller)
            raise errors.WrongNode("another process than this one is meant")
        if basis == "map":
            # A primary that takes this node for another one has asked this process who it is.
            if name != self._identity.name:
                turn_out(caller)
                raise errors.WrongNode(f"this is {self._identity.name or 'a node without a name yet'}, not {name}")
            return self._guard.epoch(caller, msgid, ((first, second),))
        self._share.admit(caller, Share(first, second))
        return True


def ask_the_primary(_caller: Caller, _msgid: int, _params: tuple[object, ...]) -> object:
    """The handler of OWNERS at a secondary."""
    raise errors.Refused("a secondary does not say who owns what; ask the primary")
