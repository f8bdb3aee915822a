"""What clients in cluster mode are told of a list of nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv.address import Address
from ckv.cluster.slots import SLOTS, SlotMap, slot_of
from ckv.cluster.view import NO_SLOTS, View, of_list


def addresses(count: int) -> list[Address]:
    return [Address("127.0.0.1", 8081 + number) for number in range(count)]


@given(st.integers(1, 40), st.text())
def test_it_says_of_each_key_what_a_primary_with_the_same_list_does(count: int, key: str) -> None:
    listed = addresses(count)
    view = of_list(listed)
    place = view.owner(slot_of(key))
    assert place.address == SlotMap(listed).owner(key)
    assert any(first <= slot_of(key) <= last for first, last in place.ranges)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
def test_all_slots_are_told_once(count: int) -> None:
    view = of_list(addresses(count))
    told = sorted(row for place in view.places for row in place.ranges)
    assert [slot for first, last in told for slot in range(first, last + 1)] == list(range(SLOTS))
    assert sum(place.slots for place in view.places) == SLOTS
    assert len({place.id for place in view.places}) == count
    assert all(len(bytes.fromhex(place.id)) == 20 for place in view.places)


def test_the_ids_are_the_same_whoever_tells_them() -> None:
    assert of_list(addresses(3), 1).places == of_list(addresses(3)).places


def test_scattered_slots_are_several_rows() -> None:
    owners = [1, 0, 0, 1, 1, 0]
    view = View(addresses(3), owners, 1)
    assert [place.ranges for place in view.places] == [((1, 2), (5, 5)), ((0, 0), (3, 4)), ()]
    assert view.served == bytes([1, 0, 0, 1, 1, 0])
    assert View(addresses(3), owners, None).served == NO_SLOTS
