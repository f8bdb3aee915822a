"""Several primaries of one row, each with a connection of its own, for the tests of every place where that can be."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from ckv.persistent.coordinator import Coordinator, State
from ckv.persistent.opening import open_coordinator

ONE: Final = "one:8080"
OTHER: Final = "other:8080"

NOTHING: Final = (0, 0)
"""The version of the map that is known to whoever knows none."""


class Primaries:
    """Two of them, and more where they are wanted."""

    def __init__(self, address: str, stack: ExitStack) -> None:
        """``address``: of the coordinator, as on the command line; ``stack``: ends their connections."""
        self.address = address
        self._stack = stack
        self.one, self.other = self.new(), self.new()

    def new(self, address: str = "") -> Coordinator:
        made = open_coordinator(address or self.address, environ={})
        assert made is not None
        self._stack.callback(made.close)
        return made

    def elect(self, coordinator: Coordinator, name: str) -> State:
        seen = coordinator.look(NOTHING)
        found = coordinator.stand(name, seen.term, seen.leader, seen.beat)
        assert found is not None
        return found
