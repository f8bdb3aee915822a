"""Which keys a node answers for, where clients go to their owners by themselves, as those of Redis Cluster do.

A secondary answers for its own keys alone then: see the `specification
<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>`_, of which MOVED, CROSSSLOT and
CLUSTERDOWN are here.
A primary finds the owner of any key, for whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ckv.cluster.slots import slot_of
from ckv.cluster.view import Health, View
from ckv.protocol.resp.replies import ReplyError

NOT_SERVED: Final = "CLUSTERDOWN Hash slot not served"
CROSS_SLOT: Final = "CROSSSLOT Keys in request don't hash to the same slot"


class Placing:
    """What a node tells such clients, which may change while it serves."""

    def __init__(self) -> None:
        self.view: View | None = None
        """None as long as nobody has said that there are such clients."""
        self.serves: Callable[[int], bool] = lambda _slot: True
        """Whether a slot of its own is served now, or in a moment."""
        self.health: Callable[[int], Health] = lambda _number: "online"
        """How a node of the view is, by its number, as far as this one knows."""

    def check(self, keys: Iterable[str]) -> None:
        """Raises ReplyError where they are another node's, or nobody's (for a moment, maybe), or of several slots, so
        that no client can know the owner of all."""
        view = self.view
        if view is None or view.own is None:
            return
        slots = set(map(slot_of, keys))
        if len(slots) > 1:
            raise ReplyError(CROSS_SLOT)
        for slot in slots:
            if view.owners[slot] != view.own:
                owner = view.owner(slot)
                if owner is None:
                    raise ReplyError(NOT_SERVED)
                if self.health(view.owners[slot]) == "refused":
                    raise ReplyError(f"{NOT_SERVED}: {owner} has other keys than the list of the primary says")
                # Without the brackets of an IPv6 address: clients split it at the last colon.
                raise ReplyError(f"MOVED {slot} {owner.host}:{owner.port}")
            if not self.serves(slot):
                raise ReplyError(f"TRYAGAIN slot {slot} is not served here at the moment; it may be on its way")
