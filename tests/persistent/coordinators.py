"""Several primaries of one row, each with a connection of its own, for the tests of every place where that can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, TypeVar

import gevent

from ckv.errors import TierUnavailable
from ckv.persistent.coordinator import Coordinator, State
from ckv.persistent.opening import open_coordinator
from tests.support.eventually import eventually

T = TypeVar("T")

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


def path_of(primaries: Primaries) -> str:
    """Of a ZooKeeper."""
    return "/" + primaries.address.removeprefix("zk://").partition("/")[2]


def again(call: Callable[[], T], timeout: float = 20.0) -> T:
    """What a call answers as soon as it is answered."""

    def attempt() -> tuple[T]:
        try:
            return (call(),)
        except TierUnavailable as error:
            gevent.sleep(0.05)  # the client lives on greenlets of this thread
            raise AssertionError(str(error)) from error

    return eventually(attempt, timeout, "an answer")[0]
