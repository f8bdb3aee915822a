"""``ckv owner``: who owns a key, and where its record is."""

from __future__ import annotations

import re

from ckv import Client
from ckv.cluster.slots import slot_of
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.system.registered import Joined


def told(primary: Node, key: str) -> str:
    done = run_ckv("owner", "127.0.0.1", str(primary.port), key)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_in_a_list(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=1)
    owners = set()
    with Client("127.0.0.1", cluster.primary.port) as client:
        for number in range(20):
            key = f"key {number}"
            client.put(key, "v")
            found = re.fullmatch(r"slot (\d+)\nowner (\S+)\nwhere dirty\n", told(cluster.primary, key))
            assert found
            assert int(found[1]) == slot_of(key)
            (own,) = (node for node in cluster.secondaries if node.address == found[2])
            with Client("127.0.0.1", own.port) as direct:
                assert direct.call("PEEK", key)[0] == "dirty"  # type: ignore[index]
            owners.add(own.port)
    assert len(owners) == 2
    assert told(cluster.primary, "nobody").endswith("\nwhere elsewhere\n")


def test_where_nodes_have_joined(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "through")
    cluster.add("a")
    cluster.wait_level("a")
    with cluster.client() as client:
        client.put("k", "v")
    address = cluster.secondaries["a"].address
    assert told(cluster.primary, "k") == f"slot {slot_of('k')}\nowner a at {address}\nwhere clean\n"


def test_what_cannot_be_told_is_one_line(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1)
    (secondary,) = cluster.secondaries
    asked = run_ckv("owner", "127.0.0.1", str(secondary.port), "k")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr == "ckv: Refused: a secondary does not say who owns what; ask the primary\n"
    secondary.kill()
    gone = run_ckv("owner", "127.0.0.1", str(cluster.primary.port), "k", "--timeout=2s")
    assert gone.returncode == 1
    assert gone.stdout == f"slot {slot_of('k')}\nowner {secondary.address}\n"
    assert gone.stderr.startswith("ckv: ")
    assert gone.stderr.count("\n") == 1


def test_without_nodes_nobody_owns_it(nodes: Nodes) -> None:
    primary = nodes.start_primary()
    done = run_ckv("owner", "127.0.0.1", str(primary.port), "k")
    assert done.returncode == 1
    assert done.stderr == f"ckv: NodeDown: slot {slot_of('k')} has no owner now\n"
