"""A store and the code that writes its batches, over a tier that takes some rows, some batches, and some nothing.

What has to come out of it, whoever is at fault: what can be written is written, what cannot is parked and stays as it
is for readers, and while nothing can be written nothing is parked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv.errors import CkvError, CommitTimeout, RowsRefused, SessionLost, TierUnavailable, WriteFailed
from ckv.node.flushing import flush
from ckv.persistent import NO_EXPIRY, Loaded
from ckv.store.loading import Load
from ckv.store.memory import POLICIES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.store.tiers import BATCH_BYTES, BATCH_RECORDS, Environment
from ckv.store.waiting import Waiting
from ckv.values import Value

WRITE_DELAY = 1.0
MAX_STEPS = 20_000


class FakeTier:
    """A tier in a dict, and a session of it."""

    def __init__(self, fault: Callable[[Sequence[str]], CkvError | None], *, takes_writes: bool = True) -> None:
        """``fault`` says with what error a transaction with these keys fails, if it does."""
        self.generation = 0
        self.rows: dict[str, Value] = {}
        self.fault = fault
        self.takes_writes = takes_writes
        self.batches: list[list[str]] = []
        self.probes = 0

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def load_all(self, keys: Sequence[str]) -> Loaded:
        return self.load_some(keys, 0)

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        return Loaded(self.load_many(keys), {})

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        self._transaction([key for key, _ in rows])
        self.rows.update(rows)

    def delete_many(self, keys: Sequence[str]) -> None:
        self._transaction(keys)
        for key in keys:
            self.rows.pop(key, None)

    def _transaction(self, keys: Sequence[str]) -> None:
        self.batches.append(list(keys))
        error = self.fault(keys) if self.takes_writes else TierUnavailable("no writes")
        if error is not None:
            raise error

    def next_keys(self, after: str | None, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
        raise NotImplementedError

    def estimate(self) -> int:
        raise NotImplementedError

    def may_purge(self) -> bool:
        return False

    def purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        return None, 0

    def probe(self) -> None:
        self.probes += 1
        if not self.takes_writes:
            raise TierUnavailable("no writes")

    def count(self) -> int:
        return len(self.rows)

    def close(self) -> None:
        """Nothing is held."""


class Rig:
    """A store, its tier, a clock, and a worker that never tires."""

    def __init__(self, tier: FakeTier, mode: str = "behind") -> None:
        self.now = 0.0
        self.tier = tier
        self.store: Store = MODES[mode](
            POLICIES["lru"](1 if mode == "evict" else 10_000),
            Pending(10_000, 1 << 40),
            Environment(clock=lambda: self.now, load_timeout=3600.0, pending_wait=1.0, write_delay=WRITE_DELAY),
        )
        self.told: dict[str, CkvError | None] = {}

    def put(self, key: str, value: str = "v") -> None:
        self._told(key, self.store.put(key, value))

    def delete(self, key: str) -> None:
        self._told(key, self.store.delete(key))

    def _told(self, key: str, outcome: object) -> None:
        if isinstance(outcome, Waiting):
            outcome.wait(lambda _, error: self.told.__setitem__(key, error))

    def work(self, seconds: float) -> None:
        """Flushes and loads whatever is due within that time."""
        end = self.now + seconds
        for _ in range(MAX_STEPS):
            query = self.store.load_begin()
            if query is not None:
                self.store.load_end(query, self.tier.load_many([load.key for load in query.loads]))
            due = self.store.flush_in()
            if due is None or self.now + due > end:
                self.now = end
                self.store.check()
                return
            self.now += due
            batch = self.store.flush_begin()
            try:
                flush(self.store, self.tier, batch)
            except TierUnavailable:
                self.now += 0.05  # the shortest that a worker waits before it tries on
            self.store.admit()
        raise AssertionError(f"it does not come to rest within {MAX_STEPS} batches")


def keys(count: int) -> list[str]:
    return [f"k{number:03}" for number in range(count)]


POISON: dict[str, Callable[[str], CkvError]] = {
    "refused": RowsRefused,
    "unknown number": WriteFailed,
    "kills the connection": SessionLost,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", POISON)
@pytest.mark.parametrize("deletes", [False, True], ids=["values", "deletions"])
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_rows_that_cannot_be_written_are_parked_and_block_no_other(
    mode: str, kind: str, deletes: bool, data: st.DataObject
) -> None:
    names = keys(data.draw(st.integers(2, 60)))
    poison = data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=len(names) - 1))
    rig = Rig(FakeTier(lambda keys: None), mode)
    if deletes:
        for name in names:
            rig.put(name, "old")
        rig.store.drain_begin()
        rig.work(10)
        assert set(rig.tier.rows) == set(names)
        rig = Rig(rig.tier, mode)
    rig.tier.fault = lambda keys: POISON[kind](kind) if poison & set(keys) else None
    for name in names:
        rig.delete(name) if deletes else rig.put(name)
    # In evict the last one stays in memory; and a row is to blame for a connection only beside others that pass.
    for number in range(20):
        rig.put(f"other {number}")
        rig.work(20)
    written = {name for name in names if (name in rig.tier.rows) is not deletes}
    assert written >= set(names) - poison
    assert not written & poison
    readable = {name: rig.store.get(name) for name in poison if mode != "through"}
    assert all(value == (None if deletes else "v") for value in readable.values())
    if mode != "through":
        assert rig.store.parked == len(poison)
    elif kind != "kills the connection":
        assert rig.store.parked == 0
        assert {name for name, error in rig.told.items() if isinstance(error, RowsRefused)} == poison
        # What was not written did not happen.
        assert {rig.store.locate(name).value for name in poison} <= {"old" if deletes else None, None}
    else:
        # Nobody knows what the lost connection did, so nothing is said, and nothing is forgotten.
        assert rig.store.parked == len(poison)
        assert not poison & set(rig.told)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("error", [TierUnavailable, SessionLost, WriteFailed])
def test_while_nothing_can_be_written_nothing_is_parked(mode: str, error: Callable[[str], CkvError]) -> None:
    """A probe may even pass for a time: what loses every answer, or has room for small rows only."""
    rig = Rig(FakeTier(lambda keys: error("away"), takes_writes=False), mode)
    for name in keys(50):
        rig.put(name)
    rig.work(600)
    assert rig.store.parked == 0
    if error is not WriteFailed:
        rig.tier.takes_writes = True
        rig.work(600)
        assert rig.store.parked == 0
    rig.tier.fault = lambda keys: None
    rig.tier.takes_writes = True
    rig.store.drain_begin()
    rig.work(60)
    assert rig.tier.rows.keys() == set(keys(50))
    assert rig.store.unsaved == 0


@pytest.mark.parametrize("most", [1, 7, 250])
def test_a_batch_that_is_too_much_at_once_is_halved_until_it_passes(most: int) -> None:
    rig = Rig(FakeTier(lambda keys: WriteFailed("too slow") if len(keys) > most else None))
    for name in keys(2 * BATCH_RECORDS):
        rig.put(name)
    rig.work(60)
    assert len(rig.tier.rows) == 2 * BATCH_RECORDS
    assert rig.store.parked == rig.store.unsaved == 0
    # Once the size is found, most of them pass.
    failed = sum(len(batch) > most for batch in rig.tier.batches)
    assert failed <= 10 + len(rig.tier.batches) // 2


def test_batches_grow_again_when_they_pass() -> None:
    rig = Rig(FakeTier(lambda keys: WriteFailed("too slow") if len(keys) > 50 else None))
    for name in keys(BATCH_RECORDS):
        rig.put(name)
    rig.work(60)
    rig.tier.fault = lambda keys: None
    turns = 0
    while rig.store.pending.limit.lowered:
        turns += 1
        rig.put(f"{turns}")
        rig.work(60)
    assert turns < 100
    rig.tier.batches.clear()
    for name in keys(BATCH_RECORDS):
        rig.put(name)
    rig.work(60)
    assert [len(batch) for batch in rig.tier.batches] == [BATCH_RECORDS]


def test_a_batch_is_bounded_in_bytes() -> None:
    """Not by the row that goes over the bound: one that is nearly full and a row of 64 MiB are two transactions."""
    rig = Rig(FakeTier(lambda keys: None))
    rig.put("small")
    rig.put("large", "x" * 2 * BATCH_BYTES)
    rig.put("small too")
    rig.work(60)
    assert rig.tier.batches == [["small"], ["large"], ["small too"]]


def test_a_row_that_somebody_has_locked_keeps_no_other_from_being_written() -> None:
    rig = Rig(FakeTier(lambda keys: TierUnavailable("lock wait timeout") if "k000" in keys else None))
    for name in keys(30):
        rig.put(name)
    rig.work(600)
    assert rig.tier.rows.keys() == set(keys(30)) - {"k000"}
    assert rig.store.parked == 0
    rig.tier.fault = lambda keys: None
    rig.work(60)
    assert rig.tier.rows.keys() == set(keys(30))


def test_a_parked_row_is_tried_again_with_each_new_value_and_each_retry() -> None:
    rig = Rig(FakeTier(lambda keys: WriteFailed("no") if "k000" in keys else None))
    for name in keys(3):
        rig.put(name)
    rig.work(60)
    assert rig.store.parked == 1
    for again in (lambda: rig.put("k000", "new"), rig.store.retry_parked, rig.store.drain_begin):
        rig.tier.batches.clear()
        again()
        rig.work(60)
        assert rig.tier.batches == [["k000"]]
        assert rig.store.parked == 1
    rig.tier.fault = lambda keys: None
    rig.store.retry_parked()
    rig.work(60)
    assert rig.store.unsaved == 0
    assert rig.tier.rows["k000"] == "new"


def test_a_write_that_an_unknown_attempt_may_have_carried_out_is_not_called_refused() -> None:
    rig = Rig(FakeTier(lambda keys: None), "through")
    rig.put("k", "old")
    rig.work(1)

    def committed_but_lost(keys: Sequence[str]) -> CkvError:
        rig.tier.rows["k"] = "new"
        rig.tier.fault = lambda keys: RowsRefused("a constraint that is there now")
        return SessionLost("gone")

    rig.tier.fault = committed_but_lost
    rig.put("k", "new")
    rig.work(1)
    assert isinstance(rig.told["k"], CommitTimeout)
    load = rig.store.get("k")
    assert isinstance(load, Load)
    read: list[Value | None] = []
    load.wait(lambda value, _: read.append(value))
    rig.work(1)
    assert read == ["new"]
