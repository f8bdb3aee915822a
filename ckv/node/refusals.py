"""Which secondaries have refused a primary, as it tells the others: these then send no client there either.

Only for clients that go to the owners of keys by themselves. A node that has its keys by another list would answer them
with what it has of this one's keys, or send them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ckv.protocol.greeting import HELLO, Share, calls, said

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at which they are."""


class Listed(Protocol):
    """A secondary of the list: :class:`ckv.net.peer.Peer`."""

    @property
    def is_refused(self) -> bool:
        """Whether it has other keys than it is taken for."""

    @property
    def connected(self) -> bool: ...

    @property
    def session(self) -> object:
        """Another one for each connection."""

    def tell(self, method: str, params: tuple[object, ...], /) -> None:
        """Makes a call that nobody waits for, by itself: in a BATCH there is no HELLO."""


class Refusals:
    """Those of the secondaries of one list."""

    def __init__(self, peers: Sequence[Listed], nodes: Sequence[str]) -> None:
        """``peers`` may be filled later. ``nodes``: the addresses that clients are told, in the same order."""
        self._peers = peers
        self._nodes = nodes
        self._told: list[tuple[object, tuple[int, ...]]] = [(None, ())] * len(nodes)
        """What each was told last, and in which session."""

    def greeting(self, number: int) -> bytes:
        """What the node of this place is sent when it is connected, with the refusals of now: else a list that others
        have refused would count for more, until the node is told. Itself it has not refused, if it takes that."""
        refused = [other for other in self._refused() if other != number]
        return calls(Share(number, len(self._nodes)), self._nodes, refused)

    def look(self) -> None:
        """To be called now and then: tells each one that is connected, unless it knows."""
        refused = self._refused()
        for at, peer in enumerate(self._peers):
            # In a new session also if there are none: its greeting may have told others.
            if peer.connected and self._told[at] != (peer.session, refused):
                share = Share(at + 1, len(self._peers))
                peer.tell(HELLO, said(share, self._nodes, refused))
                self._told[at] = (peer.session, refused)

    def _refused(self) -> tuple[int, ...]:
        return tuple(number for number, peer in enumerate(self._peers, 1) if peer.is_refused)
