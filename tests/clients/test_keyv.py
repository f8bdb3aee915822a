"""Keyv with its adapter for Redis."""

from __future__ import annotations

from tests.clients.scenarios import run_node
from tests.clients.server import Server

FILE = "keyv.mjs"


def test_values(server: Server, prefix: str) -> None:
    """Values that live for ever: `set`, `get`, `has`, `delete`"""
    run_node(FILE, "values", server, prefix)


def test_expiry(server: Server, prefix: str) -> None:
    """Values that live for a time: `set(ttl)`"""
    run_node(FILE, "expiry", server, prefix)


def test_many(server: Server, prefix: str) -> None:
    """Many at a time: `setMany`"""
    run_node(FILE, "many", server, prefix)


def test_clear(server: Server, prefix: str) -> None:
    """Removing everything of a namespace: `clear`"""
    run_node(FILE, "clear", server, prefix)
