"""What a primary asks of another one that it follows: it routes by the map of that one, and never leads.

It goes on routing by the last map while nobody answers: that no node serves what is not its own is up to the nodes.
"""

from __future__ import annotations

from ckv.cluster.map import Map
from ckv.cluster.messages import Answer, Followed, Static


class Follower:
    """What it makes of the answers to its questions, of which it asks one at a time."""

    def __init__(self) -> None:
        self.reason = "it was not asked yet"
        """Why the one that it follows does not answer; empty if it does."""

    def answered(self, answer: Answer) -> Map | None:
        """The map to route by from now on, if it is another one; else :attr:`reason` may say what is wrong."""
        match answer:
            case Followed(world):
                self.reason = ""
                return world
            case Static():
                self.reason = "it has a list of its secondaries: a primary with the same list needs nobody to follow"
            case _:
                self.reason = f"it is no primary that can be followed: {answer!r:.100}"
        return None
