"""The authority of a cluster with one primary: the memory of that primary.

It ends with the process. The next one is told what the map was by the nodes, each of which remembers the last that it
took: see :mod:`ckv.cluster.gathering`.
"""

from __future__ import annotations

from typing import Final

from ckv.cluster.leader import Leader
from ckv.cluster.map import Map

ROOM: Final = 1000
"""How many terms later than the last one that the nodes remember it leads. A row that primaries shared before goes on
with the next one when it is used again, one more with each election: so no two maps have one version, and it is found
out that the row has not got the last one."""


class Memory:
    """See :class:`~ckv.cluster.authority.Authority`."""

    def __init__(self, leader: Leader, first_term: int = 1) -> None:
        """``first_term``: the term where nobody remembers any. Others may know a map of a cluster that was here before,
        and take none that is not later: the seconds of the epoch do."""
        self._leader = leader
        self._first_term = first_term

    def lead(self, remembered: Map, now: float) -> None:
        term = remembered.version[0]
        self._leader.elected(remembered.successor(term=term + ROOM if term else self._first_term), now)

    def replace(self, following: Map, now: float) -> None:
        self._leader.replaced(True, now)  # nobody else decides

    def instead(self) -> None:
        return None
