"""The map as a value, and as it travels."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv.cluster.map import NOBODY, Map, Node, pack_slots, unpack_slots
from ckv.cluster.slots import SLOTS
from ckv.protocol.packing import new_packer

A, B = Node("a", 1, "host", 1, 100), Node("b", 7, "host", 2, 50, "draining")


def a_map() -> Map:
    owners = array("H", [NOBODY, *[slot % 2 * 2 for slot in range(1, SLOTS)]])
    return Map((3, 17), (A, None, B), owners)


def test_it_arrives_as_it_left() -> None:
    there = Map.unpack(a_map().pack())
    assert (there.version, there.nodes, there.owners) == ((3, 17), (A, None, B), a_map().owners)
    assert there.rebalances
    assert not Map.unpack(a_map().successor(rebalances=False).successor(term=4).pack()).rebalances


def test_it_takes_33_kilobytes_whatever_it_says() -> None:
    assert len(new_packer().pack(a_map().pack())) < 33 * 1024


def test_it_says_who_owns_what() -> None:
    world = a_map()
    assert (world.owner(0), world.owner(1), world.owner(2)) == (None, B, A)
    assert (world.number_of("b"), world.number_of("c")) == (2, None)
    assert world.counts() == [SLOTS // 2 - 1, 0, SLOTS // 2]
    assert world.slots_of("b") == set(range(1, SLOTS, 2))


def test_another_process_of_a_name_is_another_node() -> None:
    assert a_map().has(("b", 7))
    assert not a_map().has(("b", 8))
    assert not a_map().slots_of("c")


def test_the_next_one_is_later_and_the_first_one_stays_as_it_is() -> None:
    world = a_map()
    assert world.successor().version == (3, 18)
    assert world.successor(term=4, owners=array("H", [0]) * SLOTS).version == (4, 18) > (3, 19)
    assert world.owners == a_map().owners


def broken(**parts: object) -> list[Any]:
    packed: dict[str, Any] = dict(zip(("term", "epoch", "nodes", "owners", "rebalances"), a_map().pack(), strict=True))
    return list((packed | parts).values())


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (None, "a term, an epoch"),
        (broken(term="3"), "a term, an epoch"),
        (broken(rebalances=1), "a term, an epoch"),
        (broken(owners=b"\0\0"), "16384 slots, not 1"),
        (broken(owners=b"\0"), "two bytes"),
        (broken(nodes=[list(A)]), "node number 2"),
        (broken(nodes=[list(A), None, None]), "node number 2"),
        (broken(nodes=[list(A), None, list(A)]), "one name"),
        (broken(nodes=[list(A), None, [*B[:5], "asleep"]]), "no node"),
        (broken(nodes=[list(A), None, [*B[:5]]]), "no node"),
    ],
)
def test_what_is_none_is_named(packed: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Map.unpack(packed)


def test_slots_arrive_as_they_left() -> None:
    assert unpack_slots(pack_slots([5, 0, SLOTS - 1])) == [5, 0, SLOTS - 1]


@pytest.mark.parametrize("packed", [[1, 2], b"\0", b"\0\x40"])
def test_what_are_no_slots_is_refused(packed: object) -> None:
    with pytest.raises(ValueError, match="slot"):
        unpack_slots(packed)
