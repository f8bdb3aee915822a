"""Workers whose sessions became unfit, or whose tier became another one: nothing old is taken for the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import gevent
from gevent.event import Event

from ckv.errors import CkvError
from ckv.node.workers import Workers
from ckv.persistent import NO_EXPIRY, Fence, Loaded
from ckv.store.loading import Load
from ckv.store.memory import POLICIES
from ckv.store.modes import EvictStore
from ckv.store.pending import Pending
from ckv.store.store import Store
from ckv.store.tiers import Environment
from ckv.values import Value


class FakeTier:
    """A tier whose servers are dicts; new sessions lead to the last one."""

    name = "fake"

    def __init__(self) -> None:
        self.generation = 0
        self.max_value_bytes = 0
        self.clock_skew = 0.0
        self.when_other: Callable[[], None] = lambda: None
        self.servers: list[dict[str, Value]] = [{}]
        self.at: dict[str, Event] = {}
        """Where a call waits until the event is set: ``load`` or ``save``."""
        self.reached = Event()
        self.sessions = 0

    def connect(self, *, prepare: bool = True) -> FakeSession:
        self.sessions += 1
        return FakeSession(self)

    def fence(self, name: str, process: str) -> Fence:
        raise NotImplementedError

    def login(self) -> object:
        return None

    def wait(self, where: str) -> None:
        event = self.at.pop(where, None)
        if event is not None:
            self.reached.set()
            event.wait()


class FakeSession:
    def __init__(self, tier: FakeTier) -> None:
        self.generation = tier.generation
        self._tier = tier
        self._server = tier.servers[-1]

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        return self.load_all(keys).found

    def load_all(self, keys: Sequence[str]) -> Loaded:
        return self.load_some(keys, 0)

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        found = {key: self._server[key] for key in keys if key in self._server}
        self._tier.wait("load")
        return Loaded(found, {})

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        self._server.update(rows)
        self._tier.wait("save")

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._server.pop(key, None)

    def may_purge(self) -> bool:
        return False

    def purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        return None, 0

    def next_keys(self, after: str | None, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
        return [(key, 0) for key in sorted(self._server) if after is None or key > after][:count]

    def estimate(self) -> int:
        return self.count()

    def probe(self) -> None:
        """It takes writes."""

    def count(self) -> int:
        return len(self._server)

    def close(self) -> None:
        pass


@contextmanager
def working(tier: FakeTier, capacity: int = 1) -> Iterator[Store]:
    workers = Workers(tier, 1, load_timeout=5.0)
    store = EvictStore(
        POLICIES["lru"](capacity),
        Pending(1000, 1 << 30),
        Environment(
            clock=lambda: 0.0,
            load_timeout=5.0,
            pending_wait=1.0,
            linger=0.0,
            wake=workers.wake,
            wake_loads=workers.wake_loads,
        ),
    )
    workers.start(store)
    try:
        yield store
    finally:
        workers.close()


def waited_for(answer: object) -> list[tuple[Value | None, CkvError | None]]:
    assert isinstance(answer, Load)
    told: list[tuple[Value | None, CkvError | None]] = []
    done = Event()

    def tell(value: Value | None, error: CkvError | None) -> None:
        told.append((value, error))
        done.set()

    answer.wait(tell)
    assert done.wait(30)
    return told


def until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.001)


def test_a_load_of_a_session_that_became_unfit_is_asked_again() -> None:
    tier = FakeTier()
    tier.servers[0]["k"] = "old"
    go = tier.at["load"] = Event()
    with working(tier) as store:
        answer = store.get("k")
        assert isinstance(answer, Load)
        told: list[tuple[Value | None, CkvError | None]] = []
        answer.wait(lambda value, error: told.append((value, error)))
        assert tier.reached.wait(30)
        # Meanwhile somebody finds out that the primary is another one now, and writes to it.
        tier.servers.append({"k": "new"})
        tier.generation += 1
        go.set()
        until(lambda: told == [("new", None)])
        assert store.get("k") == "new"
        assert tier.sessions == 3  # two for loads, one for flushes


def test_a_session_is_made_anew_before_the_next_batch() -> None:
    tier = FakeTier()
    with working(tier) as store:
        assert waited_for(store.get("k")) == [(None, None)]
        tier.servers.append({"x": "new"})
        assert waited_for(store.get("x")) == [(None, None)]
        tier.generation += 1
        tier.servers.append({"y": "new"})
        assert waited_for(store.get("y")) == [("new", None)]


def test_what_was_saved_to_the_old_one_is_saved_to_the_new_one() -> None:
    tier = FakeTier()
    go = tier.at["save"] = Event()
    with working(tier) as store:
        store.put("a", "1")
        store.put("b", "2")  # "a" has to leave for it
        assert tier.reached.wait(30)
        tier.servers.append({})
        tier.generation += 1
        tier.when_other()
        go.set()
        until(lambda: tier.servers[1] == {"a": "1"})
        until(lambda: store.unsaved == 0)


def test_what_was_clean_is_saved_again_when_it_leaves() -> None:
    tier = FakeTier()
    tier.servers[0].update({"a": "1", "b": "2"})
    with working(tier) as store:
        assert waited_for(store.get("a")) == [("1", None)]
        assert waited_for(store.get("missing")) == [(None, None)]
        tier.servers.append({"b": "2", "missing": "there"})
        tier.generation += 1
        tier.when_other()
        assert waited_for(store.get("missing")) == [("there", None)]
        until(lambda: tier.servers[1].get("a") == "1")
