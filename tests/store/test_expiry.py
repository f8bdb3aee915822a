"""What becomes of records that expire, case by case; the simulation has every other order of events."""

from __future__ import annotations

import pytest

from ckv.errors import CkvError
from ckv.store import Records
from ckv.store.alone import MemoryStore
from ckv.store.loading import Load
from ckv.store.memory import TABLES, Memory
from ckv.store.modes import MODES, EvictStore
from ckv.store.pending import Pending
from ckv.store.row import TOMBSTONE
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.store.waiting import Waiting
from ckv.values import Value


class Rig:
    """A store, the time of day, and rows."""

    def __init__(self, mode: str, table: str, capacity: int = 3, pending_max: int = 100) -> None:
        self.now = 1000
        self.rows: dict[str, tuple[Value, int]] = {}
        self.memory: Memory = TABLES[table]["lru"](capacity)
        environment = Environment(
            clock=lambda: self.now / 1000, now_ms=lambda: self.now, load_timeout=1e9, pending_wait=1e9, linger=0.0
        )
        self.store: Store = MODES[mode](self.memory, Pending(pending_max, 1 << 30), environment)

    def get(self, key: str) -> Value | None:
        """What a GET is told in the end."""
        answer = self.store.get(key)
        if not isinstance(answer, Load):
            assert not isinstance(answer, Waiting)
            return answer
        told: list[tuple[Value | None, CkvError | None]] = []
        answer.wait(lambda value, error: told.append((value, error)))
        self.load()
        ((value, error),) = told
        assert error is None
        return value

    def load(self) -> None:
        query = self.store.load_begin()
        assert query is not None
        found = {load.key: self.rows[load.key] for load in query.loads if load.key in self.rows}
        expires = {key: when for key, (_, when) in found.items() if when}
        self.store.load_end(query, {key: value for key, (value, _) in found.items()}, {}, expires)

    def flush(self) -> None:
        while batch := self.store.flush_begin():
            for key, value, _, expires in batch:
                if value is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = value, expires
            self.store.flush_end(batch)
        self.store.check()

    def push_out(self, key: str) -> None:
        """Has the record leave memory for others, without a flush."""
        while key in self.memory:
            self.store._evict()


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_ends_in_memory_and_in_the_row(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.store.put("k", b"v", 2000)
    rig.push_out("k")
    rig.flush()
    assert rig.rows == {"k": (b"v", 2000)}
    assert rig.get("k") == b"v"
    assert rig.store.expires_of("k") == 2000
    rig.now = 1999
    assert rig.get("k") == b"v"
    rig.now = 2000
    assert rig.get("k") is None
    assert rig.store.expires_of("k") is None
    rig.store.drain_begin()
    rig.flush()
    # Another process finds the row, which nobody has purged yet.
    other = Rig(mode, table)
    other.rows, other.now = rig.rows, rig.now
    assert other.get("k") is None
    assert "k" in other.store.absent


def test_a_put_over_it_does_not_expire(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.store.put("k", "1", 2000)
    rig.flush()
    rig.store.put("k", "2")
    rig.flush()
    rig.now = 3000
    assert rig.get("k") == "2"
    assert rig.store.expires_of("k") == 0


def test_nothing_older_comes_back(table: str) -> None:
    for ask in (True, False):
        rig = Rig("evict", table)
        rig.rows["k"] = "old", 0
        rig.store.put("k", "new", 2000)
        rig.now = 2000
        if ask:
            assert rig.get("k") is None  # which makes a tombstone
            assert len(rig.memory) == 0
        else:
            rig.push_out("k")  # as its turn to leave does
        assert rig.get("k") is None
        row = rig.store.pending.find("k")
        assert row is not None
        assert (row.value is TOMBSTONE) == ask
        rig.flush()
        assert rig.rows == {}
        assert rig.get("k") is None


def test_nothing_older_comes_back_while_there_is_no_room_for_the_deletion(table: str) -> None:
    rig = Rig("evict", table, pending_max=1)
    rig.rows["k"] = "old", 0
    rig.store.put("k", "new", 2000)
    rig.store.put("j", "v")
    rig.store.delete("j")  # takes the only row
    rig.now = 2000
    assert rig.store.pending.full
    assert rig.get("k") is None
    assert "k" in rig.memory
    rig.flush()
    assert rig.get("k") is None
    assert "k" not in rig.memory
    rig.flush()
    assert rig.rows == {}


def test_what_never_had_a_row_needs_no_deletion(table: str) -> None:
    rig = Rig("evict", table)
    assert rig.get("k") is None
    assert "k" in rig.store.absent
    for ask in (True, False):
        rig.store.put("k", "v", rig.now + 10)
        rig.now += 10
        if ask:
            assert rig.get("k") is None
        else:
            rig.push_out("k")
        assert rig.get("k") is None
        assert len(rig.store.pending) == 0


def test_what_has_expired_on_its_way_is_deleted(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.rows["k"] = "old", 0
    rig.store.put("k", "new", 2000)
    rig.push_out("k")
    rig.now = 2000
    rig.flush()
    if mode == "evict":
        assert rig.rows == {}
    assert rig.get("k") is None
    rig.store.drain_begin()
    rig.flush()
    assert rig.rows == {}


def test_a_deletion_tells_that_there_was_none(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.store.put("k", "v", 2000)
    rig.flush()
    assert rig.get("k") == "v"
    rig.now = 2000
    assert rig.store.delete("k") is False


def test_what_has_expired_is_not_shown(mode: str, table: str) -> None:
    rig = Rig(mode, table)
    rig.store.put("k", "v", 2000)
    rig.store.put("j", "v", 3000)
    rig.flush()
    rig.push_out("k")
    assert rig.store.locate("j")[1:] in (("v", 3000), (None, 0))
    rig.now = 2000
    for key in ("k", "j"):
        if rig.store.locate(key).value is None:
            assert rig.store.locate(key).where in ("tombstone", "absent", "elsewhere")
    rig.now = 3000
    assert rig.store.locate("j").value is None


def alone(table: str) -> tuple[Records, list[int]]:
    now = [1000]
    return MemoryStore(TABLES[table]["lru"](3), lambda: now[0]), now


def test_without_a_persistent_tier(table: str) -> None:
    store, now = alone(table)
    store.put("k", "v", 2000)
    store.put("j", "v", 2000)
    store.put("i", "v")
    assert (store.get("k"), store.expires_of("k"), store.expires_of("i"), store.expires_of("h")) == ("v", 2000, 0, None)
    now[0] = 2000
    assert (store.get("k"), store.expires_of("j"), store.get("i")) == (None, None, "v")
    assert store.delete("k") is False
    assert store.memory.keys() == ["i"]
    assert store.measured().expired_keys == 2
    assert store.delete("i") is True


def test_figures(table: str) -> None:
    rig = Rig("evict", table)
    rig.store.put("k", "v", 2000)
    rig.store.put("j", "v", 3000)
    assert rig.store.measured().records_expiring == 2
    rig.now = 2000
    rig.get("k")
    rig.get("k")
    figures = rig.store.measured()
    assert (figures.records_expiring, figures.expired_keys, figures.absent_hits) == (1, 1, 2)
    assert isinstance(rig.store, EvictStore)


def test_what_has_expired_on_its_way_is_not_estimated() -> None:
    rig = Rig("evict", "plain", capacity=2)
    rig.store.put("a", "1", rig.now + 10)
    rig.store.put("b", "1")
    rig.store.put("c", "1")
    assert rig.store.estimated() == (3, 0)
    rig.now += 10
    assert rig.store.estimated() == (2, 1), "its row goes as a deletion"
