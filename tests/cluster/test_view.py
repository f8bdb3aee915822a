"""What clients in cluster mode are told of a list of nodes."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv.address import Address
from ckv.cluster.map import NOBODY, Map, Node
from ckv.cluster.slots import SLOTS, SlotMap, slot_of
from ckv.cluster.view import NO_SLOTS, View, of_list, of_map


def addresses(count: int) -> list[Address]:
    return [Address("127.0.0.1", 8081 + number) for number in range(count)]


@given(st.integers(1, 40), st.text())
def test_it_says_of_each_key_what_a_primary_with_the_same_list_does(count: int, key: str) -> None:
    listed = addresses(count)
    view = of_list(listed)
    owner = view.owner(slot_of(key))
    assert owner == SlotMap(listed).owner(key)
    (place,) = [place for place in view.places.values() if place.address == owner]
    assert any(first <= slot_of(key) <= last for first, last in place.ranges)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
def test_all_slots_are_told_once(count: int) -> None:
    view = of_list(addresses(count))
    told = sorted(row for place in view.places.values() for row in place.ranges)
    assert [slot for first, last in told for slot in range(first, last + 1)] == list(range(SLOTS))
    assert sum(place.slots for place in view.places.values()) == SLOTS
    assert len({place.id for place in view.places.values()}) == count
    assert all(len(bytes.fromhex(place.id)) == 20 for place in view.places.values())


def test_the_ids_are_the_same_whoever_tells_them() -> None:
    assert of_list(addresses(3), 1).places == of_list(addresses(3)).places


def test_scattered_slots_are_several_rows() -> None:
    owners = [1, 0, 0, 1, 1, 0]
    view = View(dict(enumerate(addresses(3))), owners, 1)
    assert [place.ranges for place in view.places.values()] == [((1, 2), (5, 5)), ((0, 0), (3, 4)), ()]
    assert view.served == bytes([1, 0, 0, 1, 1, 0])
    assert View(dict(enumerate(addresses(3))), owners, None).served == NO_SLOTS


def test_that_of_a_map_has_the_nodes_that_are_there_and_nobody_for_what_nobody_owns() -> None:
    nodes = [Node("a", 1, "h", 1, 100), None, Node("b", 1, "h", 2, 100, "away"), Node("c", 2, "h", 3, 100)]
    world = Map((7, 5), nodes, array("H", [3, 0, NOBODY, 3]))
    view = of_map(world)
    assert [place.address.port for place in view.places.values()] == [1, 3]
    assert [place.ranges for place in view.places.values()] == [((1, 1),), ((0, 0), (3, 3))]
    assert (view.owner(0), view.owner(2), view.own, view.served, view.epoch) == (Address("h", 3), None, None, b"", 5)
    own = of_map(world, Address("h", 3))
    assert own.own is not None
    assert (own.served, own.places) == (bytes([1, 0, 0, 1]), view.places)
    given_up = of_map(world, Address("h", 2))
    assert given_up.own is not None
    assert given_up.served == bytes(4)
    assert given_up.places[given_up.own].ranges == ()
    assert given_up.owner(0) == Address("h", 3)
