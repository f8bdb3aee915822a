"""What a member of a cluster wants to have done by its node."""

from __future__ import annotations

from typing import NamedTuple

from ckv.cluster.map import Node
from ckv.cluster.messages import Beat, Join, Leave


class StartPrepare(NamedTuple):
    """Save what the database lacks of these slots, while they are served; then ``Member.prepared``."""

    move: int
    slots: frozenset[int]
    target: Node
    """The node that is to have them."""


class StartFreeze(NamedTuple):
    """Nothing more of these slots is served; save the rest, then ``Member.released``."""

    move: int
    slots: frozenset[int]


class EndMove(NamedTuple):
    """The move is over, whatever came of it."""

    move: int


class Forget(NamedTuple):
    """Have no copies of these slots, and let nothing that is being loaded become one; then ``Member.forgotten``."""

    slots: frozenset[int]
    lost: frozenset[int]
    """Those of them which were lost without a move: what was still to be saved of them is lost too."""
    received: frozenset[int] = frozenset()
    """Those whose records have come from another node, and take the place of what is dropped."""


class Tell(NamedTuple):
    """Send this to the primary; then ``Member.answered``."""

    message: Join | Beat | Leave


Output = StartPrepare | StartFreeze | EndMove | Forget | Tell
