"""Which keys a node answers for, where clients go to their owners by themselves, as those of Redis Cluster do.

A secondary answers for its own keys alone then: see the `specification
<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>`_, of which MOVED and CROSSSLOT are here.
A primary finds the owner of any key, for whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ckv.cluster.slots import slot_of
from ckv.cluster.view import View
from ckv.protocol.resp.replies import ReplyError
from ckv.values import ENCODING, ENCODING_ERRORS

CROSS_SLOT: Final = "CROSSSLOT Keys in request don't hash to the same slot"


class Placing:
    """What a node tells such clients, which may change while it serves."""

    def __init__(self) -> None:
        self.view: View | None = None
        """None as long as nobody has said that there are such clients."""

    def check(self, keys: Sequence[bytes]) -> None:
        """Raises ReplyError where they are another node's, or of several slots, so that no client can know the owner
        of all."""
        view = self.view
        if view is None or view.own is None or not keys:
            return
        slot, *others = {slot_of(key.decode(ENCODING, ENCODING_ERRORS)) for key in keys}
        if others:
            raise ReplyError(CROSS_SLOT)
        if not view.served[slot]:
            owner = view.owner(slot).address
            # Without the brackets of an IPv6 address: clients split it at the last colon.
            raise ReplyError(f"MOVED {slot} {owner.host}:{owner.port}")
