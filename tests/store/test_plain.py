"""The table in Python: its generations without memory for them, and how much it walks and keeps."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from ckv.store.memory import PLAIN, lru
from ckv.store.memory.lru import LRU
from ckv.store.memory.plain import Record
from tests.store.policy_models import Model
from tests.store.test_memory import put


class Tight(dict[str, Record]):
    """Needs memory as a dict does: for a key that comes when no place is left. A deletion leaves none."""

    def __init__(self, out: Callable[[], bool]) -> None:
        super().__init__()
        self._out = out
        self._places = 4

    def __setitem__(self, key: str, record: Record) -> None:
        if key not in self:
            if not self._places:
                if self._out():
                    raise MemoryError
                self._places = len(self) + 4
            self._places -= 1
        super().__setitem__(key, record)


@pytest.mark.parametrize("out_of", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("policy", ["lru", "fifo"])
@pytest.mark.parametrize("seed", range(30))
def test_out_of_memory_loses_no_record_and_no_order(
    policy: str, out_of: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)

    def out() -> bool:
        return chance.random() < out_of

    def with_room() -> Tight:
        if out():
            raise MemoryError
        return Tight(out)

    capacity = chance.choice([1, 2, 5, 8, 40])
    with monkeypatch.context() as enough:
        enough.setattr(lru, "_with_room", lambda: Tight(out))
        memory = PLAIN[policy](capacity)
    monkeypatch.setattr(lru, "_with_room", with_room)
    memory.may_put = True
    model = Model(policy, capacity)
    failed = 0
    for turn in range(600):
        key = f"{chance.randrange(2 * capacity)}"
        action = chance.random()
        try:
            if action < 0.45:
                assert (memory.get(key) is not None) == (key in model.records)
                model.use(key)
            elif action < 0.9:
                value = f"{turn}"
                victim = None
                while not (memory.overwrite(key, value) or memory.put(key, value)):
                    victim = memory.evict()[0]
                    assert victim == model.put_out()
                model.put(key)
                assert memory.peek(key) == value
            elif action < 0.95:
                next_victim = memory.next_victim()
                assert (next_victim and next_victim[0]) == model.victim()
            else:
                memory.remove(key)
                model.records.pop(key, None)
        except MemoryError:
            failed += 1
        memory.check()
        assert set(memory.keys()) == set(model.records)
    assert bool(failed) == (out_of > 0)
    out_of = 0.0
    while model.records:
        assert memory.evict()[0] == model.put_out()
    assert (len(memory), memory.bytes) == (0, 0)


STARVED = """
import resource
from ckv.store.memory.lru import LRU
count = 200_000
table = LRU(count)
table.may_put = True
for number in range(count):
    table.put(f"{number}", "v")
keys = table.keys()
before = len(table._generations)
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 2**22, resource.RLIM_INFINITY))
turns = 0
while len(table._generations) == before:
    turns += 1
    for number, key in enumerate(keys):
        assert (table.get(key) if number % 3 else table.put(key, "w") if number % 2 else table.overwrite(key, "w"))
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
table.check()
assert turns < 10
assert [table.evict()[0] for _ in keys] == keys
"""


def test_uses_go_on_where_the_system_gives_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_spare_has_memory_for_its_first_record() -> None:
    spare = lru._with_room()
    before = sys.getsizeof(spare)
    spare["key"] = ("key", "v", 1, False, 0)
    assert sys.getsizeof(spare) == before


class Walked(dict[str, Record]):
    """Counts the places that a walk passes: as in a dict, those of keys that have left are among them."""

    passed = 0

    def __init__(self) -> None:
        super().__init__()
        self._places: list[str] = []

    def __setitem__(self, key: str, record: Record) -> None:
        if key not in self:
            self._places.append(key)
        super().__setitem__(key, record)

    def __iter__(self) -> Iterator[str]:
        return self._walk(self._places)

    def __reversed__(self) -> Iterator[str]:
        return self._walk(self._places[::-1])

    def _walk(self, places: list[str]) -> Iterator[str]:
        for key in places:
            Walked.passed += 1
            if key in self:
                yield key


@pytest.mark.parametrize("policy", ["lru", "fifo"])
@pytest.mark.parametrize("ways", [("evict",), ("evict", "get"), ("evict", "remove"), ("evict", "get", "remove")])
def test_victims_are_found_without_passing_all_that_have_left(
    policy: str, ways: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lru, "_with_room", Walked)
    monkeypatch.setattr(Walked, "passed", 0)
    count = 1000
    memory = PLAIN[policy](count)
    calls = 0
    for turn in range(5):
        for number in range(count):
            put(memory, f"{turn} {number}")
            key = f"{turn - 1} {count - number}"
            calls += 1
            if "get" in ways:
                memory.get(key)
            if "remove" in ways and number % 3 == 0:
                memory.remove(key)
    assert memory.evicted > count
    assert Walked.passed < 10 * calls


def test_records_that_are_gone_keep_no_keys() -> None:
    count, size = 1000, 1000
    tracemalloc.start()
    try:
        memory = LRU(count)
        for number in range(count + 1):
            put(memory, f"{number}".ljust(size))
        for number in range(10, count + 1):
            memory.remove(f"{number}".ljust(size))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(memory) == 9
    assert taken < count * size / 4


@pytest.mark.parametrize("policy", PLAIN)
def test_a_record_has_one_key_object(policy: str) -> None:
    memory = PLAIN[policy](3)
    for number in (0, 1, 2, 1, 0, 2):
        memory.put(f"key {number}", "v")  # each time another object
        memory.get(f"key {number}")
        memory.mark_clean(f"key {number}", memory.version_of(f"key {number}"))
        memory.check()
    memory.next_victim()
    for number in (0, 1):
        memory.get(f"key {number}")
        memory.put(f"key {1 - number}", "w")
        memory.check()
