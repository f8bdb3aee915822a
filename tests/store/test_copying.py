"""Slots that go to another node as a copy: it has in the end what there is, whatever was done meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.store.alone import MemoryStore
from ckv.store.copying import CHUNK_RECORDS, Chunk, Copy, Received, digest_of
from ckv.store.memory import TABLES, Policy
from ckv.store.memory.slots import SlotSet
from ckv.values import Value

HALF = SlotSet(bytes([1]) * (SLOTS // 2) + bytes(SLOTS // 2), slot_of)
KEYS = [f"k:{number}" for number in range(2000)]
MOVING = [key for key in KEYS if key in HALF]


@pytest.fixture(params=[(kind, policy) for kind in TABLES for policy in TABLES[kind]], ids=" ".join)
def policy(request: pytest.FixtureRequest) -> Policy:
    kind, name = request.param
    return TABLES[kind][name]


@pytest.fixture
def store(policy: Policy) -> MemoryStore:
    store = MemoryStore(policy(100_000))
    for number, key in enumerate(KEYS):
        store.put(key, f"v:{key}" if number % 2 else f"v:{key}".encode(), 10**13 + number if number % 3 == 0 else 0)
    return store


def records(store: MemoryStore) -> dict[str, tuple[Value, int]]:
    """Those of the slots that move."""
    return {key: (value, expires) for key, value, _, _, expires in store.memory.records() if key in HALF}


def take(received: Received, steps: Iterator[Chunk | None]) -> list[Chunk]:
    """Has the other node take all of it; the chunks."""
    chunks = [chunk for chunk in steps if chunk is not None]
    for chunk in chunks:
        received.take(chunk.records)
        assert received.sums == (chunk.total, chunk.digest)
    return chunks


def installed(received: Received, policy: Policy, slots: SlotSet = HALF) -> dict[str, tuple[Value, int]]:
    other = MemoryStore(policy(100_000))
    for _ in received.install(other, slots):
        pass
    return records(other)


def test_all_that_is_there_goes_and_stays(store: MemoryStore, policy: Policy) -> None:
    received, move = Received(), store.begin_move(HALF)
    before = records(store)
    chunks = take(received, move.prepare())
    move.freeze()
    chunks += take(received, move.hand_over())
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert (move.keys, move.rows) == (len(MOVING), len(MOVING))
    assert max(len(chunk.records) for chunk in chunks) <= CHUNK_RECORDS
    store.end_move()
    assert installed(received, policy) == before == records(store)
    assert store.move is None


def test_what_is_done_meanwhile_goes_along(store: MemoryStore, policy: Policy) -> None:
    """Writes, deletions, other expiries and new keys, at any moment until it is frozen."""
    chance = random.Random(7)
    received, move = Received(), store.begin_move(HALF)
    for chunk in move.prepare():
        if chunk is not None:
            received.take(chunk.records)
        for _ in range(20):
            do_something(chance, store)
    for _ in range(200):
        do_something(chance, store)
    move.freeze()
    take(received, move.hand_over())
    assert installed(received, policy) == records(store)


def do_something(chance: random.Random, store: MemoryStore) -> None:
    key = chance.choice([*KEYS, f"new:{chance.randrange(100)}"])
    match chance.randrange(4):
        case 0:
            store.delete(key)
        case 1:
            store.put(key, str(chance.random()), 10**13)
        case 2:
            store.put(key, str(chance.random()))
        case _:
            store.put(key, "again")


def test_what_has_to_leave_memory_meanwhile_does_not_go(policy: Policy) -> None:
    store = MemoryStore(policy(500))
    for key in KEYS[:500]:
        store.put(key, "v")
    received, move = Received(), store.begin_move(HALF)
    take(received, move.prepare())
    for key in KEYS[500:1000]:
        store.put(key, "w")
    move.freeze()
    take(received, move.hand_over())
    assert installed(received, policy) == records(store)


def test_nothing_is_a_copy_too(policy: Policy) -> None:
    received, move = Received(), Copy(HALF, MemoryStore(policy(10)).memory)
    (first,) = take(received, move.prepare())
    (last,) = take(received, move.hand_over())
    assert first == Chunk([], 0, 0)
    assert last == Chunk([], 0, 0, is_last=True)


def test_large_records_go_one_by_one(policy: Policy) -> None:
    store = MemoryStore(policy(10))
    for key in MOVING[:4]:
        store.put(key, b"x" * 100_000)
    chunks = take(Received(), store.begin_move(HALF).prepare())
    assert [len(chunk.records) for chunk in chunks] == [1, 1, 1, 1, 0]


def test_only_records_of_the_slots_are_installed(store: MemoryStore, policy: Policy) -> None:
    received = Received()
    take(received, store.begin_move(HALF).prepare())
    quarter = SlotSet(bytes([1]) * (SLOTS // 4) + bytes(SLOTS - SLOTS // 4), slot_of)
    assert installed(received, policy, quarter).keys() == {key for key in KEYS if key in quarter}


def test_records_that_differ_in_anything_have_other_digests() -> None:
    some: list[tuple[str, Value, int]] = [("a", "b", 0), ("a", b"b", 0), ("a", "b", 1), ("", "ab", 0), ("ab", "", 0)]
    assert len({digest_of(*each) for each in some}) == len(some)
    assert digest_of("\udcff", "\udcff", 0) != digest_of("\udcff", b"\xff", 0)
