"""BullMQ, a queue of tasks."""

from __future__ import annotations

from tests.clients.scenarios import run_node
from tests.clients.server import Server


def test_a_task(server: Server, prefix: str) -> None:
    """A task for a worker: `Queue.add`"""
    run_node("bullmq.mjs", "task", server, prefix)
