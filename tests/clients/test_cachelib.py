"""cachelib, which Flask-Caching and others are built on."""

from __future__ import annotations

import pytest
from cachelib.redis import RedisCache

from tests.clients.server import Server


@pytest.fixture
def cache(server: Server, prefix: str) -> RedisCache:
    return RedisCache(server.host, server.port, key_prefix=prefix)


def test_values_without_a_timeout(cache: RedisCache) -> None:
    """Values that live for ever: `set(timeout=0)`, `get`, `get_many`, `has`, `delete_many`"""
    names = [str(number) for number in range(100)]
    assert all(cache.set(name, {"name": name}, timeout=-1) for name in names)
    assert cache.get_many(*names) == [{"name": name} for name in names]
    assert cache.has("7")
    assert cache.delete("7")
    assert not cache.has("7")
    assert cache.get("7") is None


def test_values_with_a_timeout(cache: RedisCache) -> None:
    """Values as they are by default, for 300 s: `set`, `add`"""
    assert cache.set("a", [1])
    assert cache.get("a") == [1]
    assert not cache.add("a", [2])


def test_many(cache: RedisCache) -> None:
    """Many at a time: `set_many`"""
    cache.set_many({str(number): number for number in range(100)})
    assert cache.get_dict("1", "99") == {"1": 1, "99": 99}


def test_counters(cache: RedisCache) -> None:
    """Counters: `inc`, `dec`"""
    assert [cache.inc("a", 5), cache.dec("a", 2)] == [5, 3]


def test_clear(cache: RedisCache) -> None:
    """Removing everything that begins with the prefix: `clear`"""
    cache.set("a", 1, timeout=-1)
    cache.clear()
    assert cache.get("a") is None
