"""django-redis, a cache of Django with more than that of Django itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients import own_tests
from tests.clients.django_in_process import set_up
from tests.clients.expected import OF_DJANGO_REDIS, PASSES_OF_DJANGO_REDIS
from tests.clients.server import OTHER_SERVER, Server


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
    """Counters: `incr`, which keeps the time to live and makes no counter, and counts all that many add at once"""
    cache.set(prefix, 5, timeout=100)
    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(lambda _: cache.incr(prefix, 2), range(100))) == list(range(7, 206, 2))
    assert 90 < cache.ttl(prefix) <= 100
    with pytest.raises(ValueError, match="not found"):
        cache.incr(f"{prefix}none")
    assert cache.get(f"{prefix}none") is None


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


@pytest.mark.timeout(own_tests.TIMEOUT + 20)
@pytest.mark.parametrize("setting", PASSES_OF_DJANGO_REDIS)
def test_its_own_tests(server: Server, tmp_path: Path, setting: str) -> None:
    """django-redis's own tests, from its source package, as far as they need strings alone (see below)"""
    if not own_tests.SOURCE.exists():
        pytest.skip("the tests of django-redis are not there: `make test-clients` fetches them")
    outcomes = own_tests.run(server, setting, tmp_path)
    expected = {} if OTHER_SERVER else own_tests.by_test(OF_DJANGO_REDIS)
    assert not [*own_tests.complaints(outcomes, expected)]
    assert sum(not outcome.error for outcome in outcomes) == PASSES_OF_DJANGO_REDIS[setting] + (
        len(own_tests.by_test(OF_DJANGO_REDIS)) if OTHER_SERVER else 0
    )
