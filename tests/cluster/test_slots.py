"""Key to slot to node."""

from __future__ import annotations

from binascii import crc_hqx
from collections import Counter

import pytest

from ckv.cluster.slots import SLOTS, SlotMap, hash_tag, slot_of
from ckv.values import to_text

NODES = ["a", "b", "c"]

SHAPES = {
    "user:%d": "user:%d",
    "zero-padded": "%016d",
    "hex": "%x",
    "paths": "/de/munich/%d/name",
    "tagged": "{%d}.profile",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_keys_spread_evenly(shape: str) -> None:
    owners = SlotMap(NODES)
    count = Counter(owners.owner(shape % number) for number in range(100_000))
    assert all(32_333 <= count[node] <= 34_333 for node in NODES), count


def test_every_slot_has_an_owner_and_the_shares_differ_by_one_at_most() -> None:
    for size in (1, 2, 3, 7, 100):
        count = Counter(SlotMap(range(size)).owners)
        assert len(count) == size
        assert sum(count.values()) == SLOTS
        assert max(count.values()) - min(count.values()) <= 1


def test_the_same_list_routes_alike() -> None:
    one, other = SlotMap(["x:1", "y:1"]), SlotMap(["x:1", "y:1"])
    assert [one.owner(str(number)) for number in range(1000)] == [other.owner(str(number)) for number in range(1000)]


# From the Redis Cluster specification: its test vector for the CRC, and its examples of hash tags.
def test_slots_are_those_of_redis_cluster() -> None:
    assert slot_of("123456789") == 0x31C3 % SLOTS
    assert hash_tag("{user1000}.following") == "user1000"
    assert hash_tag("foo{}{bar}") == "foo{}{bar}"
    assert hash_tag("foo{{bar}}zap") == "{bar"
    assert hash_tag("foo{bar}{zap}") == "bar"
    assert hash_tag("foo{bar") == "foo{bar"
    assert slot_of("{user1000}.following") == slot_of("{user1000}.followers") == slot_of("user1000")


def test_a_key_that_is_not_utf8_has_a_slot() -> None:
    assert slot_of(to_text(b"\xff\xfe")) == slot_of(to_text(b"\xff\xfe")) != slot_of("")


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"plain", b"plain"),
        ("größer".encode(), "größer".encode()),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"{\xff}tail", b"\xff"),
        (b"{user}\xff", b"user"),
    ],
)
def test_the_slot_is_that_of_the_bytes(key: bytes, hashed: bytes) -> None:
    slot = crc_hqx(hashed, 0) % SLOTS
    assert slot_of(to_text(key)) == SlotMap(range(SLOTS)).owner(to_text(key)) == slot
