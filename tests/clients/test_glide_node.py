"""Valkey GLIDE for Node, the package ``@valkey/valkey-glide`` of npm; its core is in Rust."""

from __future__ import annotations

from tests.clients.joining import Growing
from tests.clients.scenarios import run_node, running_node
from tests.clients.server import Server

FILE = "glide.mjs"


def test_values(server: Server, prefix: str) -> None:
    """Values: `set`, `get`, `mset`, `mget`, `exists`, `del`, and a `Buffer`"""
    run_node(FILE, "values", server, prefix)


def test_many_at_a_time(server: Server, prefix: str) -> None:
    """A hundred calls at a time, all on its one connection"""
    run_node(FILE, "many_at_a_time", server, prefix)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrBy`"""
    run_node(FILE, "counters", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `set(expiry)`, `ttl`"""
    run_node(FILE, "expiry", server, prefix)


def test_batch(server: Server, prefix: str) -> None:
    """Pipelines and transactions: a `Batch`"""
    run_node(FILE, "batch", server, prefix)


def test_lock(server: Server, prefix: str) -> None:
    """Locks: `set` with NX and a time to live, `invokeScript` with the script that compares and deletes"""
    run_node(FILE, "lock", server, prefix)


def test_scan(server: Server, prefix: str) -> None:
    """All keys of a pattern: `scan`"""
    run_node(FILE, "scan", server, prefix)


def test_channels(server: Server, prefix: str) -> None:
    """Channels: `subscribe`, `publish`"""
    run_node(FILE, "channels", server, prefix)


def test_cluster_mode(cluster: Server, prefix: str) -> None:
    """Cluster mode: `GlideClusterClient`, which asks the owner of each key"""
    run_node(FILE, "cluster", cluster, prefix)


def test_a_node_joins(growing: Growing, prefix: str) -> None:
    """Cluster mode while a node joins: records go to their new owner, and none is lost"""
    with running_node(FILE, "joining", growing.server, prefix):
        growing.join()
