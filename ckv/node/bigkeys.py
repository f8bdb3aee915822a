"""The records in memory with the largest values: BIG.

They are found in a walk through all of memory, a piece in each turn of the loop, for which no value is touched: its
length is beside it. What was found is bounded by what was asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from ckv import errors
from ckv.commands import COMMANDS
from ckv.node.hotkeys import MAX_BYTES, checked_count
from ckv.protocol.defects import meant
from ckv.protocol.handler import LATER, Caller
from ckv.store.memory import Memory, Walk
from ckv.values import to_bytes

PIECE: Final = 2_000
"""Places that are looked at in a turn of the loop."""

MAX_WALKS: Final = 8
"""At a time."""


class BigKeys:
    """Answers BIG over one table."""

    def __init__(self, memory: Memory, next_turn: Callable[[Callable[[], None]], object]) -> None:
        """``next_turn`` has something done in a later turn of the loop, when others were served."""
        self._memory = memory
        self._next_turn = next_turn
        self._walks = 0

    def big(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of BIG."""
        if len(params) != 1:
            raise COMMANDS["BIG"].wrong_count(params)
        count = checked_count(params[0])
        if self._walks >= MAX_WALKS:
            raise errors.Overloaded(f"{MAX_WALKS} are looking for the largest records already")
        self._go_on(_Search(self._memory.walk(), count), caller, msgid)
        self._walks += 1
        return LATER

    def _go_on(self, search: _Search, caller: Caller, msgid: int) -> None:
        self._next_turn(lambda: self._step(search, caller, msgid))

    def _step(self, search: _Search, caller: Caller, msgid: int) -> None:
        error = None
        try:
            if caller.is_open and search.step():
                self._go_on(search, caller, msgid)
                return
        except Exception as raised:  # noqa: BLE001 - whoever asked is to be told
            error = errors.to_wire(meant(raised, "BIG"))
        self._walks -= 1
        caller.respond(msgid, error, [["", "", search.found]] if error is None else None)


class _Search:
    """One walk."""

    def __init__(self, walk: Walk, count: int) -> None:
        self._walk = walk
        self._count = count
        self._place = 0
        self._heap: list[tuple[int, str]] = []
        """What was found, the smallest first."""

    def step(self) -> bool:
        """Looks at the next piece; whether there are others."""
        heap = self._heap
        least = heap[0][0] + 1 if len(heap) == self._count else 0
        found, self._place = self._walk.large_at(self._place, PIECE, least)
        for pair in found:
            if len(heap) < self._count:
                heapq.heappush(heap, pair)
            else:
                heapq.heappushpop(heap, pair)
        return self._place != 0

    @property
    def found(self) -> list[list[object]]:
        """The bytes of a value and its key, the largest first, as many as an answer has room for."""
        told: list[list[object]] = []
        seen: set[str] = set()  # a record that went and came back may have been met twice
        size = 0
        for length, key in sorted(self._heap, reverse=True):
            size += len(to_bytes(key))
            if size > MAX_BYTES:
                break
            if key not in seen:
                seen.add(key)
                told.append([length, key])
        return told
