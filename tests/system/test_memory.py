"""The memory of clients: what each keeps between two messages, and all of them together beside what deploy/ allows."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ckv import Client, core
from ckv.protocol.limits import IDLE_CONNECTION_BYTES, KIB, MIB, TLS_BYTES
from tests.deploy.commandline import parse
from tests.deploy.compose import memory_limit, read
from tests.deploy.running import BEYOND_THE_BOUND
from tests.security.sealed import Sealed
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.support.wire import RawClient, pack

SIZES = (20_000, 40_000, 63_000, 100_000)
"""Characters of values that have a client's buffers grow: below what is given back at once, and above it."""


def use(client: RawClient) -> None:
    """Puts, gets and a pipeline: every buffer of the connection grows as far as it stays."""
    for size in SIZES:
        assert client.call("PUT", "key", "x" * size) is True
        assert client.call("GET", "key") == [True, "x" * size]
    client.call("PUT", "key", "x" * SIZES[-2])
    assert client.call("GET", "key") == [True, "x" * SIZES[-2]]
    client.send(b"".join(pack([0, number, "GET", ["nobody"]]) for number in range(100)))
    for _ in range(100):
        client.recv_response()
    assert client.call("PUT", "key", "x" * SIZES[-2]) is True
    assert client.call("GET", "key") == [True, "x" * SIZES[-2]]


@pytest.fixture(params=["primary", "secondary"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start(nodes: Nodes, role: str, places: int) -> Node:
    options = [f"--max-connections={places}"]
    if role == "primary":
        return nodes.start_cluster(1, primary_options=options).primary
    return nodes.start_secondary(options=options)


@pytest.fixture
def clients() -> Iterator[list[RawClient]]:
    """To be filled by the test."""
    connected: list[RawClient] = []
    yield connected
    for client in connected:
        client.close()
    gc.collect()


def kept_by_each(node: Node, connect: Callable[[], RawClient], clients: list[RawClient], count: int) -> float:
    """Bytes that the node keeps for each of so many clients that were used."""
    with connect() as first:
        use(first)
        before = node.rss_bytes()
        for _ in range(count):
            clients.append(connect())
            use(clients[-1])
        return (node.rss_bytes() - before) / count


def test_what_an_idle_connection_keeps(nodes: Nodes, role: str, clients: list[RawClient]) -> None:
    node = start(nodes, role, 1000)
    each = kept_by_each(node, lambda: RawClient(node.address), clients, 200)
    assert each < IDLE_CONNECTION_BYTES, f"{each / KIB:.0f} KiB each"


def test_what_tls_adds(nodes: Nodes, tmp_path: Path, clients: list[RawClient]) -> None:
    sealed = Sealed(nodes, tmp_path)
    node = sealed.secondary("--tls-plain=clients")
    plain = kept_by_each(node, lambda: RawClient(node.address), clients, 50)
    each = kept_by_each(node, lambda: sealed.rpc(node), clients, 100) - plain
    assert each < TLS_BYTES, f"{each / KIB:.0f} KiB each"


def test_a_node_of_deploy_has_memory_for_all_the_clients_that_it_allows(
    nodes: Nodes, role: str, clients: list[RawClient]
) -> None:
    service = read()["services"]["primary" if role == "primary" else "secondary-0"]
    places = parse(service["command"], service["environment"]).max_connections
    node = start(nodes, role, places)
    taken = places - (role == "secondary")
    for _ in range(taken):
        clients.append(RawClient(node.address))
        use(clients[-1])
    assert node.rss_bytes() < memory_limit(service)


BOUND = 64 * KIB * KIB


@pytest.mark.skipif(not core.COMPILED, reason="the twin in Python only estimates what its objects take")
@pytest.mark.parametrize("largest", [64, 2_000, 60_000])
def test_records_take_no_more_than_they_may(nodes: Nodes, largest: int) -> None:
    node = nodes.start_secondary(options=[f"--memory-max={BOUND}"], capacity=10_000_000)
    chance = random.Random(largest)
    with Client("127.0.0.1", node.port) as client:
        client.put("warm", "up")
        before = node.rss_bytes()
        written = 0
        while written < 3 * BOUND:
            with client.pipeline() as pipeline:
                for _ in range(500):
                    size = int(largest ** chance.random())
                    pipeline.put(f"key {chance.randrange(2**32)}", chance.randbytes(size))
                    written += size + 80
                pipeline.execute()
        figures = client.call("INFO")
    assert isinstance(figures, dict)
    assert figures["records_max_bytes"] == BOUND
    assert 0.99 * BOUND < figures["records_bytes"] <= BOUND
    assert figures["evicted_keys"] > 0
    assert node.rss_bytes() - before < BOUND * BEYOND_THE_BOUND


def test_memory_that_was_freed_is_given_back(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    empty = node.rss_bytes()
    with Client("127.0.0.1", node.port) as client:
        # Too small to be in pages of their own; and the last one keeps the heap from becoming shorter.
        for number in range(2000):
            client.put(f"key {number}", b"x" * 100 * KIB)
        assert node.rss_bytes() - empty > 190 * MIB
        for number in range(1999):
            client.delete(f"key {number}")
    eventually(lambda: node.rss_bytes() - empty < 40 * MIB, 20, "it takes little more than it did")
