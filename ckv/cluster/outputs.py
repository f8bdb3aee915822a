"""What a leader wants to have done: by the authority, by the router of its primary, by nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ckv.cluster.map import Map, Node
from ckv.cluster.messages import Order


class Lead(NamedTuple):
    """The authority is to be told this map, and to lead; then :meth:`Leader.elected`."""

    remembered: Map


class Replace(NamedTuple):
    """The authority is to have ``following`` follow the map that there is; then :meth:`Leader.replaced`."""

    following: Map


class Publish(NamedTuple):
    """This is the map now: the router takes it, and all nodes and primaries are told."""

    map: Map


class Route(NamedTuple):
    """Requests can be routed by this map, though it need not be the current one."""

    map: Map


class Park(NamedTuple):
    """The requests of these slots wait from now on."""

    slots: Sequence[int]


class Unpark(NamedTuple):
    """The requests of these slots go where the map says: no move of this leader's goes on."""

    slots: Sequence[int]


class ToNode(NamedTuple):
    """Ask this of a node, on the connection of the requests; then :meth:`Leader.answered`."""

    node: Node
    order: Order


Output = Lead | Replace | Publish | Route | Park | Unpark | ToNode
