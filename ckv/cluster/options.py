"""How a primary leads: for how long it waits for what, and how much it moves at once."""

from __future__ import annotations

from typing import Final, NamedTuple

SILENCE: Final = 2.5
"""Beats without which a node takes part in no move."""


class Options(NamedTuple):
    """How a leader leads. Times are in seconds."""

    lease: float = 5.0
    beat: float = 1.0
    node_timeout: float = 6.0
    """Without a word from a node, and with its beat in the database standing still; more than a lease. 0: for ever."""
    settle: float = 30.0
    """After a node has come or gone, before slots are moved to level the shares."""
    move_slots: int = 1024
    """Slots of one move at most."""
    freeze_timeout: float = 5.0
    prepare_timeout: float = 60.0
    """Without any progress."""
    pause: float = 5.0
    """After a move that was called off."""
    cluster_clients: bool = False
    """See :class:`~ckv.cluster.messages.Joined`."""

    @property
    def silence(self) -> float:
        """How long ago a node that takes part in a move has to have been heard at most."""
        return SILENCE * self.beat
