"""The authority of a cluster with one primary: the memory of that primary.

It ends with the process. The next one is told what the map was by the nodes, each of which remembers the last that it
took: see :mod:`ckv.cluster.gathering`.
"""

from __future__ import annotations

from ckv.cluster.map import Map, Version
from ckv.cluster.slots import SLOTS


class Memory:
    """See :class:`~ckv.cluster.authority.Authority`."""

    def __init__(self, first_term: int = 1, slots: int = SLOTS) -> None:
        """``first_term``: the term where nobody remembers any. Others may know a map of a cluster that was here before,
        and take none that is not later: the seconds of the epoch do."""
        self._map = Map.empty(slots)
        self._first_term = first_term

    def recall(self, remembered: Map) -> None:
        """Takes what a node remembers, if it is later than what is known."""
        if remembered.version > self._map.version:
            self._map = remembered

    def lead(self) -> Map:
        term = self._map.version[0]
        self._map = self._map.successor(term=term + 1 if term else self._first_term)
        return self._map

    def read(self) -> Map:
        return self._map

    def replace(self, expected: Version, following: Map) -> bool:
        if self._map.version != expected:
            return False
        self._map = following
        return True

    def step_down(self) -> None:
        """There is nobody else."""
