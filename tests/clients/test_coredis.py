"""coredis, which is asynchronous and speaks RESP3 alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import coredis

from tests.clients.server import Server

Steps = Callable[["coredis.Redis[bytes]"], Awaitable[None]]


def run(server: Server, steps: Steps) -> None:
    async def whole() -> None:
        async with coredis.Redis(server.host, server.port) as client:
            await steps(client)

    anyio.run(whole)


def test_values(server: Server, records: dict[str, bytes]) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `delete`"""

    async def steps(client: coredis.Redis[bytes]) -> None:
        names = list(records)
        assert await client.mset(records)
        assert await client.mget(names) == tuple(records.values())
        assert await client.set(names[0], b"text")
        assert await client.get(names[0]) == b"text"
        assert await client.delete(names) == len(names)

    run(server, steps)


def test_pipeline(server: Server, records: dict[str, bytes]) -> None:
    """Pipelines without MULTI"""

    async def steps(client: coredis.Redis[bytes]) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            answers = [(pipeline.set(name, value), pipeline.get(name))[1] for name, value in records.items()]
        assert [await answer for answer in answers] == list(records.values())

    run(server, steps)


def test_transaction(server: Server, prefix: str) -> None:
    """Pipelines with MULTI and EXEC"""

    async def steps(client: coredis.Redis[bytes]) -> None:
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.set(prefix, b"1")
            answer = pipeline.get(prefix)
        assert await answer == b"1"

    run(server, steps)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrby`"""

    async def steps(client: coredis.Redis[bytes]) -> None:
        assert [await client.incr(prefix), await client.incrby(prefix, 10)] == [1, 11]

    run(server, steps)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `set(ex)`, `ttl`"""

    async def steps(client: coredis.Redis[bytes]) -> None:
        assert await client.set(prefix, b"1", ex=100)
        assert 90 < await client.ttl(prefix) <= 100

    run(server, steps)


def test_cluster_mode(cluster: Server, records: dict[str, bytes]) -> None:
    """Cluster mode: `RedisCluster`, which asks the owner of each key"""

    async def whole() -> None:
        async with coredis.RedisCluster(cluster.host, cluster.port) as client:
            for name, value in records.items():
                assert await client.set(name, value)
            assert [await client.get(name) for name in records] == list(records.values())

    anyio.run(whole)
