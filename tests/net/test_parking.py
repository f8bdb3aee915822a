"""Requests that wait while the slot of their key has no owner."""

from __future__ import annotations

import pytest

from ckv.errors import Moving
from ckv.net.parking import MOST_PARKED, MOST_PARKED_BYTES, Parking
from tests.node.callers import Told


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parking(clock: Clock) -> Parking:
    return Parking(clock, patience=2.0)


def numbers(parking: Parking) -> list[int]:
    return [parked.msgid for parked in parking.take()]


def test_they_come_out_in_their_order(parking: Parking) -> None:
    for number in range(5):
        parking.call("GET", (f"k{number}",), Told(), number)
    assert len(parking) == 5
    assert numbers(parking) == [0, 1, 2, 3, 4]
    assert len(parking) == 0


def test_what_came_back_was_made_before(parking: Parking) -> None:
    parking.call("GET", ("k",), Told(), 3)
    parking.came_back("PUT", ("k", "v"), Told(), 1)
    parking.came_back("PUT", ("k", "w"), Told(), 2)
    assert numbers(parking) == [1, 2, 3]


def test_what_comes_back_later_was_made_before_what_no_node_has_had(parking: Parking) -> None:
    parking.came_back("PUT", ("k", "v"), Told(), 1)
    parking.call("GET", ("k",), Told(), 3)
    parking.put_back(parking.take())
    parking.came_back("PUT", ("k", "w"), Told(), 2)
    assert numbers(parking) == [1, 2, 3]


def test_whoever_asks_something_large_is_held_until_it_is_made(parking: Parking, clock: Clock) -> None:
    told = Told()
    parking.call("PUT", ("k", "v"), told, 1, large=True)
    assert told.held
    (parked,) = parking.take()
    parking.put_back([parked])
    assert told.held
    parking.take()
    parked.end_hold()
    assert not told.held
    parking.call("PUT", ("k", "v"), told, 2, large=True)
    clock.now = 2.0
    parking.expire()
    assert [msgid for msgid, *_ in told.answers] == [2]
    assert not told.held


def test_what_is_put_back_stays_in_front(parking: Parking) -> None:
    for number in range(3):
        parking.call("GET", ("k",), Told(), number)
    taken = parking.take()
    parking.call("GET", ("k",), Told(), 3)
    parking.put_back(taken[1:])
    assert numbers(parking) == [1, 2, 3]


def test_there_is_room_for_so_many(parking: Parking) -> None:
    for number in range(MOST_PARKED):
        parking.call("GET", ("k",), Told(), number)
    with pytest.raises(Moving, match=f"{MOST_PARKED} requests wait"):
        parking.call("GET", ("k",), Told(), 0)
    parking.take()
    parking.call("GET", ("k",), Told(), 0)


def test_there_is_room_for_so_many_bytes(parking: Parking) -> None:
    value = b"v" * (MOST_PARKED_BYTES // 4)
    for number in range(3):
        parking.call("PUT", ("k", value), Told(), number)
    with pytest.raises(Moving, match="3 requests wait"):
        parking.call("PUT", ("k", value), Told(), 3)
    parking.put_back(parking.take())
    with pytest.raises(Moving, match="3 requests wait"):
        parking.came_back("PUT", ("k", value), Told(), 3)
    assert parking.refused == 2


def test_nobody_waits_for_ever(parking: Parking, clock: Clock) -> None:
    told = Told()
    parking.call("GET", ("k",), told, 1)
    clock.now = 1.0
    parking.call("GET", ("k",), told, 2)
    parking.came_back("GET", ("k",), told, 3)
    parking.expire()
    assert told.answers == []
    clock.now = 2.0
    parking.expire()
    ((msgid, error, result),) = told.answers
    assert (msgid, result) == (1, None)
    assert str(error).startswith("Moving: ")
    clock.now = 2.5
    taken = parking.take()
    parking.put_back(taken)
    clock.now = 3.0
    parking.expire()
    assert [msgid for msgid, *_ in told.answers] == [1, 3, 2]
