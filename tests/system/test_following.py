"""A primary that follows another one, without a coordinator."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import msgpack
import pytest

from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.system.coordinated import all_answered, info, put_all
from tests.system.registered import Joined, Load

KEYS = [f"user:{number:03}" for number in range(300)]


class Followed(Joined):
    """Two secondaries that have joined a primary, which another one follows."""

    def __init__(self, nodes: Nodes, mariadb: MariaDB) -> None:
        super().__init__(nodes, mariadb, "through")
        self.add("a", "b")
        self.wait_level("a", "b")
        self.follower = nodes.start_primary(options=[f"--follow={self.primary.address}"], name="follower")

    def wait_followed(self) -> None:
        """Until the follower has the map of the other one."""
        eventually(lambda: map_of(self.follower) == map_of(self.primary), what="both have one map")


def map_of(primary: Node) -> str:
    return str(info(primary)["cluster_map"])


@pytest.fixture
def cluster(nodes: Nodes, mariadb: MariaDB) -> Followed:
    made = Followed(nodes, mariadb)
    made.wait_followed()
    return made


def test_both_route_and_one_leads(cluster: Followed) -> None:
    records = put_all(cluster.follower, KEYS, "v")
    assert all_answered(cluster.primary, records)
    assert [info(each)["cluster_leads"] for each in (cluster.primary, cluster.follower)] == [1, 0]
    assert info(cluster.follower)["cluster_leader"] == cluster.primary.address
    shown = [run_ckv("slots", "127.0.0.1", str(each.port)) for each in (cluster.primary, cluster.follower)]
    assert [each.returncode for each in shown] == [0, 0]
    assert shown[0].stdout == shown[1].stdout


def test_secondaries_come_and_go_without_an_error(cluster: Followed) -> None:
    load = Load(cluster.follower.port)
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    cluster.wait_followed()
    assert cluster.secondaries["a"].terminate() == 0
    cluster.wait_level("b", "c")
    cluster.wait_followed()
    load.stop()
    assert load.calls


def test_one_that_leaves_tells_who_has_an_older_map_where_to_ask(cluster: Followed) -> None:
    leaves = cluster.secondaries["a"]
    unpacker = msgpack.Unpacker()
    with socket.create_connection(("127.0.0.1", leaves.port)) as slow, ThreadPoolExecutor(1) as beside:

        def ask(method: str, params: list[object]) -> tuple[str, object]:
            slow.sendall(msgpack.packb([0, 1, method, params]))
            while True:
                for _, _, error, result in unpacker:
                    return str(error or ""), result
                data = slow.recv(65536)
                assert data, "it has gone"
                unpacker.feed(data)

        version = [int(part) for part in map_of(cluster.primary).split(".")]
        assert ask("EPOCH", [version]) == ("", 0)
        ended = beside.submit(leaves.terminate)
        cluster.wait_level("b")
        cluster.wait_followed()
        with pytest.raises(TimeoutError):
            ended.result(timeout=1.0)
        error, _ = ask("GET", [KEYS[0]])
        assert error.startswith("NotOwner: ")
        version = [int(part) for part in map_of(cluster.primary).split(".")]
        assert ask("EPOCH", [version, 1]) == ("", 1)
        assert ended.result() == 0


def test_it_goes_on_while_the_one_that_leads_is_away(cluster: Followed) -> None:
    before = map_of(cluster.primary)
    load = Load(cluster.follower.port)
    cluster.primary.kill()
    eventually(lambda: info(cluster.follower)["cluster_coordinator_connected"] == 0, what="it knows")
    called = load.calls
    eventually(lambda: load.calls > called + 500, 30.0, "calls go on")
    assert info(cluster.follower)["ready"] == 1
    cluster.primary.start()
    cluster.wait_level("a", "b", timeout=60.0)
    cluster.wait_followed()
    assert map_of(cluster.follower) != before
    cluster.add("c")
    cluster.wait_level("a", "b", "c")
    cluster.wait_followed()
    load.stop()


def test_a_secondary_that_was_given_the_follower_finds_the_other_one(
    cluster: Followed, nodes: Nodes, mariadb: MariaDB
) -> None:
    records = put_all(cluster.primary, KEYS, "v")
    cluster.secondaries["c"] = nodes.start_secondary(
        primary=cluster.follower.address, persistent=mariadb.address, options=["--write-mode=through", "--name=c"]
    )
    cluster.wait_level("a", "b", "c")
    cluster.wait_followed()
    assert all_answered(cluster.follower, records)
