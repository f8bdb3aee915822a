"""valkey-py, which began as redis-py 5."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import valkey

from tests.clients.server import Server


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[valkey.Valkey]:
    with valkey.Valkey(server.host, server.port, protocol=request.param, socket_timeout=20) as client:
        yield client


def test_values(client: valkey.Valkey, records: dict[str, bytes], prefix: str) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `exists`, `delete`"""
    names = list(records)
    assert client.mset(records)
    assert client.mget([*names, prefix]) == [*records.values(), None]
    assert client.exists(*names) == len(names)
    assert client.delete(*names) == len(names)


def test_pipeline(client: valkey.Valkey, records: dict[str, bytes]) -> None:
    """Pipelines without MULTI"""
    with client.pipeline(transaction=False) as pipeline:
        for name, value in records.items():
            pipeline.set(name, value).get(name)
        assert pipeline.execute()[1::2] == list(records.values())


def test_transaction(client: valkey.Valkey, records: dict[str, bytes]) -> None:
    """Pipelines as they are by default, with MULTI and EXEC"""
    with client.pipeline() as pipeline:
        for name, value in records.items():
            pipeline.set(name, value).get(name)
        assert pipeline.execute()[1::2] == list(records.values())


def test_counters_and_conditions(client: valkey.Valkey, prefix: str) -> None:
    """Counters and conditions: `incr`, `set(nx)`, `getdel`"""
    assert [client.incr(prefix), client.incr(prefix, 10)] == [1, 11]
    assert client.set(prefix, "1", nx=True) is None
    assert client.getdel(prefix) == b"11"


def test_expiry(client: valkey.Valkey, prefix: str) -> None:
    """Times to live: `set(ex)`, `ttl`"""
    assert client.set(prefix, "1", ex=100)
    assert 90 < client.ttl(prefix) <= 100


def test_lock(client: valkey.Valkey, prefix: str) -> None:
    """Locks"""
    with client.lock(prefix, timeout=20):
        assert not client.lock(prefix, timeout=20).acquire(blocking=False)


def test_cluster_mode(cluster: Server, records: dict[str, bytes]) -> None:
    """Cluster mode: `ValkeyCluster`, which asks the owner of each key"""
    with valkey.ValkeyCluster(cluster.host, cluster.port, socket_timeout=20) as client:
        for name, value in records.items():
            assert client.set(name, value)
        assert client.mget_nonatomic(list(records)) == list(records.values())
