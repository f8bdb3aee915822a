"""dogpile.cache, which keeps many from making the same value at the same time."""

from __future__ import annotations

from typing import Any

from dogpile.cache import make_region

from tests.clients.server import Server


def region(server: Server, **more: object) -> Any:
    arguments = {"host": server.host, "port": server.port, **more}
    return make_region().configure("dogpile.cache.redis", arguments=arguments)


def test_values(server: Server, prefix: str) -> None:
    """Values that live for ever: `set`, `get`, `get_multi`, `get_or_create`, `delete`"""
    cache = region(server)
    names = [f"{prefix}{number}" for number in range(100)]
    for name in names:
        cache.set(name, {"name": name})
    assert cache.get_multi(names) == [{"name": name} for name in names]
    assert cache.get_or_create(prefix, lambda: "made") == "made"
    assert cache.get_or_create(prefix, lambda: "made again") == "made"
    cache.delete(prefix)
    assert not cache.get(prefix)


def test_decorator(server: Server, prefix: str) -> None:
    """A function that is called once: `cache_on_arguments`"""
    calls: list[int] = []

    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    double_kept = region(server).cache_on_arguments(namespace=prefix)(double)
    assert [double_kept(2), double_kept(2), double_kept(3)] == [4, 4, 6]
    assert calls == [2, 3]
    double_kept.invalidate(2)
    assert double_kept(2) == 4
    assert calls == [2, 3, 2]


def test_expiry(server: Server, prefix: str) -> None:
    """Values that live for a time: `redis_expiration_time`"""
    cache = region(server, redis_expiration_time=7200)
    cache.set(prefix, "1")
    assert cache.get(prefix) == "1"


def test_many(server: Server, prefix: str) -> None:
    """Many at a time, with a time to live: `set_multi`, which sends MULTI"""
    cache = region(server, redis_expiration_time=7200)
    values = {f"{prefix}{number}": number for number in range(100)}
    cache.set_multi(values)
    assert cache.get_multi(list(values)) == list(values.values())


def test_distributed_lock(server: Server, prefix: str) -> None:
    """One maker among all processes: `distributed_lock`"""
    cache = region(server, distributed_lock=True, thread_local_lock=False, lock_timeout=20)
    assert cache.get_or_create(prefix, lambda: "made") == "made"
