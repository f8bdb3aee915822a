"""Who should own how much, and the moves that bring it about."""

from __future__ import annotations

import random
from array import array

import pytest

from ckv.cluster.dealing import deal, next_move, wanted, without
from ckv.cluster.map import NOBODY, Map, Node, State
from ckv.cluster.slots import SLOTS


def world(owners: list[int], *nodes: tuple[int, State] | None) -> Map:
    """A map of nodes with these weights and states."""
    made = [None if node is None else Node(f"n{at}", 1, "h", at, *node) for at, node in enumerate(nodes)]
    return Map((1, 1), made, array("H", owners))


UP: tuple[int, State] = (100, "up")


def all_of(number: int, slots: int = SLOTS) -> list[int]:
    return [number] * slots


def test_slots_are_dealt_by_weight() -> None:
    assert wanted(world(all_of(0), UP, UP, (200, "up"))) == [SLOTS // 4, SLOTS // 4, SLOTS // 2]


def test_what_is_left_over_goes_to_whoever_has_most_already() -> None:
    assert wanted(world([0, 1, 2, 2], UP, UP, UP)) == [1, 1, 2]
    assert wanted(world([0, 1, 1, 2], UP, UP, UP)) == [1, 2, 1]


def test_who_drains_should_own_nothing_and_who_is_away_keeps_what_it_has() -> None:
    assert wanted(world([0, 0, 1, 1, 2, 2], UP, (100, "draining"), (100, "away"))) == [4, 0, 2]


def test_while_nobody_is_up_all_stays() -> None:
    assert wanted(world([0, 1], (100, "draining"), (100, "draining"))) == [1, 1]
    assert next_move(world([0, 1], (100, "draining"), (100, "draining")), {0, 1}, 9) is None


def test_the_first_slots_are_dealt_in_ranges() -> None:
    owners = deal(world(all_of(NOBODY, 9), UP, UP, UP), {0, 1, 2})
    assert owners is not None
    assert owners.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_whoever_is_not_there_is_dealt_nothing() -> None:
    owners = deal(world(all_of(NOBODY, 9), UP, UP, UP), {0, 2})
    assert owners is not None
    assert sorted(owners.tolist()) == [0, 0, 0, 0, 0, 2, 2, 2, 2]
    assert deal(world(all_of(NOBODY, 9), UP, UP), ()) is None


def test_nothing_is_dealt_that_has_an_owner() -> None:
    assert deal(world([0, 0], UP, UP), {0, 1}) is None
    owners = deal(world([0, NOBODY, 0], UP, UP), {0, 1})
    assert owners is not None
    assert owners.tolist() == [0, 1, 0]


def test_who_is_gone_owns_nothing() -> None:
    after = without(world([0, 1, 1], UP, UP), [1])
    assert after.owners.tolist() == [0, NOBODY, NOBODY]
    assert [node.state for node in after.nodes if node] == ["up", "away"]


def test_who_drains_comes_first() -> None:
    plan = next_move(world([0, 0, 0, 0, 1, 2], UP, (100, "draining"), UP), {0, 1, 2}, 9)
    assert plan is not None
    assert (plan.source, plan.target, plan.slots) == (1, 2, (4,))


def test_without_levelling_only_who_drains_gives_something_up() -> None:
    assert next_move(world([0, 0, 0, 0], UP, UP), {0, 1}, 9, level=False) is None
    assert next_move(world([0, 1, 1, 1], UP, (100, "draining")), {0, 1}, 9, level=False) is not None


def test_slots_that_have_to_stay_do_so_and_all_others_go() -> None:
    a_half = [0] * (SLOTS // 2) + [1] * (SLOTS // 2)
    draining = world(a_half, UP, (100, "draining"))
    stay = (SLOTS - 1, SLOTS - 3)
    plan = next_move(draining, {0, 1}, 4, kept=stay)
    assert plan is not None
    assert plan.slots == tuple(slot for slot in range(SLOTS - 6, SLOTS) if slot not in stay)
    assert next_move(draining, {0, 1}, 4, kept=range(SLOTS // 2, SLOTS)) is None
    # Who has to keep what it has does not keep others from giving.
    newcomer = world(a_half, UP, UP, UP)
    plan = next_move(newcomer, {0, 1, 2}, SLOTS, kept=range(SLOTS // 2))
    assert plan is not None
    assert (plan.source, plan.target) == (1, 2)


def test_nobody_moves_to_or_from_who_is_not_there() -> None:
    assert next_move(world([0, 0], UP, UP), {0}, 9) is None
    assert next_move(world([0, 0], UP, UP), {1}, 9) is None
    # All that is lacking is lacking at a node that is not there: who drains does not wait for it.
    plan = next_move(world([0, 0, 1, 1], UP, (100, "draining"), UP), {0, 1}, 9)
    assert plan is not None
    assert (plan.source, plan.target) == (1, 0)


@pytest.mark.parametrize("seed", range(200))
def test_moves_come_to_an_end_and_no_slot_moves_twice(seed: int) -> None:
    chance = random.Random(seed)
    count, slots = chance.randint(1, 6), chance.choice((7, 64, 1000))
    nodes: list[tuple[int, State]] = [
        (chance.choice((1, 50, 100, 300)), chance.choice(("up", "draining"))) for _ in range(count)
    ]
    now = world([chance.randrange(count) for _ in range(slots)], *nodes)
    fit = set(range(count))
    surplus = sum(max(0, has - should) for has, should in zip(now.counts(), wanted(now), strict=True))
    moved: list[int] = []
    while (plan := next_move(now, fit, 100)) is not None:
        assert 0 < len(plan.slots) <= 100
        assert {now.owners[slot] for slot in plan.slots} == {plan.source}
        owners = now.owners[:]
        for slot in plan.slots:
            owners[slot] = plan.target
        moved += plan.slots
        now = now.successor(owners=owners)
    assert now.counts() == wanted(now)
    assert len(moved) == len(set(moved)) == surplus
