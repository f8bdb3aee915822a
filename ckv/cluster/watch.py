"""Who has died: what a leader concludes from who is silent, and from what nodes see in the database.

A node that is silent may live, and be cut off from the leader alone: then the database still confirms it, and its beat
there moves. So it is given up only when both have stood still for longer than a lease, and, where there is a database,
when it is fenced there: from then on nothing that it writes counts. If nobody can ask the database nobody is given up.
Without a database its lease is over by then, and all that it has is lost; it is given up only while others are heard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from ckv.cluster.map import Key, Map, Node
from ckv.cluster.messages import FenceOff, Sight
from ckv.cluster.roster import OWN_TIER, Roster, is_shared

Verdict = Literal["lives", "fence", "gone"]

NEVER: Final = float("-inf")

RETRY: Final = 1.0
"""Seconds until somebody is asked again who could not fence a process."""


@dataclass(slots=True)
class _Seen:
    """What is known of the row of one process."""

    beat: int
    active: bool
    since: float
    """When it was found to be so first."""


class Watch:
    """What a leader knows of the life of nodes."""

    def __init__(self, timeout: float, silence: float) -> None:
        """Times are in seconds. ``timeout``: how long a node has to be silent, more than a lease; 0 if nobody is ever
        given up. ``silence``: how old may be what nodes say of the database."""
        self._timeout = timeout
        self._silence = silence
        self.since = NEVER
        """From when on it could hear of nodes."""
        self._heard = self._heard_again = NEVER
        """When any node was heard last, and for the first time after nobody was for too long."""
        self._seen: dict[Key, _Seen] = {}
        self._highest: dict[str, int] = {}
        self.reported = NEVER
        """When a node said last what the database says."""
        self._doomed: dict[Key, int] = {}
        """Who is to be fenced, with the beat that was seen: it is confirmed no more, whatever comes of it."""
        self._fencing: FenceOff | None = None
        self._fencing_since = NEVER

    def begin(self, now: float) -> None:
        """Nothing that came before counts: who leads now has heard nobody yet, or has slept."""
        self.since = now
        self.reported = NEVER
        for seen in self._seen.values():
            seen.since = now

    def see(self, sights: Iterable[Sight], now: float) -> None:
        """A node was heard, and what it has seen in the database."""
        if now - self._heard > self._silence:
            self._heard_again = now  # all may have been cut off from here, and come back one by one
        self._heard = now
        for sight in sights:
            self.reported = now
            name, incarnation = key = sight.key
            self._highest[name] = max(incarnation, self._highest.get(name, 0))
            seen = self._seen.get(key)
            if seen is None:
                self._seen[key] = _Seen(sight.beat, sight.active, now)
            elif not seen.active:
                continue  # for good: who says otherwise has looked earlier
            elif sight.beat != seen.beat or not sight.active:
                self._seen[key] = _Seen(sight.beat, sight.active, now)
                if sight.active and self._doomed.get(key) not in (None, sight.beat):
                    del self._doomed[key]

    def is_inactive(self, key: Key) -> bool:
        """Whether the process can certainly write no more: it is fenced, has ended, or another one has its name."""
        seen = self._seen.get(key)
        return (seen is not None and not seen.active) or self._highest.get(key[0], 0) > key[1]

    def may_confirm(self, key: Key, tier: str) -> bool:
        """Whether the process may serve for another lease."""
        if not is_shared(tier):
            return True
        # A leader before this one may have had it fenced: whoever has not looked does not know.
        return self.reported > NEVER and key not in self._doomed and not self.is_inactive(key)

    @property
    def active(self) -> list[Key]:
        """The processes that can write, as far as is known."""
        return [key for key in self._seen if not self.is_inactive(key)]

    def stands_still(self, key: Key, now: float) -> bool:
        """Whether its beat has not moved for long enough, and that is known for certain."""
        seen = self._seen.get(key)
        fresh = now - self.reported <= self._silence
        return seen is not None and fresh and bool(self._timeout) and now - seen.since > self._timeout

    def verdict(self, node: Node, heard: float, tier: str, now: float) -> Verdict:
        """What becomes of a node that was ``heard`` last at that time."""
        if not self._timeout or tier == OWN_TIER or now - max(heard, self.since) <= self._timeout:
            return "lives"
        if not is_shared(tier):
            lives = now - self._heard > self._silence or now - self._heard_again <= self._timeout
            return "lives" if lives else "gone"
        if self.is_inactive(node.key):
            return "gone"
        return "fence" if self.stands_still(node.key, now) else "lives"

    def look(self, world: Map, roster: Roster, now: float) -> tuple[list[int], Key | None]:
        """The numbers of the nodes of a map that are gone, and one that is to be fenced, if any."""
        gone: list[int] = []
        suspect: Key | None = None
        if all(known.gone for known in roster):
            return gone, suspect  # it has been heard from nobody, be it for its own fault, nor what the database says
        tier = roster.tier
        for number, node in enumerate(world.nodes):
            if node is None or node.state == "away":
                continue
            known = roster.get(node.name)
            heard = NEVER
            if known is not None and known.incarnation == node.incarnation:
                heard = known.heard
            elif known is not None and now - known.heard <= self._silence:
                continue  # a later process of its name is about to have its place
            elif known is not None:
                heard = known.since  # until then the earlier process may have been confirmed
            match self.verdict(node, heard, tier, now):
                case "gone":
                    gone.append(number)
                case "fence":
                    suspect = suspect or node.key
        return gone, suspect

    # --- fencing -----------------------------------------------------------------------------------------------------

    def fence(self, key: Key, term: int, now: float) -> FenceOff | None:
        """What to ask of a node, so that this process is fenced; None while another question is open."""
        if self._fencing is not None and now - self._fencing_since <= self._timeout:
            return None
        beat = self._seen[key].beat
        self._doomed[key] = beat
        self._fencing, self._fencing_since = FenceOff(*key, beat, term), now
        return self._fencing

    def fenced(self, order: FenceOff, result: object, now: float) -> None:
        """What was answered to it."""
        if order is self._fencing:
            self._fencing = None
        key = (order.name, order.incarnation)
        match result:
            case ["fenced", True]:
                self._seen[key] = _Seen(order.beat, active=False, since=now)
            case ["fenced", False]:
                # It has beaten meanwhile, which will be seen, or it holds a lock.
                self._doomed.pop(key, None)
                if key in self._seen:
                    self._seen[key].since = now - self._timeout + RETRY
