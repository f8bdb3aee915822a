"""connect-redis, in which Express keeps its sessions."""

from __future__ import annotations

from tests.clients.scenarios import run_node
from tests.clients.server import Server

FILE = "connect_redis.mjs"


def test_sessions(server: Server, prefix: str) -> None:
    """Sessions of `express-session`, by their cookies"""
    run_node(FILE, "sessions", server, prefix)


def test_store(server: Server, prefix: str) -> None:
    """The store itself: `set`, `get`, `touch`, `all`, `length`, `destroy`, `clear`"""
    run_node(FILE, "store", server, prefix)
