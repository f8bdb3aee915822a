"""Whoever calls a node, in the process of a test."""

from __future__ import annotations

from collections.abc import Hashable


class Told:
    """A caller, and what it was answered, in the order in which that came."""

    is_open = True

    def __init__(self) -> None:
        self.answers: list[tuple[int, object, object]] = []
        self.settled = 0
        """Requests that were done without an answer."""
        self.held: set[Hashable] = set()
        """What for."""

    def respond(self, msgid: int, error: object, result: object) -> None:
        self.answers.append((msgid, error, result))

    def settle(self) -> None:
        self.settled += 1

    def hold(self, reason: Hashable) -> None:
        self.held.add(reason)

    def release(self, reason: Hashable) -> None:
        self.held.discard(reason)
