"""The client of Ruby, as Debian's ruby-redis has it."""

from __future__ import annotations

from tests.clients.scenarios import run_ruby
from tests.clients.server import Server

FILE = "redis_rb.rb"


def test_values(server: Server, prefix: str) -> None:
    """Values: `mapped_mset`, `mget`, `set`, `get`, `exists`, `strlen`, `del`"""
    run_ruby(FILE, "values", server, prefix)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrby`, `decr`, `incrbyfloat`, `append`"""
    run_ruby(FILE, "counters", server, prefix)


def test_conditions(server: Server, prefix: str) -> None:
    """Conditions: `set(nx, xx, get)`, `setnx`, `getdel`"""
    run_ruby(FILE, "conditions", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `setex`, `ttl`, `pttl`, `persist`, `expire`, `getex`"""
    run_ruby(FILE, "expiry", server, prefix)


def test_pipeline(server: Server, prefix: str) -> None:
    """Pipelines: `pipelined`"""
    run_ruby(FILE, "pipeline", server, prefix)


def test_transaction(server: Server, prefix: str) -> None:
    """Optimistic locking: `watch`, `multi`"""
    run_ruby(FILE, "transaction", server, prefix)


def test_lock(server: Server, prefix: str) -> None:
    """Locks: `set(nx, px)`, `eval` of the script that compares and deletes"""
    run_ruby(FILE, "lock", server, prefix)


def test_scan(server: Server, prefix: str) -> None:
    """All keys of a pattern: `scan_each`"""
    run_ruby(FILE, "scan", server, prefix)


def test_channels(server: Server, prefix: str) -> None:
    """Channels: `publish`, `subscribe_with_timeout`"""
    run_ruby(FILE, "channels", server, prefix)


def test_cluster_mode(cluster: Server, prefix: str) -> None:
    """Cluster mode: `Redis.new(cluster:)`, which asks the owner of each key"""
    run_ruby(FILE, "cluster", cluster, prefix)
