"""Clients that count one key while memory gives it up and the database is killed: nothing is counted twice or lost."""

from __future__ import annotations

import threading
import time
from typing import Final

import pytest

from ckv import Client
from ckv.errors import CkvError
from tests.failures.harness import PATIENCE
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes

CLIENTS: Final = 8
ROUNDS: Final = 40
COUNTS: Final = 10
"""Before each round the counter is only in the database. Then all clients count so many times, each."""

TOTAL: Final = CLIENTS * ROUNDS * COUNTS

KEY: Final = "counter"
OTHERS: Final = {f"other {number}": "x" for number in range(20)}
"""Records that take the place of the counter in memory."""


class Counting:
    """Threads that count one key until each has had its answers."""

    def __init__(self, port: int) -> None:
        self.answered: list[int] = []
        """All that they were told."""
        self.unknown = 0
        """Counts that may have happened."""
        self._port = port
        self._lock = threading.Lock()
        self._begin = threading.Barrier(CLIENTS, self._push_out, PATIENCE)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{len(self.answered)} counts were answered, and no more come"

    def _push_out(self) -> None:
        """Has the counter leave memory and pending, unless the database is away."""
        until = time.monotonic() + 1
        with Client("127.0.0.1", self._port, timeout=3) as client:
            while time.monotonic() < until:
                try:
                    client.put_many(OTHERS)
                    if client.call("PEEK", KEY) == ["elsewhere", b""]:
                        return
                except CkvError:
                    pass

    def _run(self) -> None:
        with Client("127.0.0.1", self._port, timeout=3) as client:
            for _ in range(ROUNDS):
                self._begin.wait()
                answers = [self._count(client) for _ in range(COUNTS)]
                with self._lock:
                    self.answered += answers

    def _count(self, client: Client) -> int:
        while True:
            try:
                return client.incr(KEY)
            except CkvError as error:
                with self._lock:
                    self.unknown += error.written != "no"


def test_what_is_counted_is_what_was_answered(database: MariaDB, nodes: Nodes, mode: str) -> None:
    cluster = nodes.start_cluster(
        1,
        persistent=database.address,
        capacity=4,
        pool_size=2,
        secondary_options=[f"--write-mode={mode}", "--write-delay=20ms", "--load-timeout=1", "--pending-wait=300ms"],
    )
    (secondary,) = cluster.secondaries
    counting = Counting(cluster.primary.port)
    for share in (TOTAL // 4, TOTAL // 2):
        eventually(lambda share=share: len(counting.answered) > share, PATIENCE, "counts")  # type: ignore[misc]
        since = len(secondary.log)
        database.kill()
        secondary.wait_for_log("database lost", since=since)
        database.start()
        secondary.wait_for_log("database back", PATIENCE, since)
    counting.wait()
    answered = counting.answered
    assert len(answered) == TOTAL
    assert len(set(answered)) == len(answered), "two were told the same number"
    with Client("127.0.0.1", cluster.primary.port) as client:
        total = client.incr(KEY, 0)
    with Client("127.0.0.1", secondary.port) as client:
        figures = client.call("INFO")
    assert isinstance(figures, dict)
    assert figures["loads"] > ROUNDS / 2, "the counter did not leave memory"
    assert max(answered) <= total
    assert len(answered) <= total <= len(answered) + counting.unknown
    assert secondary.terminate() == 0
    assert database.rows()[KEY.encode()] == str(total).encode()


@pytest.mark.parametrize("mode", ["through"])
def test_what_was_counted_in_through_survives_a_kill(database: MariaDB, nodes: Nodes, mode: str) -> None:
    secondary = nodes.start_secondary(persistent=database.address, capacity=4, options=[f"--write-mode={mode}"])
    counting = Counting(secondary.port)
    for share in (TOTAL // 4, TOTAL // 2):
        eventually(lambda share=share: len(counting.answered) > share, PATIENCE, "counts")  # type: ignore[misc]
        secondary.kill()
        secondary.start()
    counting.wait()
    with Client("127.0.0.1", secondary.port) as client:
        total = client.incr(KEY, 0)
    assert len(set(counting.answered)) == TOTAL
    assert TOTAL <= total <= TOTAL + counting.unknown
