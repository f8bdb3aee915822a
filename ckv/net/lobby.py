"""Connections beyond the places of clients: guests in the lobby, and other nodes, which are served all the same.

Guests may ask what operators and probes ask. One that says nothing makes room for the next, so nobody can be kept out.
Whoever says HELLO is another node: a primary stands for clients without number, which would all get errors, while to
it the node looks connected. Half of what there is here may be theirs, and half that of operators.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from ckv.net.connection import Connection

MOST_GUESTS: Final = 128
FEWEST_GUESTS: Final = 4
"""Connections beyond the places of clients are a quarter of those that open files allow, within these bounds."""

GUEST_SILENCE: Final = 10.0
"""Seconds after which a guest that says nothing has to go, though nobody else wants to come in."""

SHORTEST_STAY: Final = 0.025
"""Seconds that a guest has at least to say what it wants."""


class Lobby:
    """Who is there beyond the places."""

    def __init__(self) -> None:
        self._most = MOST_GUESTS
        self._guests: dict[Connection, float] = {}
        """In the order of when each of them came, or was last seen to have said something."""
        self._operators: set[Connection] = set()
        """Those that have asked what operators ask. They may have half of the lobby, whoever else wants to come in."""
        self._nodes: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._guests) + len(self._nodes)

    @property
    def guests(self) -> Mapping[Connection, float]:
        """Those that get errors for records."""
        return self._guests

    @property
    def most(self) -> int:
        """How many there may be."""
        return self._most

    @property
    def surplus(self) -> int:
        """How many there are beyond that."""
        return max(0, len(self) - self._most)

    def fit(self, files: int) -> None:
        """So many open files there may be, with those of the places."""
        self._most = min(MOST_GUESTS, max(FEWEST_GUESTS, files // 4))

    @property
    def oldest(self) -> Connection | None:
        """Who has to go when another one comes in; nobody while there is room."""
        if len(self) < self._most:
            return None
        operators = [guest for guest in self._guests if guest in self._operators]
        others = (guest for guest in self._guests if guest not in self._operators)
        if operators and 2 * len(operators) > self._most:
            return operators[0]
        return next(others, operators[0] if operators else None)

    @property
    def is_busy(self) -> bool:
        """Whether nobody can come in now."""
        oldest = self.oldest
        return oldest is not None and time.monotonic() - self._guests[oldest] < SHORTEST_STAY

    def enter(self, guest: Connection) -> None:
        """There is no place for this one."""
        self._guests[guest] = time.monotonic()

    def leave(self, connection: Connection) -> None:
        """It is closed, or has a place."""
        self._guests.pop(connection, None)
        self._operators.discard(connection)
        self._nodes.discard(connection)

    def is_operator(self, guest: Connection) -> None:
        """It has asked what operators ask."""
        self._operators.add(guest)

    def is_node(self, guest: Connection) -> bool:
        """It has said that it is another node: whether there is room for that, so that it is no guest any more."""
        if 2 * len(self._nodes) >= self._most:
            return False
        self.leave(guest)
        self._nodes.add(guest)
        return True

    def look_after(self) -> None:
        """Ends those that are silent; to be called now and then."""
        now = time.monotonic()
        for guest, heard in list(self._guests.items()):
            if guest.was_heard():
                del self._guests[guest]
                self._guests[guest] = now
            elif now - heard >= GUEST_SILENCE:
                guest.close("")
