"""What the nodes of a cluster say to each other arrives as it left, and what is none of it is refused."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from ckv.address import Address
from ckv.cluster.copying import Copy
from ckv.cluster.map import Map, Node
from ckv.cluster.messages import (
    Again,
    Answer,
    Beat,
    Beaten,
    Elsewhere,
    FenceOff,
    Follow,
    Followed,
    Freeze,
    Join,
    Joined,
    Leave,
    Left,
    NoEntry,
    Prepare,
    Sight,
    Static,
    unpack_answer,
)
from ckv.cluster.slots import SLOTS
from ckv.protocol.limits import Limits
from ckv.protocol.messages import new_requests_unpacker
from ckv.protocol.packing import new_packer

WORLD = Map((1, 2), [Node("a", 1, "host", 1, 100)], array("H", [0]) * SLOTS)

MESSAGES: list[Any] = [
    Join("a", 2**62, 3, "host", 8081, 100, "evict", "mysql:17", None),
    Beat("a", 5, 3, (1, 2), {"records": 7}, (Sight("b", 1, 99, True),)),
    Leave("a", 5, 3),
    Follow((1, 2)),
    Prepare(7, (1, 2), (0, 5, SLOTS - 1), "b"),
    Freeze(7, (1, 2)),
    FenceOff("b", 1, 99, 3),
    Copy("a", "b", 7, (1, 2), 3, b"records", 256, 2**64 - 1, True),
]

ANSWERS: list[Answer] = [
    Beaten(True, (1, 2), None),
    Beaten(False, (1, 2), None, (Address("a", 8080), Address("::1", 8081))),
    Left(False, 12), Followed(None), Again(), Static(), Elsewhere("host", 8080), NoEntry("why not"),
]  # fmt: skip


def over_the_wire(packed: list[object]) -> Any:
    unpacker = new_requests_unpacker(Limits())
    unpacker.feed(new_packer().pack(packed))
    return unpacker.unpack()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_left(message: Any) -> None:
    assert type(message).unpack(over_the_wire(message.pack())) == message


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_an_answer_arrives_as_it_left(answer: Answer) -> None:
    there = unpack_answer(over_the_wire(answer.pack()))
    assert (type(there), there) == (type(answer), answer)


def test_maps_arrive_with_them() -> None:
    joined = unpack_answer(over_the_wire(Joined(3, 5.0, WORLD, cluster_clients=True).pack()))
    beaten = unpack_answer(over_the_wire(Beaten(True, (1, 2), WORLD).pack()))
    followed = unpack_answer(over_the_wire(Followed(WORLD).pack()))
    join = Join.unpack(over_the_wire(Join("a", 1, 0, "host", 1, 1, "evict", "", WORLD).pack()))
    assert isinstance(joined, Joined)
    assert joined.cluster_clients
    assert isinstance(beaten, Beaten)
    assert isinstance(followed, Followed)
    for there in (joined.map, beaten.map, join.map, followed.map):
        assert there is not None
        assert there.pack() == WORLD.pack()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_no_message_is_refused(message: Any) -> None:
    packed = message.pack()
    for wrong in (None, packed[:-1], [*packed, 1], [object(), *packed[1:]]):
        with pytest.raises(ValueError, match="this is no"):
            type(message).unpack(wrong)


@pytest.mark.parametrize(
    "packed", [None, [], ["no"], ["beat", 1, [1, 2], None], ["joined", 1], "joined", ["leave", 1, 2]]
)
def test_what_is_no_answer_is_refused(packed: object) -> None:
    with pytest.raises(ValueError, match=r"this is no answer|map"):
        unpack_answer(packed)
