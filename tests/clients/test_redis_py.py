"""redis-py, with both versions of the protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.cache import CacheConfig

from tests.clients.conftest import CLUSTER_NODES
from tests.clients.server import Server
from tests.support.eventually import eventually


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    with redis.Redis(server.host, server.port, protocol=request.param, socket_timeout=20) as client:
        yield client


def test_values(client: Any, records: dict[str, bytes], prefix: str) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `exists`, `strlen`, `delete`"""
    names = list(records)
    assert client.mset(records) is True
    assert client.mget([*names, prefix]) == [*records.values(), None]
    assert client.set(names[0], "text") is True
    assert client.get(names[0]) == b"text"
    assert client.exists(*names, prefix) == len(names)
    assert client.strlen(names[1]) == len(records[names[1]])
    assert client.delete(*names) == len(names)
    assert client.get(names[2]) is None


def test_text(server: Server, prefix: str) -> None:
    """Text, with `decode_responses`"""
    with redis.Redis(server.host, server.port, decode_responses=True) as client:
        assert client.set(f"{prefix}é", "grün")
        assert client.get(f"{prefix}é") == "grün"
        assert client.getrange(f"{prefix}é", 0, 1) == "gr"


def test_counters(client: Any, prefix: str) -> None:
    """Counters: `incr`, `decr`, `incrbyfloat`, `append`"""
    assert [client.incr(prefix), client.incr(prefix, 10), client.decr(prefix, 3)] == [1, 11, 8]
    assert client.incrbyfloat(prefix, 0.5) == 8.5
    assert client.append(prefix, "x") == 4
    with pytest.raises(redis.ResponseError):
        client.incr(prefix)
    assert client.get(prefix) == b"8.5x"


def test_conditions(client: Any, prefix: str) -> None:
    """Conditions: `set(nx, xx, get)`, `setnx`, `getset`, `getdel`"""
    assert client.set(prefix, "1", xx=True) is None
    assert client.set(prefix, "1", nx=True) is True
    assert client.set(prefix, "2", nx=True) is None
    assert client.set(prefix, "2", xx=True, get=True) == b"1"
    assert client.setnx(prefix, "3") in (False, 0)
    assert client.getset(prefix, "4") == b"2"
    assert client.getdel(prefix) == b"4"
    assert client.get(prefix) is None


def test_expiry(client: Any, prefix: str) -> None:
    """Times to live: `set(ex, px)`, `setex`, `expire`, `ttl`, `persist`"""
    assert client.set(prefix, "1", ex=100) is True
    assert 90 < client.ttl(prefix) <= 100
    assert client.persist(prefix) in (True, 1)
    assert client.ttl(prefix) == -1
    assert client.expire(prefix, 200) in (True, 1)
    assert 190_000 < client.pttl(prefix) <= 200_000
    assert client.setex(prefix, 50, "2") is True
    assert 40 < client.ttl(prefix) <= 50
    assert client.set(prefix, "3", px=30) is True
    eventually(lambda: client.get(prefix) is None)
    assert client.ttl(prefix) == -2


def test_pipeline(client: Any, records: dict[str, bytes]) -> None:
    """Pipelines without MULTI: `pipeline(transaction=False)`"""
    with client.pipeline(transaction=False) as pipeline:
        for name, value in records.items():
            pipeline.set(name, value).get(name)
        assert pipeline.execute() == [answer for value in records.values() for answer in (True, value)]


def test_transaction(client: Any, records: dict[str, bytes]) -> None:
    """Pipelines as they are by default, with MULTI and EXEC"""
    with client.pipeline() as pipeline:
        for name, value in records.items():
            pipeline.set(name, value).get(name)
        assert pipeline.execute() == [answer for value in records.values() for answer in (True, value)]


def test_watch(client: Any, prefix: str) -> None:
    """Optimistic locking: `transaction()` with WATCH"""
    client.set(prefix, "1")

    def double(pipeline: Any) -> None:
        value = int(pipeline.get(prefix))
        pipeline.multi()
        pipeline.set(prefix, str(2 * value))

    assert client.transaction(double, prefix) == [True]
    assert client.get(prefix) == b"2"


def test_lock(client: Any, prefix: str) -> None:
    """Locks: `lock()`, which is SET NX PX and a script; `extend`, `reacquire`"""
    with client.lock(prefix, timeout=20) as lock:
        assert lock.extend(30)
        assert lock.reacquire()
        other = client.lock(prefix, timeout=20)
        assert other.acquire(blocking=False) is False
    assert client.lock(prefix, timeout=20).acquire(blocking=False) is True


def test_scan(client: Any, records: dict[str, bytes], pattern: str) -> None:
    """All keys of a pattern: `scan_iter`"""
    client.mset(records)
    assert {name.decode() for name in client.scan_iter(pattern)} == set(records)


def test_flush(client: Any, prefix: str) -> None:
    """Removing everything: `flushdb`"""
    client.set(prefix, "1")
    assert client.flushdb() is True
    assert client.get(prefix) is None


def test_channels(client: Any, prefix: str) -> None:
    """Channels: `publish`, `pubsub()`"""
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(prefix)
        assert channel.get_message(timeout=5) is None  # the subscription itself
        assert client.publish(prefix, "hello") == 1
        message = channel.get_message(timeout=5)
    assert message is not None
    assert message["data"] == b"hello"


def test_patterns_of_channels(client: Any, prefix: str, pattern: str) -> None:
    """Patterns of channels: `psubscribe`, `pubsub_numpat`"""
    before = client.pubsub_numpat()
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.psubscribe(pattern)
        assert channel.get_message(timeout=5) is None  # the subscription itself
        assert client.pubsub_numpat() == before + 1
        assert client.publish(f"{prefix}é", "hello") == 1
        message = channel.get_message(timeout=5)
        assert message == {
            "type": "pmessage",
            "pattern": pattern.encode(),
            "channel": f"{prefix}é".encode(),
            "data": b"hello",
        }
        channel.punsubscribe()
        channel.get_message(timeout=5)
        assert client.publish(f"{prefix}é", "hello") == 0


def test_scripts(client: Any, prefix: str) -> None:
    """Scripts in Lua: `register_script`"""
    script = client.register_script("return redis.call('SET', KEYS[1], ARGV[1])")
    assert script(keys=[prefix], args=["1"]) in (b"OK", "OK")


def test_other_types(client: Any, prefix: str) -> None:
    """Lists, sets, hashes, sorted sets, streams"""
    assert client.lpush(f"{prefix}list", "1") == 1
    assert client.hset(f"{prefix}hash", "field", "1") == 1


def test_client_side_cache(server: Server, prefix: str) -> None:
    """A cache in the client itself: `cache_config`, with CLIENT TRACKING"""
    with redis.Redis(server.host, server.port, protocol=3, cache_config=CacheConfig()) as client:
        assert client.set(prefix, "1")
        assert client.get(prefix) == b"1"


def test_threads_share_a_pool(server: Server, records: dict[str, bytes]) -> None:
    """A `BlockingConnectionPool` of three connections, shared by ten threads"""
    made: Any = redis.BlockingConnectionPool
    pool = made(host=server.host, port=server.port, max_connections=3, timeout=20)
    wrong: list[str] = []

    def use(number: int) -> None:
        client = redis.Redis(connection_pool=pool)
        for name, value in list(records.items())[number::10]:
            if not client.set(name, value) or client.get(name) != value:
                wrong.append(name)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redis.Redis(connection_pool=pool).mget(list(records)) == list(records.values())
    assert wrong == []
    pool.disconnect()


def test_what_it_asks_about_the_server(client: Any) -> None:
    """What it asks about the server: `ping`, `info`, `client_list`, `config_get`, `time`"""
    assert client.ping() is True
    assert client.info("replication")["role"] == "master"
    assert any(line["id"] == str(client.client_id()) for line in client.client_list())
    assert "maxmemory" in client.config_get("maxmemory*")
    assert client.time()[0] > 1_700_000_000


def test_cluster_mode(cluster: Server, records: dict[str, bytes]) -> None:
    """Cluster mode: `RedisCluster`, which asks the owner of each key"""
    with redis.RedisCluster(cluster.host, cluster.port, socket_timeout=20) as client:
        assert len(client.get_nodes()) == CLUSTER_NODES
        for name, value in records.items():
            assert client.set(name, value)
        assert client.mget_nonatomic(list(records)) == list(records.values())
        with client.pipeline() as pipeline:
            for name in records:
                pipeline.get(name)
            assert pipeline.execute() == list(records.values())
