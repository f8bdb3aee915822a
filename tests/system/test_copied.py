"""Secondaries that join without a persistent node: their slots move as copies, and nothing is lost but with a node."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckv import Client
from ckv.errors import CkvError
from ckv.exits import Exit
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes, run_ckv
from tests.system.registered import SLOTS, Joined

KEYS = [f"user:{number:03}" for number in range(300)]
VALUES = {key: f"v:{key}" for key in KEYS}

MANY = {f"record:{number}": "v" * 64 for number in range(20_000)}


@pytest.fixture
def pair(nodes: Nodes) -> Joined:
    """Two secondaries that have joined, and keep all in memory alone."""
    cluster = Joined(nodes, None)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    return cluster


@pytest.fixture
def client(pair: Joined) -> Iterator[Client]:
    with pair.client() as client:
        yield client


def wait_for_all(client: Client) -> None:
    """Until all keys are answered."""

    def answered() -> bool:
        try:
            client.get_many(KEYS)
        except CkvError:
            return False
        return True

    eventually(answered, timeout=30.0, what="all keys are answered")


def test_a_third_joins_under_load_and_one_leaves(pair: Joined) -> None:
    pair.check_third_joins_and_first_leaves()
    assert pair.figures()["cluster_moves_called_off"] == 0


def test_what_a_record_is_goes_along(pair: Joined, client: Client) -> None:
    client.put_many(VALUES)
    client.put("bytes", b"\xff\x00")
    client.put("", "no key")
    client.put("expiring", "v", expire=3600)
    client.put("short", "v", expire=1)
    assert pair.secondaries["a"].terminate() == Exit.FINE
    assert client.get_many(KEYS) == VALUES
    assert (client.get("bytes"), client.get("")) == (b"\xff\x00", "no key")
    assert 3000 < (client.ttl("expiring") or 0) <= 3600
    eventually(lambda: client.get("short") is None, what="it has expired")


def test_drain(pair: Joined, client: Client) -> None:
    client.put_many(VALUES)
    drained = run_ckv("drain", "127.0.0.1", str(pair.primary.port), "b")
    assert drained.returncode == 0, drained.stderr
    assert pair.slots() == {"a": SLOTS, "b": 0}
    assert client.get_many(KEYS) == VALUES


@pytest.mark.parametrize("victim", ["c", "primary"])
def test_whoever_is_killed_in_the_middle_of_a_copy_costs_nothing_of_the_source(nodes: Nodes, victim: str) -> None:
    """The target, and the primary that leads. Nothing of what the target owns itself is counted."""
    cluster = Joined(nodes, None, "evict", "--warm-rate=256KiB")
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    with cluster.client() as client:
        client.put_many(MANY)
        cluster.add("c")
        eventually(lambda: records_sent(cluster, "c") > 500, what="a copy is under way")
        owned = cluster.slots().get("c", 0)
        killed = cluster.primary if victim == "primary" else cluster.secondaries[victim]
        killed.kill()
        if victim == "primary":
            killed.start()
        wait_for_all(client)
        cluster.wait_level(*(("a", "b") if victim == "c" else ("a", "b", "c")), timeout=60.0)
        found = client.get_many(list(MANY))
    assert set(found.values()) == {"v" * 64}
    assert len(found) == len(MANY) or (victim == "c" and owned), (len(found), owned)


def records_sent(cluster: Joined, name: str) -> int:
    """To this one."""
    with Client("127.0.0.1", cluster.secondaries[name].port) as node:
        info = node.call("INFO")
    assert isinstance(info, dict)
    return int(info["cluster_warmed"])


def test_of_one_that_dies_its_own_is_lost_and_its_slots_are_not(nodes: Nodes) -> None:
    cluster = Joined(nodes, None)
    cluster.add("a", "b", "c")
    cluster.wait_level("a", "b", "c")
    with cluster.client() as client:
        client.put_many(VALUES)
        cluster.secondaries["b"].kill()
        cluster.wait_level("a", "c")
        wait_for_all(client)
        found = client.get_many(KEYS)
        assert found.items() <= VALUES.items()
        assert len(KEYS) / 2 < len(found) < len(KEYS)
        client.put_many(VALUES)
        cluster.secondaries["b"].start()
        cluster.wait_level("a", "b", "c")
        assert client.get_many(KEYS) == VALUES


def test_one_that_was_given_up_while_it_stood_still_has_nothing_old(pair: Joined, client: Client) -> None:
    client.put_many(VALUES)
    paused = pair.secondaries["b"]
    with Client("127.0.0.1", paused.port, timeout=30) as direct:
        paused.pause()
        pair.wait_level("a")
        client.put_many(dict.fromkeys(KEYS, "new"))
        paused.resume()
        for key in KEYS:
            try:
                assert direct.get(key) == "new"
            except CkvError:
                pass
    pair.wait_level("a", "b")
    assert client.get_many(KEYS) == dict.fromkeys(KEYS, "new")
    assert pair.slots() == {"a": SLOTS // 2, "b": SLOTS // 2}
    assert paused.terminate() == Exit.FINE


def test_a_primary_that_is_started_again_finds_all_records(pair: Joined, client: Client) -> None:
    client.put_many(VALUES)
    began = time.monotonic()
    pair.primary.restart()
    wait_for_all(client)
    assert time.monotonic() - began < 10.0
    assert client.get_many(KEYS) == VALUES
    pair.wait_level("a", "b")
    assert pair.figures()["cluster_moves"] == 0


def test_a_primary_that_is_away_for_longer_than_a_lease_finds_all_records(pair: Joined, client: Client) -> None:
    client.put_many(VALUES)
    pair.primary.pause()
    resume = threading.Timer(9.0, pair.primary.resume)  # longer than it takes to give a node up
    resume.start()
    resume.join()
    wait_for_all(client)
    assert client.get_many(KEYS) == VALUES


def test_nodes_with_and_without_a_database_are_not_of_one_cluster(
    nodes: Nodes, mariadb: MariaDB, tmp_path: Path
) -> None:
    cluster = Joined(nodes, None)
    cluster.add("a")
    cluster.wait_level("a")
    for persistent, said in (
        (
            mariadb.address,
            f"it keeps its records in mysql://root@{mariadb.address}/celonis, and a in memory alone (-): ",
        ),
        (f"sqlite:{tmp_path / 'ckv.db'}", "it keeps its records in a file of SQLite, and a in memory alone (-): "),
    ):
        other = nodes.start_secondary(primary=cluster.primary.address, persistent=persistent, options=["--name=b"])
        other.wait_for_log(f"does not take this node in: {said}")
    assert cluster.slots() == {"a": SLOTS}
