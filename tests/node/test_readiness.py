"""What a secondary says of its part of the keys."""

from __future__ import annotations

from array import array

from ckv.cluster.identity import Identity
from ckv.cluster.map import Map, Node
from ckv.cluster.member import Member
from ckv.cluster.messages import Join, Joined, NoEntry
from ckv.node import readiness

LEASE = 5.0


def a_member() -> Member:
    return Member(Identity("me", 42, "h", 1, incarnation=3), 2)


JOIN = Join("me", 42, 3, "h", 1, 100, "evict", "", None)


def joined(*owners: int) -> Member:
    """One that its primary has confirmed at 0; it owns the slots whose owner is 0."""
    member = a_member()
    nodes = (Node("me", 3, "h", 1, 100), Node("other", 1, "h", 2, 100))
    member.answered(JOIN, Joined(3, LEASE, Map((1, 5), nodes, array("H", owners))), 0.0, 0.0)
    member.confirmed(0.0)
    return member


def part(member: Member, *, listed: bool = False, now: float = 0.0) -> str:
    return readiness.part(member, lambda: listed, now)


def test_one_that_has_joined_is_ready_with_slots_alone() -> None:
    assert part(joined(0, 1)) == ""
    assert part(joined(1, 1)) == "it owns no slots"


def test_one_whose_lease_is_over_is_not_ready() -> None:
    assert part(joined(0, 1), now=LEASE - 0.1) == ""
    assert part(joined(0, 1), now=LEASE) == "its primary has given no sign of life for too long"


def test_one_that_nobody_has_taken_in_says_why() -> None:
    member = a_member()
    assert part(member) == "no primary has taken it in, or has it in its list"
    member.answered(JOIN, NoEntry("it has no MySQL database"), 0.0, 0.0)
    assert part(member) == "it has no MySQL database"


def test_one_of_a_list_needs_no_slots() -> None:
    assert part(a_member(), listed=True) == ""


def test_one_of_a_cluster_has_no_part_by_a_list() -> None:
    assert part(joined(0, 1), listed=True) == ""
    why = "a primary has it in its list, and its records are of a cluster without one"
    assert part(joined(1, 1), listed=True) == why
