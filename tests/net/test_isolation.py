"""What one client does costs the others nothing: real processes, and clients that mean no harm."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from pathlib import Path

import pytest

from ckv import errors
from ckv.persistent.opening import open_tier
from ckv.protocol.limits import Limits
from tests.net.watch import MIB, Watch
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.support.wire import RawClient, Response, pack

LIMITS = Limits()


def outcome(response: Response) -> str:
    """``value``, ``refused`` (nothing happened, ask again), or the error."""
    if response.error is None:
        return "value"
    return "refused" if isinstance(errors.from_wire(response.error), errors.Refused) else str(response.error)


def test_a_bad_value_does_not_cost_the_primary_its_connection(nodes: Nodes) -> None:
    """A float of 5 bytes becomes one of 9: what a primary may read may be too long for a secondary."""
    cluster = nodes.start_cluster(1)
    numbers = b"\xdc\x04\x00" + b"\xca\x3f\x80\x00\x00" * 1024
    with Watch(cluster.primary) as watch, RawClient(cluster.address) as client:
        try:
            client.send(b"\x94\x00\x01\xa3PUT\x92\xa1k" + struct.pack(">BH", 0xDC, 768) + numbers * 768)
            assert client.recv_response().error.startswith("BadArguments: ")
        except ConnectionError:
            pass  # That will do as well.
        watch.served()
    assert not [line for line in cluster.primary.log if f"peer {cluster.secondaries[0].address} lost" in line]


def all_made(watch: Watch, node: Node, least: int = 30 * MIB) -> None:
    """Waits until the node has made all the answers that it is going to make before somebody reads them.

    They take ``least`` bytes at the least.
    """

    def settled() -> bool:
        before = watch.growth(node)
        watch.served(10)
        return watch.growth(node) == before > least

    eventually(settled, 30.0, "no more answers come")


def test_many_large_answers_through_a_primary(nodes: Nodes) -> None:
    """They come faster than the client reads, and are more than a node keeps for one client: the rest of the requests
    waits until it has read them, and none is refused."""
    cluster = nodes.start_cluster(1)
    count = 300
    with Watch(cluster.primary) as watch, RawClient(cluster.address) as client:
        client.call("PUT", "large", b"x" * MIB)
        client.send(b"".join(pack([0, msgid, "GET", ["large"]]) for msgid in range(count)))
        all_made(watch, cluster.primary)
        assert Counter(outcome(client.recv_response()) for _ in range(count)) == {"value": count}
        assert client.call("GET", "large") == [True, b"x" * MIB]
    assert watch.growth() < LIMITS.hard_unsent_bytes + 32 * MIB


@pytest.mark.parametrize("role", ["secondary", "primary"])
def test_many_large_records_from_the_database(nodes: Nodes, role: str, tmp_path: Path) -> None:
    """They come back from the persistent tier no faster than the client reads them, and none is refused."""
    tier = f"sqlite:{tmp_path}/ckv.db"
    cluster = nodes.start_cluster(1, persistent=tier, capacity=4)
    secondary = cluster.secondaries[0]
    count = 150
    with RawClient(cluster.address if role == "primary" else secondary.address) as client:
        for number in range(count):
            client.call("PUT", f"key {number}", b"x" * MIB)
        for number in range(4):
            client.call("PUT", f"small {number}", "x")
        # None of the large ones is in memory now, nor on its way.
        session = open_tier(tier).connect()
        eventually(lambda: session.count() >= count, what="all of them are saved")
        session.close()
        with Watch(secondary, cluster.primary) as watch:
            client.send(b"".join(pack([0, number, "GET", [f"key {number}"]]) for number in range(count)))
            all_made(watch, cluster.primary if role == "primary" else secondary, MIB)
            assert Counter(outcome(client.recv_response()) for _ in range(count)) == {"value": count}


def test_many_large_writes_to_a_secondary_that_pauses(nodes: Nodes) -> None:
    """They are more than a primary keeps for one node. They wait, and all are carried out."""
    cluster = nodes.start_cluster(1)
    secondary = cluster.secondaries[0]
    clients = [RawClient(cluster.address) for _ in range(150)]
    before = cluster.primary.rss_bytes()
    secondary.pause()
    for number, client in enumerate(clients):
        client.send(pack([0, 1, "PUT", [f"key {number}", b"x" * MIB]]))
    eventually(lambda: cluster.primary.rss_bytes() - before > 60 * MIB, what="writes that wait to be sent")
    secondary.resume()
    assert Counter(outcome(client.recv_response()) for client in clients) == {"value": len(clients)}
    assert not [line for line in cluster.primary.log if "lost" in line]
    for client in clients:
        client.close()


def test_misses_that_wait_for_the_database_hold_up_nobody_else(nodes: Nodes) -> None:
    """However many clients wait for a database that hangs: who asks for what is in memory gets it."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        cluster = nodes.start_cluster(
            1, persistent=f"127.0.0.1:{hangs.getsockname()[1]}", secondary_options=["--load-timeout=4s"]
        )
        with Watch(cluster.primary) as watch:
            clients = [RawClient(cluster.address) for _ in range(5)]
            for number, client in enumerate(clients):
                client.send(b"".join(pack([0, msgid, "GET", [f"{number} {msgid}"]]) for msgid in range(1000)))
            watch.served(50)
            for client in clients:
                client.close()


def test_a_client_that_does_not_read_keeps_no_record_from_being_saved(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start_secondary(persistent=f"sqlite:{tmp_path}/ckv.db", options=["--drain-timeout=5s"])
    with RawClient(node.address) as client, RawClient(node.address) as other:
        client.call("PUT", "large", b"x" * MIB)
        for number in range(1000):
            other.call("PUT", f"key {number}", "value")
        client.send(pack([0, 1, "GET", ["large"]]) * 30)
        other.call("PING")
        assert node.terminate() == 0, node.tail()


def test_calls_in_flight_when_a_secondary_is_killed(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1, primary_options=["--node-wait=0"])
    with RawClient(cluster.address) as client:
        cluster.secondaries[0].pause()
        sent = [client.request("PUT", f"key {number}", "value") for number in range(10)]
        client.call("PING")  # it has read them by now
        cluster.secondaries[0].kill()
        began = time.monotonic()
        for msgid in sent:
            assert client.wait_for(msgid).error.startswith("NodeLost: ")
        assert client.wait_for(client.request("GET", "k")).error.startswith("NodeDown: ")
        assert time.monotonic() - began < 1
        assert client.call("PING") == "PONG"
        cluster.secondaries[0].restart()
        eventually(lambda: client.wait_for(client.request("GET", "k")).error is None, what="its keys work again")
