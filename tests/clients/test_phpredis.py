"""The extension of PHP for Redis."""

from __future__ import annotations

from tests.clients.scenarios import run_php
from tests.clients.server import Server

FILE = "phpredis.php"


def test_values(server: Server, prefix: str) -> None:
    """Values: `set`, `get`, `mSet`, `mGet`, `exists`, `del`"""
    run_php(FILE, "values", server, prefix)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrBy`, `decr`"""
    run_php(FILE, "counters", server, prefix)


def test_conditions(server: Server, prefix: str) -> None:
    """Conditions: `set` with `nx` and `xx`, `getSet`"""
    run_php(FILE, "conditions", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `setEx`, `ttl`, `persist`, `expire`"""
    run_php(FILE, "expiry", server, prefix)


def test_pipeline(server: Server, prefix: str) -> None:
    """Pipelines: `pipeline`"""
    run_php(FILE, "pipeline", server, prefix)


def test_transaction(server: Server, prefix: str) -> None:
    """Transactions: `watch`, `multi`"""
    run_php(FILE, "transaction", server, prefix)


def test_scan(server: Server, prefix: str) -> None:
    """All keys of a pattern: `scan`"""
    run_php(FILE, "scan", server, prefix)


def test_sessions(server: Server, prefix: str) -> None:
    """Sessions of PHP: `session.save_handler`, with `redis.session.locking_enabled`"""
    run_php(FILE, "sessions", server, prefix)


def test_cluster_mode(cluster: Server, prefix: str) -> None:
    """Cluster mode: `RedisCluster`, which asks the owner of each key"""
    run_php(FILE, "cluster", cluster, prefix)
