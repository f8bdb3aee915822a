"""aiocache, a cache for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiocache import RedisCache
from aiocache.lock import RedLock
from aiocache.serializers import PickleSerializer

from tests.clients.server import Server

Steps = Callable[[RedisCache], Awaitable[None]]


def run(server: Server, prefix: str, steps: Steps) -> None:
    async def whole() -> None:
        cache = RedisCache(
            endpoint=server.host, port=server.port, namespace=prefix, serializer=PickleSerializer(), timeout=20
        )
        try:
            await steps(cache)
        finally:
            await cache.close()

    asyncio.run(whole())


def test_values(server: Server, prefix: str) -> None:
    """Values that live for ever: `set`, `get`, `multi_get`, `exists`, `delete`"""

    async def steps(cache: RedisCache) -> None:
        names = [str(number) for number in range(100)]
        for name in names:
            assert await cache.set(name, {"name": name})
        assert await cache.multi_get(names) == [{"name": name} for name in names]
        assert await cache.exists("7")
        assert await cache.delete("7") == 1
        assert await cache.get("7") is None

    run(server, prefix, steps)


def test_expiry(server: Server, prefix: str) -> None:
    """Values that live for a time: `set(ttl)`, `expire`"""

    async def steps(cache: RedisCache) -> None:
        assert await cache.set("a", 1, ttl=100)
        assert await cache.get("a") == 1
        assert await cache.expire("a", 50)

    run(server, prefix, steps)


def test_add(server: Server, prefix: str) -> None:
    """Values that are new: `add`"""

    async def steps(cache: RedisCache) -> None:
        assert await cache.add("a", 1)
        try:
            await cache.add("a", 2)
        except ValueError:
            return
        raise AssertionError("it was added twice")

    run(server, prefix, steps)


def test_many(server: Server, prefix: str) -> None:
    """Many at a time: `multi_set`"""

    async def steps(cache: RedisCache) -> None:
        assert await cache.multi_set([(str(number), number) for number in range(100)])
        assert await cache.multi_get(["1", "99"]) == [1, 99]

    run(server, prefix, steps)


def test_many_with_a_time(server: Server, prefix: str) -> None:
    """Many at a time, with a time to live: `multi_set(ttl)`, which sends MULTI"""

    async def steps(cache: RedisCache) -> None:
        assert await cache.multi_set([(str(number), number) for number in range(100)], ttl=100)
        assert await cache.multi_get(["1", "99"]) == [1, 99]

    run(server, prefix, steps)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `increment`"""

    async def steps(cache: RedisCache) -> None:
        assert [await cache.increment("a"), await cache.increment("a", 5)] == [1, 6]

    run(server, prefix, steps)


def test_lock(server: Server, prefix: str) -> None:
    """Locks: `RedLock`"""

    async def steps(cache: RedisCache) -> None:
        async with RedLock(cache, "a", lease=20):
            await cache.set("b", 1)
        assert await cache.get("b") == 1

    run(server, prefix, steps)


def test_clear(server: Server, prefix: str) -> None:
    """Removing everything of a namespace: `clear`"""

    async def steps(cache: RedisCache) -> None:
        await cache.set("a", 1)
        await cache.clear(namespace=prefix)
        assert await cache.get("a") is None

    run(server, prefix, steps)
