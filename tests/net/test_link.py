"""Large values in both directions at once, through a primary: no call fails, and nobody waits for ever.

What a node does not read waits at the one that sends it. When both ends of a connection wait for the other one to read,
nothing moves again, so the rule is that unsent requests are no reason not to read answers.
"""

from __future__ import annotations

import random
import selectors
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import msgpack
import pytest

from ckv.protocol.limits import Limits
from tests.net.watch import MIB, Watch
from tests.support.nodes import Nodes
from tests.support.wire import MAX_RESPONSE_BYTES, RawClient, pack

PATIENCE = 30.0
"""Seconds without any progress after which the nodes are stuck."""


class Pipeliner:
    """A client that has so many requests in flight, and takes answers whenever there are some."""

    def __init__(self, address: str, requests: Sequence[bytes], depth: int) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setblocking(False)
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=MAX_RESPONSE_BYTES)
        self._requests: Iterator[bytes] = iter(requests)
        self._unsent: list[memoryview] = []
        self._depth = depth
        self.left = len(requests)
        self.in_flight = 0
        self.outcomes: Counter[str] = Counter()
        self._fill()

    def _fill(self) -> None:
        """Asks for the next ones when all were answered, as pipelines are."""
        if not self.in_flight:
            for request in islice(self._requests, self._depth):
                self._unsent.append(memoryview(request))
                self.in_flight += 1

    @property
    def events(self) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def ready(self, events: int) -> None:
        if events & selectors.EVENT_READ:
            data = self.socket.recv(256 * 1024)
            if not data:
                raise ConnectionResetError("the node closed the connection")
            self._unpacker.feed(data)
            for _, _, error, _ in self._unpacker:
                self.outcomes["value" if error is None else error.partition(":")[0]] += 1
                self.left -= 1
                self.in_flight -= 1
            self._fill()
        if events & selectors.EVENT_WRITE and self._unsent:
            try:
                sent = self.socket.send(self._unsent[0])
            except BlockingIOError:
                return
            self._unsent[0] = self._unsent[0][sent:]
            if not self._unsent[0]:
                del self._unsent[0]


def drive(clients: Sequence[Pipeliner]) -> Counter[str]:
    """Until all have all their answers; how these were."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, client.events, client)
        left = len(clients)
        while left:
            ready = selector.select(PATIENCE)
            if not ready:
                raise AssertionError(f"nothing moves: {[client.left for client in clients]} answers are missing")
            for key, events in ready:
                one: Pipeliner = key.data
                one.ready(events)
                if not one.left:
                    selector.unregister(one.socket)
                    left -= 1
                elif key.events != one.events:
                    selector.modify(one.socket, one.events, one)
    return sum((client.outcomes for client in clients), Counter())


def requests(size: int, count: int, puts: float, seed: int) -> list[bytes]:
    """Some requests for 20 keys, so many of them PUTs."""
    chance = random.Random(seed)
    put = [pack([0, 1, "PUT", [f"key {number}", "v" * size]]) for number in range(20)]
    get = [pack([0, 1, "GET", [f"key {number}"]]) for number in range(20)]
    return [chance.choice(put if chance.random() < puts else get) for _ in range(count)]


@pytest.mark.parametrize(
    ("clients", "depth", "size", "calls", "secondaries"),
    [
        pytest.param(300, 1, 100_000, 10, 1, id="many that wait for each answer"),
        pytest.param(100, 1, 400_000, 3, 2, id="the same with larger ones and two secondaries"),
        pytest.param(3, 20, MIB, 40, 1, id="20 of 1 MiB"),
        pytest.param(3, 50, 500_000, 100, 2, id="50 of 500 kB"),
        pytest.param(3, 1000, 30_000, 2000, 1, id="1,000 of 30 kB"),
        pytest.param(3, 300, 200_000, 300, 1, id="300 of 200 kB"),
    ],
)
def test_large_values_in_both_directions(
    nodes: Nodes, clients: int, depth: int, size: int, calls: int, secondaries: int
) -> None:
    cluster = nodes.start_cluster(secondaries)
    with RawClient(cluster.address) as client:
        for number in range(20):
            client.call("PUT", f"key {number}", "v" * size)
    with Watch(cluster.primary) as watch:
        pipeliners = [Pipeliner(cluster.address, requests(size, calls, 0.5, seed), depth) for seed in range(clients)]
        outcomes = drive(pipeliners)
        for pipeliner in pipeliners:
            pipeliner.socket.close()
    assert outcomes == {"value": clients * calls}
    assert not [line for line in cluster.primary.log if ("peer" in line and "lost" in line) or "closed" in line]
    # Each client may be in the middle of a request or an answer or two; and what a turn reads, and what is on its way.
    assert watch.growth() < clients * 3 * size + 96 * MIB


@pytest.mark.parametrize("role", ["primary", "secondary"])
@pytest.mark.parametrize(("size", "count"), [(MIB, 200), (500_000, 200), (100_000, 400), (17_000, 2000)])
def test_a_pipeline_of_large_writes_is_not_cut(nodes: Nodes, role: str, size: int, count: int) -> None:
    cluster = nodes.start_cluster(1)
    node = cluster.primary if role == "primary" else cluster.secondaries[0]
    with Watch(node) as watch:
        for _ in range(3):
            pipeliner = Pipeliner(node.address, requests(size, count, 1.0, 1), count)
            assert drive([pipeliner]) == {"value": count}
            pipeliner.socket.close()
    assert not [line for line in node.log if ("peer" in line and "lost" in line) or "closed" in line]
    # A secondary keeps 20 values. Of the pipeline there is what may be on its way to another node, and what was read.
    assert watch.growth() < 20 * size + 2 * Limits().max_message_bytes + 32 * MIB
