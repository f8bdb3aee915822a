"""What holds at any moment of a schedule, be it seen by a client or not. Of the database: see there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckv.cluster.map import NO_VERSION, Map, Version
from tests.cluster.schedule import Wrong

if TYPE_CHECKING:
    from tests.cluster.secondary import Secondary
    from tests.cluster.world import World


class Invariants:
    """Those of the nodes. All of it raises Wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._versions: dict[int, Version] = {}
        """Of each process that of its map."""

    def look(self, node: Secondary) -> None:
        """The node may have another map, serve more slots, or serve them for longer: no other one may serve one of
        them, and no map follows a later one."""
        member, before = node.member, self._versions.get(node.boot_number, NO_VERSION)
        if member.version != before:
            if member.version < before:
                raise Wrong(f"{node.name} has taken the map {member.version} after {before}")
            self._versions[node.boot_number] = member.version
        served = int.from_bytes(member.serves, "little")
        if not served or not node.may_serve:
            return
        for other in self._world.nodes.values():
            if other.has_begun and other is not node and other.may_serve:
                both = served & int.from_bytes(other.member.serves, "little")
                if both:
                    raise Wrong(f"{node.name} and {other.name} serve slot {(both.bit_length() - 1) // 8}")

    def is_published(self, world_map: Map) -> None:
        """A primary is about to tell this map: no node is given up that alone has its records."""
        if self._world.has_files and any(node is not None and node.state == "away" for node in world_map.nodes):
            raise Wrong(f"a node with its file is given up: {world_map}")

    def is_served(self, node: Secondary, slot: int) -> None:
        """The node carries out a request of the slot, looked at or not."""
        if not node.member.serves[slot]:
            raise Wrong(f"{node.name} carries out a request of slot {slot}, which it does not serve")
