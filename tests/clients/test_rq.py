"""RQ, a queue of tasks."""

from __future__ import annotations

import redis
from rq import Queue

from tests.clients.server import Server


def test_a_task(server: Server, prefix: str) -> None:
    """A task for a worker: `Queue.enqueue`"""
    with redis.Redis(server.host, server.port) as client:
        queue = Queue(prefix, connection=client)
        queue.enqueue("os.getcwd")
        assert queue.count == 1
