"""Where a primary sends what."""

from __future__ import annotations

from array import array

from ckv.cluster.map import NOBODY, Map, Node, Version
from ckv.cluster.router import PARKED, Change, Router

A, B, C = (Node(name, 1, "host", port, 100) for port, name in enumerate("abc"))


def a_map(version: Version, *owners: int, nodes: tuple[Node | None, ...] = (A, B)) -> Map:
    return Map(version, nodes, array("H", owners))


def a_router(*owners: int) -> Router:
    router = Router(len(owners))
    router.take_map(a_map((1, 5), *owners))
    return router


def test_without_a_map_everything_waits() -> None:
    router = Router(2)
    assert not router.knows
    assert router.target(0) is None


def test_of_maps_that_were_found_it_takes_later_ones_only() -> None:
    router = a_router(0, 1)
    assert router.take_map(a_map((1, 5), 1, 1), found=True) is None
    assert router.take_map(a_map((1, 4), 1, 1), found=True) is None
    assert [router.target(0), router.target(1)] == [0, 1]
    assert router.take_map(a_map((2, 1), 1, 1), found=True) is not None
    assert router.target(0) == 1


def test_whoever_leads_says_which_map_counts() -> None:
    """Those who knew a later one may all be gone: it would be waited for, for ever."""
    router = a_router(0, 1)
    assert router.take_map(a_map((1, 5), 1, 1)) is None
    assert router.take_map(a_map((1, 4), 1, 1)) is not None
    assert router.target(0) == 1
    assert (router.version, router.latest) == ((1, 4), (1, 5))


def test_those_that_follow_are_told_the_map_that_counts() -> None:
    router = Router(2)
    router.take_map(a_map((0, 2), NOBODY, NOBODY), found=True)
    assert router.map_for((0, 0)) is None  # it is no leader's
    router.take_map(a_map((1, 5), 0, 1), found=True)
    assert router.map_for((1, 4)) is router.map
    assert router.map_for((1, 5)) is None
    assert router.map_for((1, 6)) is None
    router.take_map(a_map((1, 4), 0, 1))
    assert router.map_for((1, 6)) is router.map


def test_the_targets_are_always_the_same_array() -> None:
    router = a_router(0, 1)
    before = router.targets
    router.take_map(a_map((1, 6), 1, 1))
    router.park([0])
    assert router.targets is before


def test_it_says_who_came_who_went_and_who_has_moved() -> None:
    router = a_router(0, 1)
    elsewhere = B._replace(port=99)
    assert router.take_map(a_map((1, 6), 0, 1, nodes=(A, elsewhere, C))) == Change(((1, elsewhere), (2, C)), ((1, B),))
    again = elsewhere._replace(incarnation=2)
    assert router.take_map(a_map((1, 7), 0, 1, nodes=(A, again, None))) == Change((), ((2, C),))


def test_there_is_no_way_to_who_was_given_up_until_it_is_back() -> None:
    router = a_router(0, 1)
    away = B._replace(state="away")
    assert router.take_map(a_map((1, 6), 0, 0, nodes=(A, away))) == Change((), ((1, B),))
    assert router.take_map(a_map((1, 7), 0, 0, nodes=(A, away))) == Change((), ())
    assert router.take_map(a_map((1, 8), 0, 0, nodes=(A, None))) == Change((), ())
    assert router.take_map(a_map((1, 9), 0, 0, nodes=(A, away))) == Change((), ())
    again = B._replace(incarnation=2)
    assert router.take_map(a_map((1, 10), 0, 0, nodes=(A, again))) == Change(((1, again),), ())


def test_what_moves_waits_for_the_next_map() -> None:
    router = a_router(0, 1)
    router.park([0])
    assert (router.targets[0], router.target(0), router.target(1)) == (PARKED, None, 1)
    assert not router.unpark(0)
    router.take_map(a_map((1, 6), 1, 1))
    assert router.target(0) == 1


def test_what_does_not_move_after_all_is_sent() -> None:
    router = a_router(0, 1)
    router.park([0])
    router.release([0])
    assert router.target(0) == 0


def test_what_a_node_does_not_serve_waits_and_is_tried_again() -> None:
    router = a_router(0, 1)
    assert router.not_owner(0, 0, (1, 5)) == "park"
    assert router.target(0) is None
    assert router.unpark(0)
    assert router.target(0) == 0


def test_a_node_that_knows_a_later_map_is_asked_for_it() -> None:
    router = a_router(0, 1)
    assert router.not_owner(0, 0, (1, 6)) == "ask"
    assert router.target(0) is None


def test_what_comes_back_when_another_node_has_the_slot_is_too_late() -> None:
    router = a_router(0, 1)
    router.take_map(a_map((1, 6), 1, 1))
    assert router.not_owner(0, 0, (1, 6)) == "late"
    assert router.target(0) == 1
    assert router.not_owner(0, 1, (1, 6)) == "park"
    assert router.not_owner(0, 0, (1, 7)) == "late", "what the new owner gave back came later"
    assert router.target(0) is None


def test_what_comes_back_when_nobody_has_the_slot_waits_for_whoever_will() -> None:
    router = a_router(0, 1)
    router.take_map(a_map((1, 6), NOBODY, 1))
    assert router.not_owner(0, 0, (1, 6)) == "park"
    router.take_map(a_map((1, 7), 1, 1))
    assert router.not_owner(0, 0, (1, 6)) == "late"


def test_a_slot_without_an_owner_waits() -> None:
    router = a_router(NOBODY, 1)
    assert router.target(0) is None
    assert not router.unpark(0)
