"""Slots that go to another node as a copy of what stands in a file: it has in the end what clients were told there is,
be it in memory, pending or a row, whatever was done meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import pytest

from ckv.cluster.slots import SLOTS, slot_of
from ckv.errors import CkvError, RowsRefused
from ckv.store.copying import CHUNK_BYTES, CHUNK_RECORDS, Chunk, Copied, Sums
from ckv.store.filed import Filed, Keys, Rows
from ckv.store.memory import TABLES
from ckv.store.memory.slots import SlotSet
from ckv.store.modes import MODES
from ckv.store.moving import PIECE, NotTaken
from ckv.store.pending import Pending
from ckv.store.row import TOMBSTONE
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.waiting import Waiting
from ckv.values import Value

HALF = SlotSet(bytes(slot < SLOTS // 2 for slot in range(SLOTS)), slot_of)
KEYS = [f"key {number}" for number in range(600)]
LATER = 10**13

Record = tuple[Value, int]


class Rig:
    """A store over a file that is a dict, with memory for a sixth of the records, and what clients were told."""

    def __init__(self, mode: str, table: str) -> None:
        self.rows: dict[str, Record] = {}
        self.truth: dict[str, Record] = {}
        environment = Environment(clock=lambda: 0.0, load_timeout=1e9, pending_wait=1e9, linger=1.0, write_delay=1.0)
        self.store: Store = MODES[mode](TABLES[table]["lru"](100), Pending(1000, 1 << 30), environment)
        self.filed = Filed(self.store)
        self.refused: Mapping[str, CkvError] = {}
        for number, key in enumerate(KEYS):
            self.put(key, f"v:{key}" if number % 2 else f"v:{key}".encode(), LATER if number % 3 == 0 else 0)
            self.work()

    def put(self, key: str, value: Value, expires: int = 0) -> None:
        self._done(self.store.put(key, value, expires), lambda: self.truth.update({key: (value, expires)}))

    def delete(self, key: str) -> None:
        self._done(self.store.delete(key), lambda: self.truth.pop(key, None))

    def _done(self, outcome: object, done: Callable[[], object]) -> None:
        def told(_: object, error: CkvError | None) -> None:
            if error is None:
                done()

        if isinstance(outcome, Waiting):
            outcome.wait(told)
            self.work()  # so that the next one comes behind it
        else:
            done()

    def work(self) -> None:
        """What the workers of a node do."""
        while query := self.store.load_begin():
            found = {load.key: self.rows[load.key] for load in query.loads if load.key in self.rows}
            when = {key: expires for key, (_, expires) in found.items() if expires}
            self.store.load_end(query, {key: value for key, (value, _) in found.items()}, {}, when)
        while batch := self.store.flush_begin():
            for key, value, _, expires in batch:
                if key not in self.refused:
                    self.rows.pop(key, None)
                    if value is not TOMBSTONE:
                        self.rows[key] = value, expires
            self.store.flush_end(batch, self.refused)
            self.store.admit()

    def in_half(self) -> dict[str, Record]:
        """What there is of the slots that move."""
        return {key: record for key, record in self.truth.items() if key in HALF}


class Other:
    """The other node."""

    def __init__(self) -> None:
        self.sums = Sums()
        self.rows: dict[str, Record] = {}
        self.chunks: list[Chunk] = []

    def take(self, chunk: Chunk) -> None:
        self.sums.take(chunk.records)
        assert (self.sums.total, self.sums.digest) == (chunk.total, chunk.digest)
        for key, value, expires in chunk.records:
            self.rows.pop(key, None)
            if value is not None:
                self.rows[key] = value, expires
        self.chunks.append(chunk)


def through(rig: Rig, other: Other, steps: Iterator[object], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Does what each step asks for, as a node does."""
    for step in steps:
        match step:
            case Keys(after, count):
                keys = sorted(rig.rows, key=str.encode)
                step.found = [key for key in keys if after is None or key.encode() > after.encode()][:count]
            case Rows(wanted, max_value_bytes):
                found = {key: rig.rows[key] for key in wanted if key in rig.rows}
                fits = {key: not max_value_bytes or len(found[key][0]) <= max_value_bytes for key in found}
                step.found = {key: value for key, (value, _) in found.items() if fits[key]}
                step.larger = {key: len(value) for key, (value, _) in found.items() if not fits[key]}
                step.expires = {key: expires for key, (_, expires) in found.items() if expires}
            case Chunk():
                other.take(step)
        meanwhile()
        rig.work()


@pytest.fixture(params=[(mode, table) for mode in MODES for table in TABLES], ids=" ".join)
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(*request.param)


def test_all_that_is_there_goes_and_stays(rig: Rig) -> None:
    other, move = Other(), rig.filed.begin_move(HALF)
    through(rig, other, move.prepare())
    move.freeze()
    through(rig, other, move.hand_over())
    assert other.rows == rig.in_half()
    assert [chunk.is_last for chunk in other.chunks] == [False] * (len(other.chunks) - 1) + [True]
    assert max(len(chunk.records) for chunk in other.chunks) <= CHUNK_RECORDS
    assert move.rows == len(other.rows)
    rig.filed.end_move()
    assert rig.filed.move is None
    assert {key: record for key, record in rig.rows.items() if key in HALF} == other.rows
    assert not rig.store.motion._logs
    rig.store.check()


@pytest.mark.parametrize("seed", range(5))
def test_what_is_done_meanwhile_goes_along(rig: Rig, seed: int) -> None:
    """Writes, deletions, other expiries and new keys, at any moment until it is frozen."""
    chance = random.Random(seed)
    other, move = Other(), rig.filed.begin_move(HALF)
    left = 300

    def meanwhile() -> None:
        nonlocal left
        for _ in range(min(left, chance.randrange(8))):
            left -= 1
            do_something(chance, rig)

    through(rig, other, move.prepare(), meanwhile)
    for _ in range(50):
        do_something(chance, rig)
    move.freeze()
    through(rig, other, move.hand_over())
    assert other.rows == rig.in_half()


def do_something(chance: random.Random, rig: Rig) -> None:
    key = chance.choice([*KEYS, f"new {chance.randrange(100)}"])
    match chance.randrange(5):
        case 0:
            rig.delete(key)
        case 1:
            rig.put(key, str(chance.random()), LATER + chance.randrange(3))
        case 2:
            rig.store.get(key)
        case _:
            rig.put(key, str(chance.random()))


def test_nothing_is_a_copy_too() -> None:
    rig, other = Rig("evict", "plain"), Other()
    for key in KEYS:
        rig.delete(key)
    move = rig.filed.begin_move(HALF)
    through(rig, other, move.prepare())
    move.freeze()
    through(rig, other, move.hand_over())
    assert other.chunks == [Chunk([], 0, 0), Chunk([], 0, 0, is_last=True)]


def test_large_records_go_one_by_one() -> None:
    rig, other = Rig("through", "plain"), Other()
    large = [key for key in KEYS if key in HALF][:3]
    for key in large:
        rig.put(key, b"x" * (2 * CHUNK_BYTES))
    move = rig.filed.begin_move(HALF)
    through(rig, other, move.prepare())
    assert other.rows == rig.in_half()
    sizes = [sum(len(value or "") for _, value, _ in chunk.records) for chunk in other.chunks]
    assert sorted(sizes)[-3:] == [2 * CHUNK_BYTES] * 3


def test_the_file_is_read_in_pieces() -> None:
    rig, other = Rig("through", "plain"), Other()
    rig.rows |= {f"row {number}": ("v", 0) for number in range(2 * PIECE)}
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    through(rig, other, rig.filed.begin_move(HALF).prepare(), count)
    assert steps > 2 * PIECE / 2 / CHUNK_RECORDS
    assert other.rows == {key: record for key, record in rig.rows.items() if key in HALF}


@pytest.mark.parametrize("frozen", [False, True])
def test_a_row_that_the_file_refuses_ends_it_and_stays(frozen: bool) -> None:
    rig, other = Rig("evict", "plain"), Other()
    key = next(f"bad {number}" for number in range(100) if f"bad {number}" in HALF)
    rig.refused = {key: RowsRefused("too long")}
    move = rig.filed.begin_move(HALF)
    if frozen:
        through(rig, other, move.prepare())
        move.freeze()
    rig.put(key, "v")
    with pytest.raises(NotTaken, match=rf"slots {slot_of(key)}$"):
        through(rig, other, move.hand_over() if frozen else move.prepare())
    rig.filed.end_move()
    assert rig.store.get(key) == "v"


def copied(*records: Copied) -> Sums:
    sums = Sums()
    sums.take(records)
    return sums


def test_sums_are_of_the_last_of_each_record() -> None:
    once, twice = copied(("a", "v", 0)), copied(("a", "w", 0), ("b", "v", 0), ("a", "v", 0), ("b", None, 0))
    assert (once.total, once.digest) == (twice.total, twice.digest)
    assert copied(("a", "v", 1)).digest != once.digest
