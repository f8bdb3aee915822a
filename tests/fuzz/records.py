"""The compiled table of records beside its twin: any calls in any order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain

import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.core.records import Table
from ckv.store.memory import PLAIN, Memory, Record
from ckv.store.memory.slots import SlotSet
from ckv.values import MAX_KEY_BYTES, Value, to_bytes, to_text
from tests.fuzz.choices import Choices
from tests.store.walks import walked

OVERHEAD_BYTES = 44
GHOST_BYTES = 16
VERSION_BYTES = 8
EXPIRY_BYTES = 8
LIST_BYTES = 8
"""What the compiled table counts of a record besides its key and its value: see ``ckv/core/records.pyx``."""
SLACK_BYTES = 0 if "ASAN_OPTIONS" in os.environ else 10_000
"""By how much the bytes that are counted may differ from that: malloc gives more than was asked for, in whole pages for
large blocks; a sanitizer's does not."""

SPECIAL_KEYS = [
    to_text(key) for key in (b"", b"\0", "ü".encode(), b"\xff", b"k" * MAX_KEY_BYTES, b"\x80" * MAX_KEY_BYTES)
]
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 100, 255, 256, 1000, 4095, 4096, 16_384, 65_536, 200_000]
FILLINGS = [b"v", b"\xff", "ü".encode(), b"\0"]
SETS = [SlotSet(bytes(slot % every == 0 for slot in range(SLOTS)), slot_of) for every in (1, 2, 5)]
CAPACITIES = [1, 2, 3, 7, 16, 17, 100, 1000, 5000]
CHECKED_UP_TO = 100
"""Records up to which a table is audited after each call."""


class Pair:
    """A table and its twin, which has no bound in bytes: where the table needs a victim for them, both give it up."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        policy = choices.one_of(list(PLAIN))
        capacity = self._capacity = choices.one_of(CAPACITIES)
        max_bytes = choices.one_of([0, 0, 1, 200, 1000, 20_000, 1_000_000])
        self.quick: Memory = Table(policy, capacity, max_bytes)
        self.plain = PLAIN[policy](capacity)
        self._now = 0
        self.quick.now_ms = self.plain.now_ms = lambda: self._now
        self._own = {"lfu": LIST_BYTES, "s3fifo": GHOST_BYTES}.get(policy, 0)
        self._keys = choices.one_of([2, 10, 10, capacity, 2 * capacity])
        self._walks: list[Walk] = []
        self._watched: SlotSet | None = None

    def _key(self) -> str:
        choices = self._choices
        return choices.one_of(SPECIAL_KEYS) if choices.once_in(8) else f"key {choices.below(self._keys)}"

    def _value(self) -> Value:
        choices = self._choices
        size = choices.one_of(SIZES) if choices.once_in(3) else choices.below(64)
        filling = choices.one_of(FILLINGS)
        value = (choices.taken(1) + filling * (size // len(filling) + 1))[:size]
        return value if choices.below(2) else to_text(value)

    def act(self) -> None:
        """Makes a call."""
        choices = self._choices
        act = choices.one_of(CALLS)
        act(self)
        for walk in [*self._walks]:
            if choices.once_in(3) and not walk.goes_on(self):
                self._walks.remove(walk)
        self.check(audit=len(self.plain) <= CHECKED_UP_TO or choices.once_in(50))

    def check(self, *, audit: bool) -> None:
        """Compares what costs no pass over all records, and, as an audit, what does."""
        quick, plain = self.quick, self.plain
        assert len(quick) == len(plain)
        assert (quick.clean, quick.expiring) == (plain.clean, plain.expiring)
        assert (quick.hits, quick.misses, quick.evicted) == (plain.hits, plain.misses, plain.evicted)
        assert quick.next_victim() == plain.next_victim()
        assert not quick.max_bytes or quick.bytes <= quick.max_bytes + SLACK_BYTES or len(quick) == 1
        if audit:
            quick.check()
            assert by_key(quick.records()) == by_key(plain.records())
            assert sorted(quick.keys()) == sorted(plain.keys())
            assert sorted(chain(*quick.overdue())) == sorted(chain(*plain.overdue()))

    # --- the calls -----------------------------------------------------------------------------------------------

    def put(self) -> None:
        choices = self._choices
        expires = 0 if choices.below(2) else max(1, self._now + choices.below(5) - 1)
        self._put(self._key(), self._value(), self._version(), clean=choices.once_in(2), expires=expires)

    def _put(self, key: str, value: Value, version: int, *, clean: bool, expires: int = 0) -> None:
        self._check_room(key, value, expires)
        quick, plain = self.quick, self.plain
        if not quick.max_bytes:
            assert quick.has_room_for(key, value, expires) == plain.has_room_for(key, value, expires)
        while not quick.has_room_for(key, value, expires):
            assert quick.put(key, value, version, clean, expires) is False
            self._evict()
            self._check_room(key, value, expires)
        assert quick.put(key, value, version, clean, expires)
        assert plain.put(key, value, version, clean, expires)
        assert quick.version_of(key) == plain.version_of(key) != 0

    def time_passes(self) -> None:
        self._now += self._choices.below(3)

    def _version(self) -> int:
        """Mostly none, else that of some record, or one to come."""
        choices = self._choices
        if choices.below(8):
            return 0
        return self.plain.version_of(self._key()) + choices.below(3)

    def _check_room(self, key: str, value: Value, expires: int) -> None:
        """The bound in bytes is kept, and nothing leaves without need."""
        quick = self.quick
        if not quick.max_bytes or (key not in quick and len(quick) >= self._capacity):
            return
        old = next((record for record in quick.records() if record[0] == key), None) if key in quick else None
        needs = self._bytes(key, value, expires) - (self._bytes(key, old[1], old[4]) if old is not None else 0)
        others = len(quick) - (old is not None)
        if not others or quick.bytes + needs + SLACK_BYTES <= quick.max_bytes:
            assert quick.has_room_for(key, value, expires), "a victim is asked for without need"
        elif quick.bytes + needs - SLACK_BYTES > quick.max_bytes:
            assert not quick.has_room_for(key, value, expires), "the bound in bytes is broken"

    def _bytes(self, key: str, value: Value, expires: int) -> int:
        mine = VERSION_BYTES + self._own + OVERHEAD_BYTES + EXPIRY_BYTES * (expires != 0)
        return mine + len(to_bytes(key)) + len(to_bytes(value))

    def put_many(self) -> None:
        """So many that the table grows."""
        choices = self._choices
        start, count = choices.below(10_000), choices.below(1000 if choices.once_in(4) else 50)
        for number in range(start, start + count):
            self._put(f"key {number % (2 * self._capacity)}", b"v" * (number % 40), 0, clean=number % 3 == 0)

    def get(self) -> None:
        key = self._key()
        assert self.quick.get(key) == self.plain.get(key)

    def get_many(self) -> None:
        choices = self._choices
        start, count = choices.below(10_000), choices.below(1000 if choices.once_in(4) else 50)
        for number in range(start, start + count):
            key = f"key {number % self._capacity}"
            assert self.quick.get(key) == self.plain.get(key)

    def look(self) -> None:
        key = self._key()
        quick, plain = self.quick, self.plain
        assert quick.peek(key) == plain.peek(key)
        assert quick.version_of(key) == plain.version_of(key)
        assert quick.is_clean(key) == plain.is_clean(key)
        assert quick.is_over(key) == plain.is_over(key)
        assert quick.expires_of(key) == plain.expires_of(key)
        assert quick.record(key) == plain.record(key)
        assert (key in quick) == (key in plain)

    def evict(self) -> None:
        if len(self.plain):
            self._evict()
            return
        for table in (self.quick, self.plain):
            with pytest.raises(LookupError):
                table.evict()

    def _evict(self) -> None:
        victim = self.quick.evict()
        assert victim == self.plain.evict()
        self._left(victim[0])

    def remove(self) -> None:
        key = self._key()
        assert self.quick.remove(key) == self.plain.remove(key)
        self._left(key)

    def remove_many(self) -> None:
        every = 2 + self._choices.below(4)
        for number, key in enumerate(self.plain.keys()):
            if number % every == 0:
                assert self.quick.remove(key)
                assert self.plain.remove(key)
                self._left(key)

    def mark_clean(self) -> None:
        key = self._key()
        version = self.plain.version_of(key)
        version = max(0, version + self._choices.one_of([0, 0, 1, -1]))
        self.quick.mark_clean(key, version)
        self.plain.mark_clean(key, version)

    def forget_clean(self) -> None:
        self.quick.forget_clean()
        self.plain.forget_clean()

    def clear(self) -> None:
        keys = self.plain.keys()
        self.quick.clear()
        self.plain.clear()
        assert self.quick.bytes == 0
        self._left(*keys)

    def new_version(self) -> None:
        assert self.quick.new_version() == self.plain.new_version()

    def refuse(self) -> None:
        """What is no record is refused, and nothing changes."""
        choices = self._choices
        key = choices.one_of(["k" * (MAX_KEY_BYTES + 1), "\ud800", 7, None, "good"])
        value = "v" if key != "good" else choices.one_of([7, None, ["v"], "\ud800"])
        with pytest.raises((ValueError, TypeError)):
            self.quick.put(key, value)  # type: ignore[arg-type]

    def watch(self) -> None:
        self._watched = self._choices.one_of([None, *SETS])
        self.quick.watch(self._watched)
        self.plain.watch(self._watched)

    def written(self) -> None:
        """Where much was written the table tells of all that is not clean."""
        quick, plain = self.quick.written(), set(self.plain.written())
        assert len(set(quick)) == len(quick)
        slots = self._watched
        unclean = {
            key for key, _, _, clean, _ in self.plain.records() if not clean and slots is not None and key in slots
        }
        assert plain <= set(quick) <= unclean
        assert set(quick) in (plain, unclean)

    def walk_in(self) -> None:
        """All keys of some slots, in pieces."""
        slots, count = self._choices.one_of(SETS), 1 + self._choices.below(50)
        found = walked(self.quick.walk(), count, slots)
        assert sorted(found) == sorted(walked(self.plain.walk(), count, slots))

    def walk(self) -> None:
        """Begins to take the records one by one, while other calls are made."""
        if len(self._walks) < 3:
            self._walks.append(Walk(self))

    def _left(self, *keys: str) -> None:
        for walk in self._walks:
            walk.stayed.difference_update(keys)


class Walk:
    """A pass over the records of a table that changes meanwhile."""

    def __init__(self, pair: Pair) -> None:
        self._records = iter(pair.quick.records())
        self._seen: list[str] = []
        self.stayed = set(pair.plain.keys())
        """Keys of the records that were here all the while."""

    def goes_on(self, pair: Pair) -> bool:
        """Takes the next records; whether there are more."""
        for _ in range(1 + len(pair.plain) // 8):
            record = next(self._records, None)
            if record is None:
                seen = [key for key in self._seen if key in self.stayed]
                assert sorted(seen) == sorted(self.stayed), "a record came not at all, or twice"
                return False
            key, value, version, clean, expires = record
            assert pair.plain.peek(key) == (value if not pair.plain.is_over(key) else None)
            assert pair.plain.expires_of(key) == expires
            assert pair.plain.version_of(key) == version
            assert pair.plain.is_clean(key) == clean
            self._seen.append(key)
        return True


CALLS: list[Callable[[Pair], None]] = [
    *[Pair.put] * 10,
    *[Pair.get] * 6,
    *[Pair.remove, Pair.evict, Pair.look, Pair.mark_clean, Pair.time_passes] * 2,
    *(Pair.put_many, Pair.get_many, Pair.remove_many),
    *(Pair.watch, Pair.written, Pair.walk_in),
    *(Pair.forget_clean, Pair.clear, Pair.new_version, Pair.refuse, Pair.walk),
]


def by_key(records: Iterator[Record]) -> list[Record]:
    """The records in the order of their keys."""
    return sorted(records, key=lambda record: record[0])


def one_input(data: bytes) -> None:
    """Raises AssertionError when the table and its twin differ."""
    choices = Choices(data)
    pair = Pair(choices)
    while choices.left:
        pair.act()
    pair.check(audit=True)
    while len(pair.plain):
        assert pair.quick.evict() == pair.plain.evict(), "the order of the victims"
    pair.quick.check()
    assert len(pair.quick) == pair.quick.bytes == pair.quick.clean == 0
