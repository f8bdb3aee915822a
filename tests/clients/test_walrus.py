"""walrus, tools for programs in Python."""

from __future__ import annotations

from typing import Any

import pytest
from walrus import Database

from tests.clients.server import Server


@pytest.fixture
def database(server: Server) -> Any:
    return Database(host=server.host, port=server.port)


def test_cache(database: Any, prefix: str) -> None:
    """A cache: `set`, `get`, `set_many`, `get_many`, `cached`, `flush`"""
    cache, made = database.cache(prefix), []
    cache.set("a", {"b": 1}, timeout=100)
    cache.set_many({"c": 1, "d": 2}, timeout=100)
    assert (cache.get("a"), cache.get_many(["c", "d"])) == ({"b": 1}, {"c": 1, "d": 2})

    def double(number: int) -> int:
        made.append(number)
        return 2 * number

    twice = cache.cached(timeout=100)(double)
    assert [twice(2), twice(2), made] == [4, 4, [2]]
    assert cache.flush() == 4
    assert cache.get("a") is None


def test_counter(database: Any, prefix: str) -> None:
    """Counters: `counter`"""
    counter = database.counter(prefix)
    assert [counter.incr(), counter.incr(), counter.value()] == [1, 2, 2]


def test_lock(database: Any, prefix: str) -> None:
    """Locks: `lock`"""
    lock = database.lock(prefix, ttl=10_000)
    assert lock.acquire(block=False)
    lock.release()


def test_rate_limit(database: Any, prefix: str) -> None:
    """How often a client may do something: `rate_limit`"""
    limit = database.rate_limit(prefix, limit=2, per=60)
    assert [limit.limit("a") for _ in range(3)] == [False, False, True]
