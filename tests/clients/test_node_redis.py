"""node-redis, the package ``redis`` of npm."""

from __future__ import annotations

from tests.clients.joining import Growing
from tests.clients.scenarios import run_node, running_node
from tests.clients.server import Server

FILE = "node_redis.mjs"


def test_values(server: Server, prefix: str) -> None:
    """Values: `set`, `get`, `mSet`, `mGet`, `exists`, `del`"""
    run_node(FILE, "values", server, prefix)


def test_many_at_a_time(server: Server, prefix: str) -> None:
    """Two hundred calls at a time, which it sends as one pipeline"""
    run_node(FILE, "many_at_a_time", server, prefix)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrBy`"""
    run_node(FILE, "counters", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `set(EX)`, `ttl`"""
    run_node(FILE, "expiry", server, prefix)


def test_transaction(server: Server, prefix: str) -> None:
    """Transactions: `multi`"""
    run_node(FILE, "transaction", server, prefix)


def test_scan(server: Server, prefix: str) -> None:
    """All keys of a pattern: `scanIterator`"""
    run_node(FILE, "scan", server, prefix)


def test_channels(server: Server, prefix: str) -> None:
    """Channels: `subscribe`, `publish`"""
    run_node(FILE, "channels", server, prefix)


def test_cluster_mode(cluster: Server, prefix: str) -> None:
    """Cluster mode: `createCluster`, which asks the owner of each key"""
    run_node(FILE, "cluster", cluster, prefix)


def test_a_node_joins(growing: Growing, prefix: str) -> None:
    """Cluster mode while a node joins: none is lost, if its caller repeats what is answered `TRYAGAIN`"""
    with running_node(FILE, "joining", growing.server, prefix):
        growing.join()
