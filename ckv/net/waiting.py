"""Calls that wait for a node to be connected: in their order, and no more of them than there is room for.

Interpreted, not compiled: none of it is in the way of a call to a node that is there.
"""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

from ckv.protocol.batch import Batch
from ckv.protocol.handler import Caller
from ckv.protocol.limits import WAITING_BYTES, WAITING_REQUESTS

CALL_BYTES: Final = 400
"""Memory that a call takes besides its arguments: the objects that it and its place here consist of, about."""


class WaitingCall(NamedTuple):
    """What :meth:`ckv.net.peer.Peer.call` was given."""

    method: str
    params: tuple[object, ...]
    caller: Caller
    msgid: int

    @property
    def memory(self) -> int:
        """Bytes that it takes."""
        return CALL_BYTES + sum(map(sys.getsizeof, self.params))


class WaitingRoom:
    """How much may wait, for all the nodes together."""

    def __init__(self, requests: int = WAITING_REQUESTS, memory: int = WAITING_BYTES) -> None:
        """``memory`` is in bytes."""
        self.free_requests = requests
        self.free_memory = memory


class WaitingCalls:
    """Those that wait for one node."""

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._bounced: list[WaitingCall] = []
        self._calls: list[WaitingCall] = []

    def __len__(self) -> int:
        return len(self._bounced) + len(self._calls)

    def add(self, batch: Batch) -> bool:
        """Has calls wait behind all others; false, and none of them waits, if there is no room."""
        return self._add(batch, self._calls)

    def add_bounced(self, batch: Batch) -> bool:
        """Has calls wait that a node has refused, before those that it was not asked; false as in :meth:`add`."""
        return self._add(batch, self._bounced)

    def take(self) -> list[WaitingCall]:
        """All of them, in the order in which they have to be made; afterwards none waits."""
        calls = self._bounced + self._calls
        self._bounced, self._calls = [], []
        self._room.free_requests += len(calls)
        self._room.free_memory += sum(call.memory for call in calls)
        return calls

    def _add(self, batch: Batch, queue: list[WaitingCall]) -> bool:
        requests: list[object] = batch.requests
        calls = [
            WaitingCall(method, params, caller, msgid)  # type: ignore[arg-type]
            for method, params, (caller, msgid) in zip(requests[::2], requests[1::2], batch.calls, strict=True)
        ]
        room = self._room
        memory = sum(call.memory for call in calls)
        if len(calls) > room.free_requests or memory > room.free_memory:
            return False
        room.free_requests -= len(calls)
        room.free_memory -= memory
        queue += calls
        return True
