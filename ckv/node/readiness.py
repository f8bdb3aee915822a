"""Whether a node can serve: one function for each thing that has to be well, which says why it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ckv.cluster.map import NOBODY, show

if TYPE_CHECKING:
    from ckv.cluster.leader import Leader
    from ckv.cluster.member import Member
    from ckv.net.peer import Peer
    from ckv.node.health import Health
    from ckv.node.routing import Routing


def database(health: Health) -> str:
    """Why the persistent tier is not to be relied on."""
    if health.answers:
        return ""
    return f"the database is {health.state}: {health.reason or 'nothing was heard of it yet'}"


def part(member: Member, has_list: Callable[[], bool], now: float) -> str:
    """Why a secondary has no part of the keys that is surely its own."""
    if not member.joined:
        return "" if has_list() else member.refused or "no primary has taken it in, or has it in its list"
    if member.conflict:
        return member.conflict
    if not member.leased(now):
        return "its primary has given no sign of life for too long"
    if member.owned:
        return ""
    if has_list():
        return "a primary has it in its list, and its records are of a cluster without one"
    return member.refused or "it owns no slots"


def secondaries(peers: Collection[Peer]) -> str:
    """Why a primary can serve no key at all. That of one secondary alone is no reason: all primaries would say they
    are not ready because of it, and nobody would serve the others."""
    if not peers or any(peer.connected for peer in peers):
        return "" if peers else "no secondary has joined"
    reasons = "; ".join(f"{peer.address}: {peer.reason or 'no answer yet'}" for peer in list(peers)[:8])
    return f"none of {len(peers)} secondaries is connected: {reasons}"


def slots(leader: Leader, routing: Routing, now: float) -> str:
    """Why a primary whose secondaries join does not know the owner of each key, whichever primary leads.

    One that cannot ask for the map goes by the one that it has, and is ready: while the coordinator is away that is
    true of all primaries, and no slot changes its owner. It is not when a node has a later map.
    """
    router = routing.router
    if not router.knows:
        return f"no map of slots is known yet: it waits for {leader.waits_for(now) or 'one, or for its secondaries'}"
    later = routing.lacks(now)
    if later is not None:
        return f"a node goes by the map {show(later)}, and this primary is told none later than {show(router.version)}"
    return "not all slots have an owner" if NOBODY in router.map.owners else ""
