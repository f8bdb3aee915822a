"""When a store has nothing that gets old if somebody else writes its keys."""

from __future__ import annotations

import pytest

from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from tests.store.test_together import Steps


def holds(store: Records) -> bool:
    return store.holds


@pytest.fixture(params=MODES)
def node(request: pytest.FixtureRequest) -> Steps:
    return Steps(str(request.param), capacity=2, pending_max=1)


def test_records_count(node: Steps) -> None:
    assert not holds(node.store)
    node.put("1")
    assert holds(node.store)
    node.settle()
    node.memory.clear()
    assert not holds(node.store)
    node.tier["read"] = "1"
    node.get("read")
    node.load()
    assert holds(node.store)


def test_a_load_counts_whoever_waits_for_it(node: Steps) -> None:
    node.get()
    assert holds(node.store)
    query = node.store.load_begin()
    assert query is not None
    node.now += 100
    node.store.expire()
    assert node.answers == ["get: TierUnavailable"]
    assert holds(node.store), "it will be installed all the same"
    node.store.load_end(query, {})
    assert not holds(node.store)


def test_an_update_counts_from_the_beginning_on(node: Steps) -> None:
    node.add("1")
    assert holds(node.store)
    node.load()
    assert holds(node.store)
    node.settle()
    node.memory.clear()
    assert not holds(node.store)


@pytest.mark.parametrize("what", ["puts", "a step"])
def test_what_waits_for_room_counts(node: Steps, what: str) -> None:
    # One row is all that may be pending, and one record more than memory has room for makes it one.
    for number in range(3 if node.memory.may_put else 1):
        node.put("1", f"k{number}")
    batch = node.store.flush_begin()
    assert len(batch) == 1
    if what == "puts":
        node.put("1", "last")
        node.put("1", "behind it")
    else:
        node.put_all("last", "behind it")
    node.store.flush_end(batch)
    node.memory.clear()
    assert not node.store.unsaved
    assert holds(node.store), "it is about to be written"
    node.store.admit()
    node.settle()
    node.memory.clear()
    assert not holds(node.store)


def test_a_deletion_counts_until_it_is_saved(node: Steps) -> None:
    node.tier["k"] = "1"
    node.ask("del", lambda: node.store.delete("k"))
    assert holds(node.store)
    node.settle()
    assert not holds(node.store)
    assert node.tier == {}


def test_a_key_without_a_record_does_not_and_is_looked_for_again(node: Steps) -> None:
    node.get()
    node.load()
    node.tier["k"] = "1"
    node.get()
    assert node.answers == ["get: None", "get: None"]
    assert not holds(node.store)
    node.store.forget_absent()
    node.get()
    node.load()
    assert node.answers[2:] == ["get: 1"]


def test_without_a_tier() -> None:
    store = MemoryStore(POLICIES["lru"](2))
    assert not holds(store)
    store.forget_absent()
    store.put("k", "1")
    assert holds(store)
