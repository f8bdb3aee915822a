"""Which loads go into which query, and the keys that are remembered as absent."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ckv.errors import TierError, TierUnavailable
from ckv.store.figures import Figures
from ckv.store.loading import LOAD_BYTES, LOAD_RECORDS, LONGEST_PAUSE, LOOK_AGAIN, Loading, Query
from ckv.store.memory import POLICIES, TABLES
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.tiers import ABSENT_BYTES, ABSENT_KEYS, Environment

TIMEOUT = 3.0
LOCKED = TierError("locked")


class Client:
    """Somebody who reads his answers, or does not."""

    def __init__(self, *, congested: bool) -> None:
        self.congested = congested


class Table:
    """Values of a size, and what is asked for them."""

    def __init__(self) -> None:
        self.loading = Loading(TIMEOUT, POLICIES["lru"](1), Figures())
        self.now = 50.0
        self.told: dict[str, object] = {}
        self.sizes: dict[str, int] = {}
        self.locked: set[str] = set()

    def ask(self, key: str, client: Client | None = None) -> None:
        load = self.loading.join(key, self.now)

        def tell(value: object, error: object) -> None:
            self.told[key] = error or value

        load.wait(tell)
        if client is not None:
            self.loading.asked_by(load, client, self.now)

    def query(self, max_bytes: int = LOAD_BYTES) -> Query | None:
        return self.loading.take(self.now, max_bytes)[0]

    def answer(self, query: Query) -> int:
        """What a session does with a query; returns the bytes that it brought."""
        keys = [load.key for load in query.loads]
        if self.locked & set(keys):
            self.loading.locked(query, LOCKED, self.now)
            return 0
        bound = query.max_value_bytes
        found = {key: "v" * self.sizes[key] for key in keys if not bound or self.sizes[key] <= bound}
        larger = {key: self.sizes[key] for key in keys if key not in found}
        for load in self.loading.answered(query, found, larger, self.now):
            self.loading.ended(load)
            load.tell(found[load.key], None)
        return sum(map(len, found.values()))

    def until_due(self) -> None:
        due = self.loading.due_in(self.now)
        assert due is not None
        self.now += due


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.mark.parametrize("kind", ["small", "large", "mixed", "larger than a query", "growing"])
def test_a_query_brings_a_bounded_number_of_bytes_and_all_are_answered(table: Table, kind: str) -> None:
    sizes = {
        "small": [64] * 3000,
        "large": [1 << 20] * 100,
        "mixed": [64 if number % 7 else 300_000 for number in range(300)],
        "larger than a query": [LOAD_BYTES * 2] * 3 + [10] * 100,
        "growing": [1 << (number // 10) for number in range(200)],
    }[kind]
    table.sizes = {str(number): size for number, size in enumerate(sizes)}
    for key in table.sizes:
        table.ask(key)
    queries = 0
    while (query := table.query()) is not None:
        queries += 1
        assert len(query.loads) <= LOAD_RECORDS
        assert table.answer(query) <= LOAD_BYTES or len(query.loads) == 1
    assert {key: len(str(value)) for key, value in table.told.items()} == table.sizes
    # Not one by one, and no longer than it takes to learn the sizes.
    assert queries <= 2 * sum(sizes) / LOAD_BYTES + len(sizes) / LOAD_RECORDS + 20


def test_a_value_that_grew_meanwhile_is_bounded_all_the_same(table: Table) -> None:
    table.sizes = dict.fromkeys("abcd", LOAD_BYTES // 3)
    for key in table.sizes:
        table.ask(key)
    query = table.query()
    assert query is not None
    table.answer(query)
    query = table.query()
    assert query is not None
    assert len(query.loads) > 1
    table.sizes = dict.fromkeys("abcd", LOAD_BYTES)
    assert table.answer(query) == 0
    while (query := table.query()) is not None:
        assert table.answer(query) <= LOAD_BYTES
    assert len(table.told) == 4


@pytest.mark.parametrize("locked", [{"7"}, {"0", "499"}, {str(number) for number in range(0, 500, 3)}])
def test_a_locked_row_holds_up_no_other(table: Table, locked: set[str]) -> None:
    table.sizes = {str(number): 8 for number in range(500)}
    table.locked = locked
    for key in table.sizes:
        table.ask(key)
    while table.loading.due_in(table.now) == 0:
        query = table.query()
        assert query is not None
        table.answer(query)
    assert table.told.keys() == table.sizes.keys() - locked
    # And newcomers do not wait behind it.
    table.sizes["new"] = 8
    table.ask("new")
    query = table.query()
    assert query is not None
    assert "new" in [load.key for load in query.loads]
    table.answer(query)
    table.locked = set()
    while table.loading.queued:
        table.until_due()
        query = table.query()
        if query is not None:
            table.answer(query)
    assert table.told.keys() == table.sizes.keys()


def test_a_row_that_stays_locked_is_asked_for_less_and_less_until_its_time_is_over(table: Table) -> None:
    table.locked = {"a"}
    table.ask("a")
    asked = []
    while "a" not in table.told:
        table.until_due()
        query = table.query()
        if query is not None:
            asked.append(table.now)
            table.answer(query)
        table.loading.expire(table.now)
    assert 5 < len(asked) < 20
    assert max(after - before for before, after in pairwise(asked)) <= LONGEST_PAUSE + 0.001
    assert isinstance(table.told["a"], TierUnavailable)
    assert str(LOCKED) in str(table.told["a"])


def test_nothing_is_loaded_for_who_does_not_read_and_his_time_does_not_run(table: Table) -> None:
    table.sizes = dict.fromkeys("ab", 8)
    slow, quick = Client(congested=True), Client(congested=False)
    table.ask("a", slow)
    table.ask("b", quick)
    query = table.query()
    assert query is not None
    assert [load.key for load in query.loads] == ["b"]
    table.answer(query)
    assert table.loading.due_in(table.now) == pytest.approx(LOOK_AGAIN)
    for _ in range(10):
        table.now += TIMEOUT / 2
        assert table.query() is None
        table.loading.expire(table.now)
    assert table.told == {"b": "v" * 8}
    slow.congested = False
    table.until_due()
    query = table.query()
    assert query is not None
    table.answer(query)
    assert table.told.keys() == {"a", "b"}


def test_a_key_that_somebody_else_asks_for_is_loaded_at_once(table: Table) -> None:
    table.sizes = {"a": 8}
    table.ask("a", Client(congested=True))
    assert table.query() is None
    table.ask("a", Client(congested=False))
    query = table.query()
    assert query is not None
    table.answer(query)
    assert table.told == {"a": "v" * 8}
    assert table.loading.queued == 0


def test_the_time_in_which_large_values_for_others_arrive_does_not_count(table: Table) -> None:
    table.sizes = {str(number): LOAD_BYTES for number in range(10)}
    for key in table.sizes:
        table.ask(key)
    while (query := table.query()) is not None:
        table.now += TIMEOUT / 2
        table.answer(query)
        table.loading.expire(table.now)
    assert not [value for value in table.told.values() if isinstance(value, TierUnavailable)]
    assert len(table.told) == 10
    # What waits for the tier itself has its time, as ever.
    table.ask("hung")
    table.query()
    table.now += TIMEOUT
    table.loading.expire(table.now)
    assert isinstance(table.told["hung"], TierUnavailable)


def test_refusing_tells_everybody_wherever_his_load_is(table: Table) -> None:
    table.sizes = dict.fromkeys(map(str, range(20)), 8)
    table.locked = {"1"}
    for key in ("0", "1"):
        table.ask(key)
    for _ in range(2):  # the halves, and the pause
        query = table.query()
        assert query is not None
        table.answer(query)
    table.ask("2", Client(congested=True))
    query = table.query()
    assert query is not None
    table.answer(query)
    assert table.query() is None  # "1" pauses, and "2" is held
    table.ask("3")
    under_way = table.query()
    assert under_way is not None
    table.ask("4")
    why = TierUnavailable("away")
    over = table.loading.refuse(why)
    assert {key for key, told in table.told.items() if told is why} >= {"2", "3", "4"}
    assert "3" not in [load.key for load in over]
    assert table.loading.queued == 0
    table.answer(under_way)
    assert len(table.loading) == 0


@pytest.mark.parametrize("length", [8, 100, 1000])
@pytest.mark.parametrize("table", TABLES)
def test_absent_keys_are_bounded_in_bytes(table: str, length: int) -> None:
    lru = TABLES[table]["lru"]
    environment = Environment(
        clock=lambda: 0.0, load_timeout=TIMEOUT, pending_wait=1, absent=lru(ABSENT_KEYS, ABSENT_BYTES)
    )
    store = EvictStore(lru(1), Pending(1, 1), environment)
    absent = store.absent
    keys = [f"{number:0{length}}" for number in range(ABSENT_KEYS if length < 100 else 120_000)]
    for key in keys:
        store.note_absent(key)
        store.note_absent(key)
    size = absent.bytes / len(absent)
    assert length < size < length + 360
    assert ABSENT_BYTES - 2 * size < absent.bytes <= ABSENT_BYTES
    assert len(absent) < len(keys)
    assert keys[-1] in absent
    assert keys[0] not in absent
    for key in keys:
        absent.remove(key)
    assert (len(absent), absent.bytes) == (0, 0)
    store.check()
