"""A secondary's part in the life of others: it sees in the database who lives, and fences whoever the leader gives up.

The fence is the database's, and only secondaries can log in there.
"""

from __future__ import annotations

import logging

from ckv import errors, events
from ckv.cluster.member import Member
from ckv.cluster.messages import FENCE, FenceOff, Sight
from ckv.node.naming import Naming
from ckv.persistent import Holder, Seen
from ckv.protocol.handler import LATER, Caller, Handler

log = logging.getLogger(__name__)


class Fencing:
    """What the beats of a node's name tell, and what is done between two of them."""

    def __init__(self, member: Member, naming: Naming) -> None:
        """Has the member confirmed by each beat, and lets it say what was seen."""
        self._member = member
        self._naming = naming
        self._seen: tuple[Sight, ...] = ()
        naming.when_beaten = self._beaten
        member.sights = self._sights

    @property
    def handlers(self) -> dict[str, Handler]:
        """What a leader asks."""
        return {FENCE: self._fence}

    def _beaten(self, sent_at: float, seen: list[Seen]) -> None:
        self._member.confirmed(sent_at)
        self._seen = tuple(Sight(*each) for each in seen)

    def _sights(self) -> tuple[Sight, ...]:
        # Said once: what is old is not said again, as if the database could still be asked.
        seen, self._seen = self._seen, ()
        return seen

    def _fence(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        try:
            order = FenceOff.unpack(params)
        except ValueError as error:
            raise errors.BadArguments(str(error)) from None

        def fenced(done: bool | None) -> None:
            if done is None:
                error = errors.TierUnavailable("the database does not tell whether it is fenced")
                caller.respond(msgid, errors.to_wire(error), None)
                return
            if done:
                log.warning(events.NODE_GIVEN_UP, order.name, order.incarnation)
            caller.respond(msgid, None, ["fenced", done])

        self._naming.fence_off(Holder(order.incarnation, order.beat, None, "", order.name), fenced)
        return LATER
