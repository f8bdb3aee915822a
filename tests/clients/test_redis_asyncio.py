"""redis-py with asyncio, as FastAPI and others use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis import asyncio as redis

from tests.clients.server import Server

Steps = Callable[[Any], Awaitable[None]]


def run(server: Server, steps: Steps) -> None:
    async def whole() -> None:
        async with redis.Redis(host=server.host, port=server.port, socket_timeout=20) as client:
            await steps(client)

    asyncio.run(whole())


def test_values(server: Server, records: dict[str, bytes]) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `delete`"""

    async def steps(client: Any) -> None:
        assert await client.mset(records)
        assert await client.mget(list(records)) == list(records.values())
        assert await client.delete(*records) == len(records)

    run(server, steps)


def test_many_at_a_time(server: Server, records: dict[str, bytes]) -> None:
    """A hundred calls at a time, each with a connection of the pool"""

    async def steps(client: Any) -> None:
        async def use(name: str, value: bytes) -> bool:
            await client.set(name, value)
            return bool(await client.get(name) == value)

        assert all(await asyncio.gather(*(use(name, value) for name, value in records.items())))

    run(server, steps)


def test_counters(server: Server, prefix: str) -> None:
    """Counters that many raise at the same time: `incr`"""

    async def steps(client: Any) -> None:
        answers = await asyncio.gather(*(client.incr(prefix) for _ in range(50)))
        assert sorted(answers) == list(range(1, 51))

    run(server, steps)


def test_pipeline(server: Server, records: dict[str, bytes]) -> None:
    """Pipelines without MULTI"""

    async def steps(client: Any) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for name, value in records.items():
                pipeline.set(name, value).get(name)
            assert (await pipeline.execute())[1::2] == list(records.values())

    run(server, steps)


def test_transaction(server: Server, records: dict[str, bytes]) -> None:
    """Pipelines as they are by default, with MULTI and EXEC"""

    async def steps(client: Any) -> None:
        async with client.pipeline() as pipeline:
            for name, value in records.items():
                pipeline.set(name, value).get(name)
            assert (await pipeline.execute())[1::2] == list(records.values())

    run(server, steps)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `set(ex)`, `ttl`"""

    async def steps(client: Any) -> None:
        assert await client.set(prefix, "1", ex=100)
        assert 90 < await client.ttl(prefix) <= 100

    run(server, steps)


def test_lock(server: Server, prefix: str) -> None:
    """Locks"""

    async def steps(client: Any) -> None:
        async with client.lock(prefix, timeout=20):
            assert not await client.lock(prefix, timeout=20).acquire(blocking=False)

    run(server, steps)


def test_cluster_mode(cluster: Server, records: dict[str, bytes]) -> None:
    """Cluster mode: `RedisCluster`, which asks the owner of each key"""

    async def whole() -> None:
        async with redis.RedisCluster(host=cluster.host, port=cluster.port, socket_timeout=20) as client:
            for name, value in records.items():
                assert await client.set(name, value)
            assert [await client.get(name) for name in records] == list(records.values())

    asyncio.run(whole())
