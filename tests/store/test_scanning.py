"""Scans tell what they promise, in the middle of anything; and in a store at rest each key once."""

from __future__ import annotations

import random
from itertools import product

import pytest

from ckv.store.alone import MemoryStore
from ckv.store.memory import PLAIN, TABLES
from ckv.store.modes import MODES
from ckv.store.scanning import MOST_BYTES, PIECE, START, Answer, Phase, Place, Scan
from ckv.values import MAX_KEY_BYTES
from tests.store.scans import everything, run
from tests.store.world import World

SCHEDULES = 100
"""Per mode, policy and table; the command has as many as one likes."""


@pytest.mark.parametrize(("mode", "policy", "table"), list(product(MODES, PLAIN, TABLES)))
def test_the_promise_is_kept(mode: str, policy: str, table: str) -> None:
    for seed in range(SCHEDULES):
        try:
            run(seed, mode, policy, table=table)
        except AssertionError as error:
            again = f"--mode {mode} --policy {policy} --table {table} --seed {seed}"
            raise AssertionError(f"{error}\npython -m tests.store.scans {again}") from error


def scanned(world: World, count: int = 10) -> list[str]:
    """All that a scan tells while nothing else happens."""
    scan = Scan(world.store, lambda _key: True)
    place, told = START, []
    while True:
        answer = Answer(count, place)
        scan.advance(answer, everything)
        at = answer.place
        if at is not None and at.phase is Phase.ROWS and not answer.is_full:
            rows = sorted(key for key in world.tier if at.after is None or key > at.after)[:count]
            found = [(key, world.tier[key][1]) for key in rows]
            scan.rows_end(scan.rows_begin(), answer, found, count, everything)
        told += answer.keys
        if answer.place is None:
            return told
        place = answer.place


@pytest.mark.parametrize("count", [1, 3, 100])
@pytest.mark.parametrize(("mode", "table"), list(product(MODES, TABLES)))
def test_at_rest_each_key_is_told_once(mode: str, table: str, count: int) -> None:
    world = World("lru", 10, 1000, mode, table)
    keys = [f"key {number:02}" for number in range(40)]
    for key in keys:
        world.put(key)
    world.delete(keys[7])
    world.put(keys[8], -1.0)
    world.settle()
    for key in keys[:5]:  # which are clean then, in memory and in the tier
        world.get(key)
    world.settle()
    assert sorted(scanned(world, count)) == [key for key in keys if key not in keys[7:9]]


@pytest.mark.parametrize(("policy", "table"), list(product(PLAIN, TABLES)))
def test_in_memory_alone_what_is_its_own_victim_is_told(policy: str, table: str) -> None:
    """A larger value takes the place of others, and the record that of one of them, which the scan has passed."""
    for seed in range(300):
        chance = random.Random(seed)
        store = MemoryStore(TABLES[table][policy](100, 4000))
        for number in range(20):
            store.put(f"{number}", "x" * 30)
        scan = Scan(store, lambda _key: True)
        place, told = START, []
        always = set(store.keys())
        while True:
            answer = Answer(chance.randint(1, 3), place)
            scan.advance(answer, everything)
            told += answer.keys
            if answer.place is None:
                break
            place = answer.place
            for _ in range(chance.randint(0, 3)):
                key = f"{chance.randrange(20)}"
                if chance.random() < 0.5:
                    store.get(key)
                elif key in store.memory:
                    store.put(key, "x" * chance.choice((10, 200, 600)))
                always &= set(store.keys())
        assert always <= set(told), f"seed {seed}: {always - set(told)}"
        assert len(told) < 100
        scan.close()
        assert store.motion.displaced_since(0) == [], "nothing is kept that nobody asks for"


@pytest.mark.parametrize("table", TABLES)
def test_what_was_deleted_and_not_written_yet_is_not_told(table: str) -> None:
    world = World("lru", 2, 1000, "evict", table)
    for key in "abcd":
        world.put(key)
    world.settle()
    world.delete("a")
    assert sorted(scanned(world)) == ["b", "c", "d"]
    world.put("a")
    world.put("e")
    assert sorted(scanned(world)) == ["a", "b", "c", "d", "e"]


def test_rows_of_other_nodes_are_left_out() -> None:
    world = World("lru", 2, 1000)
    for key in "abcd":
        world.put(key)
    world.settle()
    scan = Scan(world.store, lambda key: key != "a")
    answer = Answer(100, START)
    scan.advance(answer, everything)
    scan.rows_end(scan.rows_begin(), answer, [("a", 0), ("b", 0)], 10, everything)
    assert sorted(answer.keys) == ["b", "c", "d"]


@pytest.mark.parametrize("table", TABLES)
def test_an_answer_is_bounded_in_bytes(table: str) -> None:
    world = World("lru", 200, 1000, table=table)
    keys = [f"{number:0{MAX_KEY_BYTES}}" for number in range(200)]
    for key in keys[:100]:
        world.put(key)
    scan = Scan(world.store, lambda _key: True)
    answer = Answer(1000, START)
    scan.advance(answer, everything)
    assert MOST_BYTES <= answer.bytes <= MOST_BYTES + PIECE * MAX_KEY_BYTES
    assert answer.is_full
    told = answer.keys
    while answer.place is not None and answer.place.phase is not Phase.ROWS:
        answer = Answer(1000, answer.place)
        scan.advance(answer, everything)
        told = told + answer.keys
    assert sorted(told) == keys[:100]
    place = answer.place
    assert place is not None
    answer = Answer(1000, place)
    scan.rows_end(scan.rows_begin(), answer, [(key, 0) for key in keys[100:]], 1000, everything)
    assert MOST_BYTES <= answer.bytes < MOST_BYTES + MAX_KEY_BYTES
    assert answer.place == (Phase.ROWS, 0, answer.keys[-1])


@pytest.mark.parametrize("table", TABLES)
def test_places_without_records_count_too(table: str) -> None:
    """Else a scan through a table from which nearly all have gone would hold up everything."""
    world = World("lru", 10_000, 100_000, "evict", table)
    for number in range(10_000):
        world.memory.put(f"key {number}", "x")
    scan = Scan(world.store, lambda _key: True)
    for number in range(9_999):
        world.memory.remove(f"key {number}")
    answers = 0
    place, told = START, []
    while place.phase is Phase.MEMORY:
        answer = Answer(100, place)
        scan.advance(answer, everything)
        told += answer.keys
        assert answer.place is not None
        place = answer.place
        answers += 1
    assert told == ["key 9999"]
    assert answers >= 100


@pytest.mark.parametrize("table", TABLES)
def test_what_is_renewed_while_its_row_expires_and_then_leaves_memory_again(table: str) -> None:
    """Too rare for chance: its old row is purged, and the new one comes behind the walk through the rows."""
    world = World("lru", 2, 1000, "evict", table)
    world.put("k", 30.0)
    world.put("a")
    world.put("b")
    world.settle()
    assert set(world.tier) == {"k"}
    scan = Scan(world.store, lambda _key: True)
    answer = Answer(100, START)
    scan.advance(answer, everything)
    assert sorted(answer.keys) == ["a", "b"]
    world.get("k")
    world.settle()
    world.update("k", "expire", 0)
    world.advance(31.0)
    world.settle()
    world.purge()
    assert "k" in world.memory
    assert "k" not in world.tier
    rows = [(key, expires) for key, (_, expires) in sorted(world.tier.items())]
    scan.rows_end(scan.rows_begin(), answer, rows, 10, everything)
    answer = Answer(1, answer.place)
    assert world.memory.walk().keys_at(0, 1)[0] != ["k"]
    scan.advance(answer, everything)
    assert "k" not in answer.keys
    world.put("c")
    world.put("d")
    world.settle()
    assert "k" in world.tier
    answer = Answer(100, answer.place)
    scan.advance(answer, everything)
    assert answer.place is None
    assert "k" in answer.keys


def test_nobody_is_noted_when_no_scan_is_open() -> None:
    world = World("lru", 2, 1000)
    scan = Scan(world.store, lambda _key: True)
    answer = Answer(100, START)
    scan.advance(answer, everything)
    log = scan.rows_begin()
    for key in "abcdef":
        world.put(key)
    world.settle()
    assert log.writes
    scan.rows_failed(log)
    log.writes.clear()
    for key in "abcdef":
        world.put(key)
    world.settle()
    assert not log.writes


def advanced(scan: Scan, place: Place, count: int = 10) -> Answer:
    answer = Answer(count, place)
    scan.advance(answer, everything)
    return answer


def rest(world: World, scan: Scan, place: Place | None) -> list[str]:
    """What a scan tells from there on."""
    told: list[str] = []
    while place is not None:
        answer = advanced(scan, place)
        if answer.place is not None and answer.place.phase is Phase.ROWS and not answer.is_full:
            rows = [(key, world.tier[key][1]) for key in sorted(world.tier)]
            scan.rows_end(scan.rows_begin(), answer, rows, len(rows) + 1, everything)
        told += answer.keys
        place = answer.place
    return told


@pytest.mark.parametrize("table", TABLES)
def test_a_key_whose_row_has_expired_on_its_way_is_told(table: str) -> None:
    world = World("lru", 2, 1000, "evict", table)
    world.put("k", 5.0)
    world.put("a")
    world.put("b")  # k is pending
    scan = Scan(world.store, lambda _key: True)
    place = advanced(scan, START, 1).place
    assert place is not None
    world.get("k")  # and back in memory, behind the walk
    world.put("k")  # for ever
    world.advance(6.0)
    world.settle()  # the row that was pending is a deletion by now
    assert world.memory.peek("k") is not None
    assert "k" in rest(world, scan, place)


@pytest.mark.parametrize("table", TABLES)
def test_what_is_committed_while_its_listing_is_told_is_told(table: str) -> None:
    world = World("lru", 3, 1000, "evict", table)
    world.put("z", 1000.0)  # something expires, so that all is looked at again
    world.settle()
    scan = Scan(world.store, lambda _key: True)
    keys = [f"{number}" for number in range(8)]
    answer = advanced(scan, Place(Phase.MEMORY_AGAIN, 0), 1)
    for key in keys:
        world.put(key)
    told = [*answer.keys]
    place = answer.place
    while place is not None and place.phase is not Phase.PENDING_AGAIN:
        answer = advanced(scan, place, 1)
        told += answer.keys
        place = answer.place
    assert place is not None
    pending = set(world.pending.keys())
    assert pending
    answer = advanced(scan, place, 1)  # lists them, and tells one
    world.settle()
    told += answer.keys + (rest(world, scan, answer.place) if answer.place is not None else [])
    assert pending - {"z"} <= set(told)
