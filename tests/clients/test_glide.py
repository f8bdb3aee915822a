"""Valkey GLIDE with asyncio, the package ``valkey-glide``; its core is in Rust."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import glide
import pytest

from tests.clients.joining import Growing
from tests.clients.server import Server

TIMEOUT = 20_000
"""Milliseconds that a request may take. Its own default is 250."""

Steps = Callable[[glide.GlideClient], Awaitable[None]]


async def connect(server: Server) -> glide.GlideClient:
    addresses = [glide.NodeAddress(server.host, server.port)]
    return await glide.GlideClient.create(glide.GlideClientConfiguration(addresses, request_timeout=TIMEOUT))


async def connect_cluster(server: Server) -> glide.GlideClusterClient:
    addresses = [glide.NodeAddress(server.host, server.port)]
    return await glide.GlideClusterClient.create(
        glide.GlideClusterClientConfiguration(addresses, request_timeout=TIMEOUT)
    )


def run(server: Server, steps: Steps) -> None:
    async def whole() -> None:
        client = await connect(server)
        try:
            await steps(client)
        finally:
            await client.close()

    asyncio.run(whole())


def test_values(server: Server, records: dict[str, bytes]) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `exists`, `delete`"""

    async def steps(client: glide.GlideClient) -> None:
        assert await client.mset(dict(records)) == "OK"
        assert await client.mget([*records]) == list(records.values())
        assert await client.exists([*records]) == len(records)
        assert await client.delete([*records]) == len(records)

    run(server, steps)


def test_many_at_a_time(server: Server, records: dict[str, bytes]) -> None:
    """A hundred calls at a time, all on its one connection"""

    async def steps(client: glide.GlideClient) -> None:
        async def use(name: str, value: bytes) -> bool:
            await client.set(name, value)
            return bool(await client.get(name) == value)

        assert all(await asyncio.gather(*(use(name, value) for name, value in records.items())))

    run(server, steps)


def test_counters(server: Server, prefix: str) -> None:
    """Counters that many raise at the same time: `incr`"""

    async def steps(client: glide.GlideClient) -> None:
        answers = await asyncio.gather(*(client.incr(prefix) for _ in range(50)))
        assert sorted(answers) == list(range(1, 51))

    run(server, steps)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `set(expiry)`, `ttl`"""

    async def steps(client: glide.GlideClient) -> None:
        assert await client.set(prefix, "1", expiry=glide.ExpirySet(glide.ExpiryType.SEC, 100)) == "OK"
        assert 90 < await client.ttl(prefix) <= 100

    run(server, steps)


@pytest.mark.parametrize("atomic", [False, True], ids=["pipeline", "transaction"])
def test_batch(server: Server, records: dict[str, bytes], atomic: bool) -> None:
    """Pipelines and transactions: a `Batch`"""

    async def steps(client: glide.GlideClient) -> None:
        batch = glide.Batch(is_atomic=atomic)
        for name, value in records.items():
            batch.set(name, value).get(name)
        answers = await client.exec(batch, raise_on_error=True)
        assert answers is not None
        assert answers[1::2] == list(records.values())

    run(server, steps)


def test_channels(server: Server, prefix: str) -> None:
    """Channels: `subscribe`, `publish`, `get_pubsub_message`"""

    async def steps(client: glide.GlideClient) -> None:
        subscriber = await connect(server)
        await subscriber.subscribe({prefix}, timeout_ms=TIMEOUT)
        assert await client.publish("hello", prefix) == 1
        message = await subscriber.get_pubsub_message()
        assert (message.channel, message.message) == (prefix.encode(), b"hello")
        await subscriber.close()

    run(server, steps)


def test_cluster_mode(cluster: Server, records: dict[str, bytes]) -> None:
    """Cluster mode: `GlideClusterClient`, which asks the owner of each key"""

    async def whole() -> None:
        client = await connect_cluster(cluster)
        for name, value in records.items():
            assert await client.set(name, value) == "OK"
        assert await client.mget([*records]) == list(records.values())
        batch = glide.ClusterBatch(is_atomic=False)
        for name in records:
            batch.get(name)
        assert await client.exec(batch, raise_on_error=True) == list(records.values())
        await client.close()

    asyncio.run(whole())


def test_a_node_joins(growing: Growing, records: dict[str, bytes]) -> None:
    """Cluster mode while a node joins: records go to their new owner, and none is lost"""

    async def whole() -> None:
        client = await connect_cluster(growing.server)
        joining = asyncio.create_task(asyncio.to_thread(growing.join))
        count = 0
        while not joining.done():
            count += 1
            values = [f"{name} {count}".encode() for name in records]
            written = await asyncio.gather(*map(client.set, records, values))
            assert written == ["OK"] * len(records)
            assert await asyncio.gather(*map(client.get, records)) == values
        await joining
        assert await client.mget([*records]) == values
        await client.close()

    asyncio.run(whole())
