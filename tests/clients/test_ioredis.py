"""ioredis."""

from __future__ import annotations

from tests.clients.joining import Growing
from tests.clients.scenarios import run_node, running_node
from tests.clients.server import Server

FILE = "ioredis.mjs"


def test_values(server: Server, prefix: str) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `exists`, `del`, and a `Buffer`"""
    run_node(FILE, "values", server, prefix)


def test_pipeline(server: Server, prefix: str) -> None:
    """Pipelines: `pipeline`"""
    run_node(FILE, "pipeline", server, prefix)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrby`"""
    run_node(FILE, "counters", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `set(EX)`, `ttl`"""
    run_node(FILE, "expiry", server, prefix)


def test_transaction(server: Server, prefix: str) -> None:
    """Transactions: `multi`"""
    run_node(FILE, "transaction", server, prefix)


def test_scan(server: Server, prefix: str) -> None:
    """All keys of a pattern: `scanStream`"""
    run_node(FILE, "scan", server, prefix)


def test_login(sealed: Server, prefix: str) -> None:
    """A user, a password and TLS: `username`, `password`, `tls`"""
    run_node(FILE, "values", sealed, prefix)


def test_cluster_mode(cluster: Server, prefix: str) -> None:
    """Cluster mode: `Cluster`, which asks the owner of each key"""
    run_node(FILE, "cluster", cluster, prefix)


def test_a_node_joins(growing: Growing, prefix: str) -> None:
    """Cluster mode while a node joins: records go to their new owner, and none is lost"""
    with running_node(FILE, "joining", growing.server, prefix):
        growing.join()
