"""Who says which map is the current one: the contract of what a leader leads by."""

from __future__ import annotations

from typing import Protocol

from ckv.cluster.map import Map
from ckv.cluster.messages import Answer


class Authority(Protocol):
    """The place where the map is decided, by compare-and-set. That is the only decision of a cluster.

    What is asked here is answered to the :class:`~ckv.cluster.leader.Leader`, at once or later.
    """

    def lead(self, remembered: Map, now: float) -> None:
        """Has the leader lead, by this map under a later version: :meth:`Leader.elected`."""

    def replace(self, following: Map, now: float) -> None:
        """Has another map follow the leader's, if that is still the current one, and this the leader:
        :meth:`Leader.replaced`."""

    def instead(self) -> Answer | None:
        """What secondaries are answered where another primary leads; None where the leader answers."""
