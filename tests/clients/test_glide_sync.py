"""Valkey GLIDE with synchronous calls, the package ``valkey-glide-sync``; its core is in Rust."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import glide_sync as glide
import pytest

from tests.clients.joining import Growing
from tests.clients.server import Server

TIMEOUT = 20_000
"""Milliseconds that a request may take. Its own default is 250."""

UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


@pytest.fixture(params=["RESP2", "RESP3"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[glide.GlideClient]:
    client = connect(server, glide.ProtocolVersion[request.param])
    yield client
    client.close()


def connect(server: Server, protocol: glide.ProtocolVersion = glide.ProtocolVersion.RESP3) -> glide.GlideClient:
    addresses = [glide.NodeAddress(server.host, server.port)]
    return glide.GlideClient.create(
        glide.GlideClientConfiguration(addresses, protocol=protocol, request_timeout=TIMEOUT)
    )


def connect_cluster(server: Server) -> glide.GlideClusterClient:
    addresses = [glide.NodeAddress(server.host, server.port)]
    return glide.GlideClusterClient.create(glide.GlideClusterClientConfiguration(addresses, request_timeout=TIMEOUT))


def test_values(client: glide.GlideClient, records: dict[str, bytes], prefix: str) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `exists`, `strlen`, `delete`"""
    names = list(records)
    assert client.mset(dict(records)) == "OK"
    assert client.mget([*names, prefix]) == [*records.values(), None]
    assert client.exists([*names]) == len(names)
    assert client.delete([*names]) == len(names)
    assert client.set(f"{prefix}é", "grün") == "OK"
    assert client.get(f"{prefix}é") == "grün".encode()
    assert client.strlen(f"{prefix}é") == 5
    assert client.get(prefix) is None


def test_counters(client: glide.GlideClient, prefix: str) -> None:
    """Counters: `incr`, `incrby`, `decr`, `incrbyfloat`, `append`"""
    assert [client.incr(prefix), client.incrby(prefix, 10), client.decr(prefix)] == [1, 11, 10]
    assert client.incrbyfloat(prefix, 0.5) == 10.5
    assert client.append(prefix, "!") == 5
    with pytest.raises(glide.RequestError, match="not an integer"):
        client.incr(prefix)


def test_conditions(client: glide.GlideClient, prefix: str) -> None:
    """Conditions: `set` with NX, XX and GET, `getdel`"""
    assert client.set(prefix, "1", conditional_set=glide.ConditionalChange.ONLY_IF_EXISTS) is None
    assert client.set(prefix, "1", conditional_set=glide.ConditionalChange.ONLY_IF_DOES_NOT_EXIST) == "OK"
    assert client.set(prefix, "2", conditional_set=glide.ConditionalChange.ONLY_IF_DOES_NOT_EXIST) is None
    assert client.set(prefix, "3", return_old_value=True) == b"1"
    assert client.getdel(prefix) == b"3"


def test_expiry(client: glide.GlideClient, prefix: str) -> None:
    """Times to live: `set(expiry)`, `ttl`, `pttl`, `expire`, `getex`, `persist`"""
    assert client.set(prefix, "1", expiry=glide.ExpirySet(glide.ExpiryType.SEC, 100)) == "OK"
    assert 90 < client.ttl(prefix) <= 100
    assert client.expire(prefix, 1000)
    assert 990_000 < client.pttl(prefix) <= 1_000_000
    assert client.getex(prefix, glide.ExpiryGetEx(glide.ExpiryTypeGetEx.MILLSEC, 50_000)) == b"1"
    assert 40 < client.ttl(prefix) <= 50
    assert client.persist(prefix)
    assert client.ttl(prefix) == -1


def test_batch(client: glide.GlideClient, records: dict[str, bytes]) -> None:
    """Pipelines: a `Batch` that is not atomic"""
    put_and_get_all(client, records, glide.Batch(is_atomic=False))


def test_transaction(client: glide.GlideClient, records: dict[str, bytes]) -> None:
    """Transactions: a `Batch` that is atomic"""
    put_and_get_all(client, records, glide.Batch(is_atomic=True))


def put_and_get_all(client: glide.GlideClient, records: dict[str, bytes], batch: glide.Batch) -> None:
    for name, value in records.items():
        batch.set(name, value).get(name)
    answers = client.exec(batch, raise_on_error=True)
    assert answers is not None
    assert answers[1::2] == list(records.values())


def test_watch(client: glide.GlideClient, server: Server, prefix: str) -> None:
    """Optimistic locking: `watch`"""
    batch = glide.Batch(is_atomic=True)
    batch.set(prefix, "mine")
    assert client.watch([prefix]) == "OK"
    other = connect(server)
    other.set(prefix, "theirs")
    other.close()
    assert client.exec(batch, raise_on_error=True) is None
    assert client.watch([prefix]) == "OK"
    assert client.exec(batch, raise_on_error=True) == ["OK"]


def test_lock(client: glide.GlideClient, prefix: str) -> None:
    """Locks: `set` with NX and a time to live, `invoke_script` with the script that compares and deletes"""
    once = glide.ConditionalChange.ONLY_IF_DOES_NOT_EXIST
    expiry = glide.ExpirySet(glide.ExpiryType.MILLSEC, 20_000)
    assert client.set(prefix, "mine", conditional_set=once, expiry=expiry) == "OK"
    assert client.set(prefix, "theirs", conditional_set=once, expiry=expiry) is None
    unlock = glide.Script(UNLOCK)
    assert client.invoke_script(unlock, keys=[prefix], args=["theirs"]) == 0
    assert client.invoke_script(unlock, keys=[prefix], args=["mine"]) == 1
    assert client.get(prefix) is None


def test_scan(client: glide.GlideClient, records: dict[str, bytes], pattern: str) -> None:
    """All keys of a pattern: `scan`"""
    client.mset(dict(records))
    found: set[bytes] = set()
    cursor: bytes = b"0"
    while True:
        cursor, keys = client.scan(cursor, match=pattern, count=100)
        found.update(keys)
        if cursor == b"0":
            break
    assert found == {name.encode() for name in records}


def test_channels(client: glide.GlideClient, server: Server, prefix: str, pattern: str) -> None:
    """Channels: `subscribe`, `psubscribe`, `publish`, `get_pubsub_message`"""
    subscriber = connect(server)
    subscriber.subscribe({prefix}, timeout_ms=TIMEOUT)
    subscriber.psubscribe({f"other {pattern}"}, timeout_ms=TIMEOUT)
    assert client.publish("hello", prefix) == 1
    message = subscriber.get_pubsub_message()
    assert (message.channel, message.message) == (prefix.encode(), b"hello")
    assert client.publish("again", f"other {prefix}") == 1
    assert subscriber.get_pubsub_message().message == b"again"
    subscriber.unsubscribe({prefix}, timeout_ms=TIMEOUT)
    assert client.publish("hello", prefix) == 0
    subscriber.close()


def test_cluster_mode(cluster: Server, records: dict[str, bytes], prefix: str, pattern: str) -> None:
    """Cluster mode: `GlideClusterClient`, which asks the owner of each key"""
    client = connect_cluster(cluster)
    for name, value in records.items():
        assert client.set(name, value) == "OK"
    assert client.mget([*records]) == list(records.values())
    batch = glide.ClusterBatch(is_atomic=False)
    for name in records:
        batch.get(name)
    assert client.exec(batch, raise_on_error=True) == list(records.values())
    batch = glide.ClusterBatch(is_atomic=True)
    batch.set(f"{{{prefix}}}1", "a").set(f"{{{prefix}}}2", "b").mget([f"{{{prefix}}}1", f"{{{prefix}}}2"])
    assert client.exec(batch, raise_on_error=True) == ["OK", "OK", [b"a", b"b"]]
    assert client.mset(dict(records)) == "OK"
    found: set[bytes] = set()
    cursor = glide.ClusterScanCursor()
    while not cursor.is_finished():
        cursor, keys = client.scan(cursor, match=pattern)
        found.update(keys)
    assert found >= {name.encode() for name in records}
    assert client.delete([*records]) == len(records)
    client.close()


def test_a_node_joins(growing: Growing, records: dict[str, bytes], prefix: str) -> None:
    """Cluster mode while a node joins: records go to their new owner, and none is lost"""
    client = connect_cluster(growing.server)
    stop = threading.Event()
    wrong: list[object] = []

    def use() -> None:
        count = 0
        while not stop.is_set():
            for name in records:
                count += 1
                value = str(count).encode()
                try:
                    if client.set(name, value) != "OK" or (found := client.get(name)) != value:
                        wrong.append((name, value, found))
                except glide.GlideError as error:
                    wrong.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        growing.join()
    finally:
        stop.set()
        thread.join()
        assert wrong == []
    for name, value in records.items():
        assert client.set(name, value) == "OK"
    assert client.mget([*records]) == list(records.values())
    client.close()
