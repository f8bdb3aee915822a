"""cashews, a cache for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cashews import Cache

from tests.clients.server import Server

Steps = Callable[[Cache], Awaitable[None]]


def run(server: Server, steps: Steps) -> None:
    async def whole() -> None:
        cache = Cache()
        # By default an error of the server counts as a value that is not there.
        cache.setup(server.url, suppress=False, socket_timeout=20)
        try:
            await steps(cache)
        finally:
            await cache.close()

    asyncio.run(whole())


def test_values(server: Server, prefix: str) -> None:
    """Values that live for ever: `set`, `get`, `get_many`, `exists`, `delete`"""

    async def steps(cache: Cache) -> None:
        names = [f"{prefix}{number}" for number in range(100)]
        for name in names:
            assert await cache.set(name, {"name": name})
        assert await cache.get_many(*names) == tuple({"name": name} for name in names)
        assert await cache.exists(names[7])
        assert await cache.delete(names[7])
        assert await cache.get(names[7]) is None

    run(server, steps)


def test_expiry(server: Server, prefix: str) -> None:
    """Values that live for a time: `set(expire)`, `get_expire`"""

    async def steps(cache: Cache) -> None:
        assert await cache.set(prefix, 1, expire=100)
        assert 90 < await cache.get_expire(prefix) <= 100
        assert not await cache.set(prefix, 2, exist=False)

    run(server, steps)


def test_decorator(server: Server, prefix: str) -> None:
    """A function that is called once: the decorator"""

    async def steps(cache: Cache) -> None:
        calls: list[int] = []

        async def double(number: int) -> int:
            calls.append(number)
            return 2 * number

        double_kept: Any = cache(ttl="10m", key=prefix + "{number}")(double)
        assert [await double_kept(2), await double_kept(2), await double_kept(3)] == [4, 4, 6]
        assert calls == [2, 3]

    run(server, steps)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`"""

    async def steps(cache: Cache) -> None:
        assert [await cache.incr(prefix), await cache.incr(prefix)] == [1, 2]

    run(server, steps)


def test_lock(server: Server, prefix: str) -> None:
    """Locks: `lock`"""

    async def steps(cache: Cache) -> None:
        async with cache.lock(prefix, expire="20s"):
            assert await cache.is_locked(prefix)
        assert not await cache.is_locked(prefix)

    run(server, steps)


def test_patterns(server: Server, prefix: str) -> None:
    """All keys of a pattern: `delete_match`"""

    async def steps(cache: Cache) -> None:
        await cache.set(f"{prefix}1", 1)
        await cache.delete_match(f"{prefix}*")
        assert await cache.get(f"{prefix}1") is None

    run(server, steps)
