"""The module Redis of Perl, as Debian's libredis-perl has it."""

from __future__ import annotations

from tests.clients.scenarios import run_perl
from tests.clients.server import Server

FILE = "redis.pl"


def test_values(server: Server, prefix: str) -> None:
    """Values: `mset`, `mget`, `set`, `get`, `exists`, `strlen`, `del`"""
    run_perl(FILE, "values", server, prefix)


def test_counters(server: Server, prefix: str) -> None:
    """Counters: `incr`, `incrby`, `decr`, `append`"""
    run_perl(FILE, "counters", server, prefix)


def test_conditions(server: Server, prefix: str) -> None:
    """Conditions: `set` with NX and XX, `setnx`, `getset`"""
    run_perl(FILE, "conditions", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Times to live: `setex`, `ttl`, `persist`, `expire`"""
    run_perl(FILE, "expiry", server, prefix)


def test_pipeline(server: Server, prefix: str) -> None:
    """Pipelines: a call with a function for its answer, `wait_all_responses`"""
    run_perl(FILE, "pipeline", server, prefix)


def test_transaction(server: Server, prefix: str) -> None:
    """Optimistic locking: `watch`, `multi`, `exec`"""
    run_perl(FILE, "transaction", server, prefix)


def test_scan(server: Server, prefix: str) -> None:
    """All keys of a pattern: `scan`"""
    run_perl(FILE, "scan", server, prefix)


def test_channels(server: Server, prefix: str) -> None:
    """Channels: `publish`, `subscribe`, `wait_for_messages`"""
    run_perl(FILE, "channels", server, prefix)
