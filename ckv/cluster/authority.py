"""Who says which map is the current one: the contract of what a leader leads by."""

from __future__ import annotations

from typing import Protocol

from ckv.cluster.map import Map, Version


class Authority(Protocol):
    """The place where the map is decided, by compare-and-set. That is the only decision of a cluster."""

    def lead(self) -> Map | None:
        """Becomes the leader. Returns the map under the new term, one epoch later, so that whatever the leader before
        had begun is called off; None when somebody else leads."""

    def read(self) -> Map:
        """The map as it is now."""

    def replace(self, expected: Version, following: Map) -> bool:
        """Has another map follow the one of this version; whether that was still the current one, and this the
        leader."""

    def step_down(self) -> None:
        """Leads no more."""
