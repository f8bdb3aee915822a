"""Calls that wait for a node to be connected: in their order, and no more of them than there is room for. Interpreted,
not compiled: none of it is in the way of a call to a node that is there.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ckv.protocol.batch import Batch
from ckv.protocol.handler import Caller
from ckv.protocol.limits import WAITING_BYTES, WAITING_REQUESTS

CALL_BYTES: Final = 400
"""Memory that a call takes besides its arguments: the objects that it and its place here consist of, about."""


class Parked(NamedTuple):
    """A call that waits for its key to have an owner: see :mod:`ckv.net.parking`."""

    until: float
    """By the clock of whoever keeps it."""
    size: int
    """Bytes of memory that it takes."""
    method: str
    params: tuple[object, ...]
    caller: Caller
    msgid: int
    is_back: bool
    """Whether a node has had it, and has not carried it out."""
    held: Hashable
    """What its caller is held for, None if it is not: a large one, as at a node."""

    def end_hold(self) -> None:
        """To be called when it does not wait any more."""
        if self.held is not None:
            self.caller.release(self.held)


@dataclass
class WaitingRoom:
    """How much may still wait, for all the nodes together; memory in bytes."""

    free_requests: int = WAITING_REQUESTS
    free_memory: int = WAITING_BYTES


class WaitingCalls:
    """Those that wait for one node."""

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._bounced: list[Batch] = []
        self._calls: list[Batch] = []

    def __len__(self) -> int:
        return sum(map(len, self._bounced + self._calls))

    def add(self, batch: Batch, *, bounced: bool = False) -> bool:
        """Has calls wait, behind all others, or before those that the node was not asked if it has ``bounced`` them;
        false, and none of them waits, if there is no room."""
        room = self._room
        memory = _memory(batch)
        if len(batch) > room.free_requests or memory > room.free_memory:
            return False
        room.free_requests -= len(batch)
        room.free_memory -= memory
        (self._bounced if bounced else self._calls).append(batch)
        return True

    def take(self) -> list[Batch]:
        """All of them, in the order in which they have to be made; afterwards none waits."""
        batches = self._bounced + self._calls
        self._bounced, self._calls = [], []
        self._room.free_requests += sum(map(len, batches))
        self._room.free_memory += sum(map(_memory, batches))
        return batches


def _memory(batch: Batch) -> int:
    """Bytes that it takes."""
    arguments: list[Any] = batch.requests[1::2]
    return sum(CALL_BYTES + sum(map(sys.getsizeof, params)) for params in arguments)
