"""Huey, a queue of tasks that also keeps values."""

from __future__ import annotations

from huey import RedisExpireHuey, RedisHuey

from tests.clients.server import Server


def test_a_task(server: Server, prefix: str) -> None:
    """A task for a worker"""
    huey = RedisHuey(prefix, host=server.host, port=server.port)
    task = huey.task()(lambda: 1)
    task()
    assert huey.pending_count() == 1


def test_values(server: Server, prefix: str) -> None:
    """Values, with `RedisExpireHuey`: `put`, `get`"""
    huey = RedisExpireHuey(prefix, host=server.host, port=server.port)
    huey.put("a", {"b": 1})
    assert huey.get("a") == {"b": 1}
    assert huey.get("none") is None
