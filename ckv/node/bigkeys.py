"""The records in memory with the largest values: BIG.

They are found in a walk through all of memory, a piece in each turn of the loop, for which no value is touched: its
length is beside it. What was found is bounded by what was asked for. One walk goes on at a time, and those who ask
meanwhile share the next one: so an answer is late by one walk at most, however many ask.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ckv import errors
from ckv.commands import COMMANDS
from ckv.node.hotkeys import MAX_BYTES, number_of_keys
from ckv.protocol.defects import meant
from ckv.protocol.handler import LATER, Caller
from ckv.store.memory import Memory, Walk
from ckv.values import to_bytes

TURN_SECONDS: Final = 0.0005
"""How long a piece may take: the compiled table has gone through more than a hundred thousand places then."""

PLACES: Final = 2_000
"""Places that are looked at between two looks at the clock."""


class _Asker(NamedTuple):
    """One BIG that waits for its answer."""

    caller: Caller
    msgid: int
    most: int
    """Records that it wants."""


class BigKeys:
    """Answers BIG over one table."""

    def __init__(
        self,
        memory: Memory,
        next_turn: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``next_turn`` has something done in a later turn of the loop, when others were served. ``clock``: seconds."""
        self._memory = memory
        self._next_turn = next_turn
        self._clock = clock
        self._is_walking = False
        self._next: list[_Asker] = []
        """Those who have asked since the walk began that goes on."""

    def big(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of BIG."""
        if len(params) != 1:
            raise COMMANDS["BIG"].wrong_count(params)
        asker = _Asker(caller, msgid, number_of_keys(params[0]))
        if self._is_walking:
            self._next.append(asker)
        else:
            self._begin([asker])
        return LATER

    def _begin(self, askers: Sequence[_Asker]) -> None:
        self._go_on(_Search(self._memory.walk(), max(asker.most for asker in askers), self._clock), askers)
        self._is_walking = True

    def _go_on(self, search: _Search, askers: Sequence[_Asker]) -> None:
        self._next_turn(lambda: self._step(search, askers))

    def _step(self, search: _Search, askers: Sequence[_Asker]) -> None:
        try:
            if any(asker.caller.is_open for asker in askers) and search.step():
                self._go_on(search, askers)
                return
        except Exception as error:  # noqa: BLE001 - whoever asked is to be told
            self._end()
            _fail(askers, error)
            return
        self._end()
        found = search.found
        for caller, msgid, most in askers:
            caller.respond(msgid, None, [["", "", found[:most]]])

    def _end(self) -> None:
        """The walk is over; another one begins, if somebody waits for it."""
        self._is_walking = False
        askers, self._next = self._next, []
        try:
            if askers:
                self._begin(askers)
        except Exception as error:  # noqa: BLE001 - as above
            _fail(askers, error)


def _fail(askers: Sequence[_Asker], error: Exception) -> None:
    told = errors.to_wire(meant(error, "BIG"))
    for caller, msgid, _ in askers:
        caller.respond(msgid, told, None)


class _Search:
    """One walk."""

    def __init__(self, walk: Walk, count: int, clock: Callable[[], float]) -> None:
        self._walk = walk
        self._count = count
        self._clock = clock
        self._place = 0
        self._heap: list[tuple[int, str]] = []
        """What was found, the smallest first."""

    def step(self) -> bool:
        """Goes on for one piece; whether there are others."""
        until = self._clock() + TURN_SECONDS
        while self._look() and self._clock() < until:
            pass
        return self._place != 0

    def _look(self) -> bool:
        heap = self._heap
        least = heap[0][0] + 1 if len(heap) == self._count else 0
        found, self._place = self._walk.large_at(self._place, PLACES, least)
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
