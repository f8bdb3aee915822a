"""The workers, over a tier that a test plays, and with a clock that is the real one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import gevent
import pytest
from gevent.event import Event

from ckv import errors
from ckv.node import workers
from ckv.node.crew import Crew
from ckv.node.workers import Workers
from ckv.persistent import NO_EXPIRY, Fence, Loaded, RowsLocked
from ckv.store.loading import Load
from ckv.store.memory import POLICIES
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.room import RoomWait
from ckv.store.tiers import BATCH_BYTES, BATCH_RECORDS, Environment
from ckv.values import Value

LOAD_TIMEOUT = 1.0


class FakeTier:
    """Records in a dict. What it does to a call, a test decides."""

    name = "fake"

    def __init__(self) -> None:
        self.generation = 0
        self.when_other: Callable[[], None] = lambda: None
        self.max_value_bytes = 0
        self.clock_skew = 0.0
        self.rows: dict[str, Value] = {}
        self.password = "old"
        self.connects = 0
        self.open = 0
        self.connect_error: Exception | None = None
        self.connecting = 0
        self.most_connecting = 0
        self.before_load: Callable[[Sequence[str]], None] = lambda keys: None
        self.before_save: Callable[[], None] = lambda: None

    def fence(self, name: str, process: str) -> Fence:
        raise NotImplementedError

    def login(self) -> object:
        return self.password

    def connect(self, *, prepare: bool = True) -> FakeSession:
        self.connects += 1
        self.connecting += 1
        self.most_connecting = max(self.most_connecting, self.connecting)
        gevent.sleep(0)
        self.connecting -= 1
        if self.connect_error is not None:
            raise self.connect_error
        self.open += 1
        return FakeSession(self)


class FakeSession:
    def __init__(self, tier: FakeTier) -> None:
        self._tier = tier
        self.generation = tier.generation
        self._open = True

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        return self.load_all(keys).found

    def load_all(self, keys: Sequence[str]) -> Loaded:
        return self.load_some(keys, 0)

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        assert self._open
        self._tier.before_load(keys)
        loaded = Loaded({}, {})
        for key in keys:
            value = self._tier.rows.get(key)
            if value is not None and max_value_bytes and len(value) > max_value_bytes:
                loaded.larger[key] = len(value)
            elif value is not None:
                loaded.found[key] = value
        return loaded

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        assert self._open
        self._tier.before_save()
        self._tier.rows.update(rows)

    def delete_many(self, keys: Sequence[str]) -> None:
        assert self._open
        self._tier.before_save()
        for key in keys:
            self._tier.rows.pop(key, None)

    def may_purge(self) -> bool:
        return False

    def purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        return None, 0

    def next_keys(self, after: str | None, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
        return [(key, 0) for key in sorted(self._tier.rows) if after is None or key > after][:count]

    def estimate(self) -> int:
        return self.count()

    def probe(self) -> None:
        assert self._open

    def count(self) -> int:
        return len(self._tier.rows)

    def close(self) -> None:
        self._tier.open -= self._open
        self._open = False


def unavailable(text: str, number: int = 0, *, login: bool = False) -> errors.TierUnavailable:
    error = errors.TierUnavailable(text)
    error.number = number
    error.login_refused = login
    return error


class World:
    """A store with its workers over the fake tier."""

    def __init__(self, size: int = 1, linger: float = 0.0) -> None:
        self.tier = FakeTier()
        self.workers = Workers(self.tier, size, LOAD_TIMEOUT)
        self.store = EvictStore(
            POLICIES["lru"](1),
            Pending(1000, 1 << 30),
            Environment(
                clock=time.monotonic,
                load_timeout=LOAD_TIMEOUT,
                pending_wait=1,
                linger=linger,
                wake=self.workers.wake,
                wake_loads=self.workers.wake_loads,
            ),
        )

    def _look_on(self) -> None:
        while True:
            self.store.expire()
            self.workers.look()
            gevent.sleep(0.02)

    def start(self) -> None:
        self.workers.start(self.store)
        self._look = gevent.spawn(self._look_on)

    def get(self, key: str) -> object:
        """The value, or the error."""
        try:
            answer = self.store.get(key)
        except errors.CkvError as error:
            return error
        if not isinstance(answer, Load):
            return answer
        told: list[object] = []
        answer.wait(lambda value, error: told.append(error or value))
        self.until(lambda: told)
        return told[0]

    @staticmethod
    def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
        with gevent.Timeout(seconds):
            while not condition():
                gevent.sleep(0.001)

    def up(self) -> None:
        self.until(lambda: self.workers.health.answers)

    def close(self) -> None:
        self._look.kill()
        self.workers.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.fixture
def up(world: World) -> World:
    world.tier.rows = {"a": "1", "b": "2", "c": "3"}
    world.start()
    world.until(lambda: world.tier.open == 2)
    world.up()
    return world


def test_loads_and_flushes_have_connections_of_their_own(up: World) -> None:
    stuck, go_on = Event(), Event()

    def hang() -> None:
        stuck.set()
        go_on.wait()

    up.tier.before_save = hang
    up.store.put("x", "new")
    up.store.put("y", "pushes x out")
    stuck.wait()
    assert [up.get(key) for key in "abc"] == ["1", "2", "3"]
    assert up.tier.open == 2
    up.until(lambda: up.workers.health.state == "hung")
    assert [up.get(key) for key in "abc"] == ["1", "2", "3"]  # no breaker for what works
    go_on.set()
    up.until(lambda: not up.store.unsaved)
    assert up.tier.rows["x"] == "new"


def test_what_is_missed_while_a_query_is_under_way_goes_into_one_query() -> None:
    world = World(size=4)
    queries: list[list[str]] = []
    go_on = Event()

    def wait(keys: Sequence[str]) -> None:
        if any(keys):  # the others ask whether the tier answers at all
            queries.append(sorted(keys))
            go_on.wait()

    try:
        world.start()
        world.until(lambda: world.tier.open == 8)
        world.up()
        world.tier.before_load = wait
        asked = [gevent.spawn(world.get, "first")]
        world.until(lambda: queries)
        for key in "abcdefgh":
            asked.append(gevent.spawn(world.get, key))
            gevent.sleep(0)
        world.until(lambda: len(queries) > 1)  # the first one may take long, and nobody waits for that
        assert queries == [["first"], list("abcdefgh")]
        go_on.set()
        gevent.joinall(asked, raise_error=True)
    finally:
        world.close()


def test_one_worker_is_woken_at_a_time_and_the_next_one_when_it_leaves_something() -> None:
    crew = Crew()
    woken: list[str] = []

    def work(name: str) -> None:
        crew.wait(None)
        woken.append(name)

    greenlets = [gevent.spawn(work, name) for name in "abc"]
    gevent.sleep(0)
    for _ in range(3):
        crew.wake()
    World.until(lambda: woken)
    gevent.sleep(0)
    assert woken == ["c"]
    crew.wake()
    World.until(lambda: len(woken) == 2)
    crew.wake()
    gevent.joinall(greenlets)
    crew.wake()  # nobody is idle


def test_victims_wait_for_others_while_nobody_waits_for_them() -> None:
    world = World(linger=0.2)
    batches: list[int] = []
    try:
        world.start()
        world.up()
        world.tier.before_save = lambda: batches.append(world.store.unsaved)
        for number in range(11):
            world.store.put(f"x{number}", "value")
            gevent.sleep(0)
        world.until(lambda: world.store.unsaved == 0)
        assert batches == [10]
    finally:
        world.close()


@pytest.mark.parametrize("why", ["a batch is full", "a write waits for room", "the end"])
def test_victims_do_not_wait(why: str) -> None:
    world = World(linger=3600)
    store = world.store
    try:
        world.start()
        world.up()
        store.put("first", "value")
        if why == "a batch is full":
            for number in range(BATCH_RECORDS):
                store.put(f"x{number}", "value")
        elif why == "a write waits for room":
            store.pending.bound(1, 1 << 30)
            store.put("second", "value")
            assert isinstance(store.put("third", "value"), RoomWait)
        else:
            store.drain_begin()
        world.until(lambda: world.tier.rows)
    finally:
        world.close()


def test_what_a_batch_leaves_waits_for_no_worker_that_hangs() -> None:
    world = World(size=2, linger=0.1)
    store, stuck, go_on = world.store, Event(), Event()

    def hang_once() -> None:
        if not stuck.is_set():
            stuck.set()
            go_on.wait()

    try:
        world.start()
        world.up()
        world.tier.before_save = hang_once
        for key in ("first", "second", "third"):  # a batch has room for one; the second is not due with the first
            store.put(key, "x" * BATCH_BYTES)
            gevent.sleep(0.05)
        stuck.wait()
        world.until(lambda: "second" in world.tier.rows, seconds=5)
        go_on.set()
    finally:
        world.close()


def test_a_locked_row_holds_up_no_other(up: World) -> None:
    locked = {"a"}

    def lock(keys: Sequence[str]) -> None:
        if locked & set(keys):
            raise RowsLocked("locked")

    up.tier.before_load = lock
    told: dict[str, object] = {}

    def ask(key: str) -> None:
        told[key] = up.get(key)

    greenlets = [gevent.spawn(ask, key) for key in ("a", "b", "c", "none")]
    up.until(lambda: len(told) == 3)
    assert told == {"b": "2", "c": "3", "none": None}
    assert up.workers.health.answers
    assert up.store.figures.load_failures == up.workers.retries == 0
    locked.clear()
    gevent.joinall(greenlets)
    assert told["a"] == "1"


def test_when_all_loads_are_at_a_standstill_another_connection_goes_on(up: World) -> None:
    go_on = Event()
    stuck: list[str] = []

    def hang_once(keys: Sequence[str]) -> None:
        if not stuck:
            stuck.extend(keys)
            go_on.wait()

    up.tier.before_load = hang_once
    waits = gevent.spawn(up.get, "a")
    up.until(lambda: stuck)
    assert up.get("b") == "2"
    assert up.tier.open == 3
    go_on.set()
    assert waits.get() == "1"


def test_that_connection_is_closed_when_nobody_needs_it(monkeypatch: pytest.MonkeyPatch, up: World) -> None:
    monkeypatch.setattr(workers, "HELPER_IDLE", 0.05)
    test_when_all_loads_are_at_a_standstill_another_connection_goes_on(up)
    up.until(lambda: up.tier.open == 2)


def test_a_batch_that_failed_goes_back_and_is_tried_over_a_new_connection(up: World) -> None:
    failures = [unavailable("deadlock", 1213)]

    def fail_once(keys: Sequence[str] = ()) -> None:
        if failures:
            raise failures.pop()

    up.get("c")  # the session has worked
    up.tier.before_load = fail_once
    connects = up.tier.connects
    assert up.get("a") == "1"
    assert up.tier.connects == connects + 1
    assert up.store.figures.load_failures == 1
    failures.append(unavailable("deadlock", 1213))
    up.tier.before_save = fail_once
    up.store.put("x", "new")
    up.store.put("y", "pushes x out")
    up.until(lambda: up.tier.rows.get("x") == "new")
    assert up.store.figures.flush_failures == 1


def test_an_error_of_our_own_is_logged_and_tried_again(up: World, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[Exception] = [ZeroDivisionError("a bug")]

    def fail_once(keys: Sequence[str]) -> None:
        if failures:
            raise failures.pop()

    up.tier.before_load = fail_once
    assert up.get("a") == "1"
    assert "unexpected error between the tiers" in caplog.text


def test_what_a_worker_has_in_hand_at_the_end_is_still_in_the_store(up: World) -> None:
    stuck = Event()

    def hang(keys: Sequence[str] = ()) -> None:
        stuck.set()
        gevent.sleep(60)

    up.tier.before_save = hang
    up.store.put("x", "new")
    up.store.put("y", "pushes x out")
    stuck.wait()
    up.workers.close()
    up.store.check()
    assert up.store.flush_begin()[0].key == "x"
    assert up.tier.open == 0


def test_an_answer_over_a_connection_that_became_unfit_is_asked_for_again(up: World) -> None:
    asked = []

    def become_unfit(keys: Sequence[str]) -> None:
        asked.append(list(keys))
        if len(asked) == 1:
            up.tier.generation += 1
            up.tier.rows["a"] = "newer"

    up.tier.before_load = become_unfit
    connects = up.tier.connects
    assert up.get("a") == "newer"
    assert asked == [["a"], ["a"]]
    assert up.tier.connects == connects + 1


def test_all_connections_are_made_anew_when_they_became_unfit(up: World) -> None:
    up.tier.generation += 1
    assert up.get("a") == "1"
    up.store.put("x", "new")
    up.until(lambda: up.tier.rows.get("a") == "1" and not up.store.unsaved)
    up.until(lambda: up.tier.open == 2)
    assert up.tier.connects >= 3


# --- an outage -------------------------------------------------------------------------------------------------------


def go_down(world: World, error: Exception) -> None:
    world.tier.connect_error = error

    def fail(keys: Sequence[str] = ()) -> None:
        raise unavailable("lost", 2013)

    world.tier.before_load = fail
    assert isinstance(world.get("a"), errors.TierUnavailable)
    world.until(lambda: world.workers.health.reads_away == str(error))


def come_back(world: World) -> None:
    world.tier.connect_error = None
    world.tier.before_load = lambda keys: None


def test_known_to_be_away_a_miss_fails_at_once_and_later_ones_go_on_at_once(up: World) -> None:
    go_down(up, unavailable("refused", 2003))
    answers = [up.store.figures.load_refusals, *(up.get(key) for key in "abc")]
    assert all(isinstance(answer, errors.TierUnavailable) for answer in answers[1:])
    assert "refused" in str(answers[1])
    assert up.store.figures.load_timeouts == 0
    with pytest.raises(errors.TierUnavailable, match="the record is deleted"):
        up.store.delete("b")
    assert up.get("b") is None
    come_back(up)
    up.workers.hurry()
    up.until(lambda: not up.workers.health.reads_away)
    assert up.get("a") == "1"
    up.until(lambda: not up.store.unsaved)
    assert "b" not in up.tier.rows


def test_one_attempt_at_a_time_finds_out() -> None:
    world = World(size=8)
    world.tier.connect_error = unavailable("refused", 2003)
    world.start()
    try:
        world.until(lambda: world.tier.connects >= 4)
        assert world.tier.most_connecting == 1
        assert world.workers.health.state == "down"
        come_back(world)
        world.until(lambda: world.tier.open == 16)
    finally:
        world.close()


def test_at_the_start_a_miss_waits_for_a_tier_that_starts_as_well(world: World) -> None:
    world.tier.rows = {"a": "1"}
    world.tier.connect_error = unavailable("refused", 2003)
    world.start()
    waits = gevent.spawn(world.get, "a")
    world.until(lambda: world.tier.connects >= 3)
    assert not waits.dead
    come_back(world)
    assert waits.get() == "1"


def test_reads_that_fail_on_new_connections_are_tried_out_before_anybody_waits_for_them(up: World) -> None:
    def fail(keys: Sequence[str]) -> None:
        raise unavailable("no such table", 1146)

    up.tier.before_load = fail
    assert isinstance(up.get("a"), errors.TierUnavailable)
    up.until(lambda: up.workers.health.reads_away)
    asked: list[Sequence[str]] = []
    up.tier.before_load = asked.append
    up.workers.hurry()
    up.until(lambda: not up.workers.health.reads_away)
    assert asked == [[""]]
    assert up.get("a") == "1"


def test_hung_reads_open_the_breaker_after_the_first_timed_out(up: World) -> None:
    go_on = Event()

    def hang(keys: Sequence[str]) -> None:
        go_on.wait()

    up.tier.before_load = hang
    assert "did not answer within" in str(up.get("a"))
    up.until(lambda: up.workers.health.reads_away)
    assert up.workers.health.state == "hung"
    timeouts = up.store.figures.load_timeouts
    assert "is away: a read has been under way" in str(up.get("b"))
    assert up.store.figures.load_timeouts == timeouts
    go_on.set()
    up.until(lambda: not up.workers.health.reads_away)
    assert up.get("c") == "3"


def test_every_change_is_one_line_and_the_end_counts_the_calls(up: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ckv.node.workers")
    go_down(up, unavailable("refused", 2003))
    for key in "abc":
        up.get(key)
    refused = up.store.figures.load_refusals
    up.tier.connect_error = unavailable("access denied", 1045, login=True)
    up.workers.hurry()
    up.until(lambda: "access denied" in up.workers.health.reason)
    come_back(up)
    up.workers.hurry()
    up.up()
    lines = [record.getMessage() for record in caplog.records if record.name == "ckv.node.workers"]
    kinds = [line.split(":")[0] for line in lines]
    assert kinds[0] == "database lost"
    assert kinds[-1] == "database back"
    assert [line for line in lines[1:-1] if "database still down" not in line] == []
    assert [line for line in lines if "access denied" in line] == lines[-2:-1]
    assert f"{refused} calls were refused and 0 waited in vain" in lines[-1]


def test_a_login_that_is_refused_is_tried_seldom_and_at_once_with_another_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOOK_AT_LOGIN", 0.02)
    paused: list[float] = []
    pause = world.workers._pause

    def noting(seconds: float) -> None:
        paused.append(seconds)
        pause(seconds)

    monkeypatch.setattr(world.workers, "_pause", noting)
    world.tier.connect_error = unavailable("access denied", 1045, login=True)
    world.start()
    expected: list[float] = []
    for seconds in (5.0, 10.0, 20.0, 40.0):
        expected.append(seconds)
        world.until(lambda: len(paused) == len(expected))
        if seconds < 40:
            world.workers.hurry()
    assert paused == expected
    tried = world.tier.connects
    world.tier.password = "new"
    world.until(lambda: world.tier.connects == tried + 1)
    world.until(lambda: len(paused) == 5)
    assert paused[4] == workers.LONGEST_LOGIN_BACKOFF
    come_back(world)
    world.tier.password = "newer"
    world.until(lambda: world.tier.open == 2)


def test_reads_and_probes_that_pass_on_a_full_disk_do_not_end_the_outage(
    up: World, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> None:
        raise unavailable("the disk is full", 1114)

    caplog.set_level(logging.INFO)
    up.tier.before_save = full
    for number in range(10):
        up.store.put(f"k{number}", "v")
    before = up.workers.retries
    while up.workers.retries < before + 8:
        assert up.get("a") == "1"
        gevent.sleep(0.01)
    news = [record.message for record in caplog.records if record.message.startswith("database")]
    assert len([line for line in news if "lost" in line]) == 1
    assert not [line for line in news if "back" in line]
    assert up.store.parked == 0
    up.tier.before_save = lambda: None
    up.workers.hurry()
    up.up()
    up.until(lambda: up.store.unsaved == 0, 40)


def test_what_was_loaded_while_the_node_lost_its_place_is_not_told(up: World) -> None:
    tells, asked = [True], []

    def lose(keys: Sequence[str]) -> None:
        asked.append(keys)
        tells[0] = len(asked) > 1

    up.tier.before_load = lose
    up.workers.may_tell = lambda: tells[0]
    assert up.get("a") == "1"
    assert asked == [["a"], ["a"]]
