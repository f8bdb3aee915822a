"""The time that a client may take to reach the owners of keys, before it asks somebody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OF_A_CALL: Final = 0.5
"""How much of the time of a call it may take to reach whom it is for: what was not sent can be asked of somebody else
in the rest."""

CONNECT_TIMEOUT: Final = 1.0
"""Seconds to connect to owners, at most: the primary may reach those that this process cannot."""

INTRODUCTION_TIMEOUT: Final = 2.0
"""Seconds that it may take to tell a node by what the client comes, at most: twice as long as it waits for a map that
is on its way."""

ENOUGH: Final = 0.1
"""Seconds with which it has to begin, if that a node was not reached is to say anything about it."""


class Budget:
    """What all nodes that are asked at the same time share: to look their names up, to connect to them, and to tell
    them what they have to know first."""

    __slots__ = ("connecting", "hurried", "left")

    def __init__(self, connecting: float = CONNECT_TIMEOUT) -> None:
        self.left = float("inf")
        """Seconds for all of that. Below 0: so many were taken that nobody gave, as nothing bounds a look-up."""
        self.connecting = connecting
        """Seconds of these to connect."""
        self.hurried = False
        """Whether there was too little time for the one that was begun with last."""

    def begin(self, left: float) -> None:
        """Now it is the turn of a node, whose calls have so many seconds left."""
        self.left = min(self.left, max(left, 0.0) * OF_A_CALL)
        self.hurried = min(self.left, self.connecting) < ENOUGH

    @property
    def overdrawn(self) -> float:
        """Seconds that were taken and not given."""
        return max(0.0, -self.left)

    @contextmanager
    def to_look_up(self) -> Iterator[None]:
        """While a name is looked up. Raises TimeoutError when no time is left."""
        if self.left <= 0:
            raise TimeoutError("no time was left for it")
        began = time.monotonic()
        try:
            yield
        finally:
            self.left -= time.monotonic() - began

    @contextmanager
    def to_connect(self, most: float) -> Iterator[float]:
        """While an address is connected to; the seconds that it may take. Raises TimeoutError when none are left."""
        seconds = min(most, self.connecting, self.left)
        if seconds <= 0:
            raise TimeoutError("no time was left to connect")
        began = time.monotonic()
        try:
            yield seconds
        finally:
            spent = time.monotonic() - began
            self.connecting -= spent
            self.left -= spent

    @contextmanager
    def to_tell(self) -> Iterator[float]:
        """While a node is told something; the seconds that it may take, 0 or less if none are left."""
        began = time.monotonic()
        try:
            yield min(self.left, INTRODUCTION_TIMEOUT)
        finally:
            self.left -= time.monotonic() - began


UNBOUNDED: Final = Budget(float("inf"))
"""For a node that is told nothing: the time of a call begins when it is connected to."""
