"""django-redis, a cache of Django with more than that of Django itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Server
from tests.clients.django_in_process import set_up


@pytest.fixture
def cache(server: Server) -> Any:
    set_up(server)
    from django.core.cache import caches

    return caches["django-redis"]


def test_values_without_a_timeout(cache: Any, prefix: str) -> None:
    """Values that live for ever: `set(timeout=None)`, `get`, `get_many`, `delete_many`"""
    values = {f"{prefix}{number}": [number] for number in range(100)}
    for name, value in values.items():
        assert cache.set(name, value, timeout=None) is True
    assert cache.get_many(values) == values
    assert cache.delete_many(values) == 100
    assert cache.get(f"{prefix}1") is None


def test_values_with_a_timeout(cache: Any, prefix: str) -> None:
    """Values as they are by default, for 300 s: `set`, `add`, `ttl`, `touch`"""
    assert cache.set(prefix, "1") is True
    assert cache.add(prefix, "2") is False
    assert 290 < cache.ttl(prefix) <= 300
    assert cache.touch(prefix, 50) is True
    assert 40 < cache.ttl(prefix) <= 50


def test_many(cache: Any, prefix: str) -> None:
    """Many at a time: `set_many`"""
    values = {f"{prefix}{number}": number for number in range(100)}
    cache.set_many(values)
    assert cache.get_many(values) == values


def test_counters(cache: Any, prefix: str) -> None:
    """Counters: `incr`"""
    cache.set(prefix, 5, timeout=None)
    assert cache.incr(prefix, 2) == 7


def test_patterns(cache: Any, prefix: str) -> None:
    """All keys of a pattern: `keys`, `delete_pattern`"""
    cache.set(f"{prefix}1", "1", timeout=None)
    assert cache.keys(f"{prefix}*") == [f"{prefix}1"]
    assert cache.delete_pattern(f"{prefix}*") == 1


def test_lock(cache: Any, prefix: str) -> None:
    """Locks: `lock`"""
    with cache.lock(prefix, timeout=20):
        assert not cache.lock(prefix, timeout=20).acquire(blocking=False)


def test_clear(cache: Any, prefix: str) -> None:
    """Removing everything: `clear`"""
    cache.set(prefix, "1", timeout=None)
    cache.clear()
    assert cache.get(prefix) is None
