"""Requests that wait, as the slot of their key is between two owners: in the place of the node that would be asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final

from ckv import errors
from ckv.net.callee import Callee
from ckv.net.waiting import CALL_BYTES, Parked
from ckv.protocol.handler import Caller

MOST_PARKED: Final = 10_000
MOST_PARKED_BYTES: Final = 16 * 1024 * 1024
"""Requests that wait, and the memory that they take, of all slots together. What comes beyond is refused."""


class Parking(Callee):
    """Keeps them in the order in which they are to be made."""

    def __init__(self, clock: Callable[[], float], patience: float) -> None:
        """``patience``: seconds that a request waits at most."""
        self._clock = clock
        self._patience = patience
        self._first: deque[Parked] = deque()
        self._then: deque[Parked] = deque()
        self._bytes = 0
        self.refused = 0
        """Requests that waited in vain, or found no room."""

    def __len__(self) -> int:
        return len(self._first) + len(self._then)

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        """See :class:`Callee`; raises Moving when too many wait. The caller of a large one is held until it is made: it
        may have to wait at the node then, where small ones pass it by."""
        parked = self._parked(method, params, caller, msgid, held=object() if large else None)
        self._then.append(parked)
        if large:
            caller.hold(parked.held)

    def came_back(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        """Takes a request that a node has not carried out: it was made before all that wait, but for others that came
        back."""
        self._first.append(self._parked(method, params, caller, msgid, is_back=True))

    def _parked(
        self,
        method: str,
        params: tuple[object, ...],
        caller: Caller,
        msgid: int,
        is_back: bool = False,
        held: Hashable = None,
    ) -> Parked:
        arguments: Any = params
        size = CALL_BYTES + sum(argument.__sizeof__() for argument in arguments)
        if len(self) >= MOST_PARKED or self._bytes + size > MOST_PARKED_BYTES:
            self.refused += 1
            raise errors.Moving(f"{len(self)} requests wait for slots that move; this one was not carried out")
        self._bytes += size
        return Parked(self._clock() + self._patience, size, method, params, caller, msgid, is_back, held)

    def take(self) -> list[Parked]:
        """All of them, in the order in which they have to be made; afterwards none waits."""
        taken = [*self._first, *self._then]
        self._first.clear()
        self._then.clear()
        self._bytes = 0
        return taken

    def put_back(self, parked: list[Parked]) -> None:
        """Takes back, in their order, some that were taken and have to wait on, each for what is left of its time."""
        # What comes back later was made before those that no node has had.
        self._first.extendleft(reversed([each for each in parked if each.is_back]))
        self._then.extendleft(reversed([each for each in parked if not each.is_back]))
        self._bytes += sum(each.size for each in parked)

    def expire(self) -> None:
        """Refuses those that have waited too long."""
        now = self._clock()
        for waiting in (self._first, self._then):
            while waiting and waiting[0].until <= now:
                parked = waiting.popleft()
                self._bytes -= parked.size
                self.refused += 1
                text = f"the slot of the key is between two nodes for {self._patience:g} s; nothing was done"
                parked.caller.respond(parked.msgid, errors.to_wire(errors.Moving(text)), None)
                parked.end_hold()
