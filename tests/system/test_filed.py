"""Secondaries that join with a file of SQLite each: their slots move as copies, and one that dies is waited for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckv import Client
from ckv.errors import CkvError, NotOwner
from ckv.exits import Exit
from ckv.persistent.opening import open_tier
from tests.support import hasty
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port
from tests.system.filed import Pair, start_pair
from tests.system.registered import SLOTS, Joined, info, wait_for_all

KEYS = [f"user:{number:03}" for number in range(300)]
VALUES = {key: f"v:{key}" for key in KEYS}
NEW = dict.fromkeys(KEYS, "new")

MANY = {f"record:{number}": "v" * 64 for number in range(3_000)}

ROOM = 100
"""Records for which a secondary has memory, where that is to be full."""


@pytest.fixture
def through(nodes: Nodes, filed_pair: Pair, tmp_path: Path) -> Joined:
    """Two that save everything before it is answered."""
    soon = ["--call-timeout=2s", "--node-wait=100ms"]
    return start_pair(nodes, filed_pair, tmp_path, capacity=ROOM, primary_options=soon)


@pytest.fixture
def client(through: Joined) -> Iterator[Client]:
    with through.client() as client:
        client.put_many(VALUES)
        yield client


def rows(path: Path) -> int:
    """How many there are in the file of a node."""
    session = open_tier(f"sqlite:{path}").connect(prepare=False)
    try:
        return session.count()
    finally:
        session.close()


@pytest.mark.parametrize("mode", ["evict", "behind"])
def test_a_third_joins_under_load_and_one_leaves(nodes: Nodes, filed_pair: Pair, tmp_path: Path, mode: str) -> None:
    """What there is goes along, from memory, from what is still to be saved, and from the file. In the mode ``through``
    some of the nodes die besides: see ``tests/failures/test_deaths_with_files.py``."""
    pair = start_pair(nodes, filed_pair, tmp_path, mode, capacity=ROOM)
    with pair.client() as client:
        client.put_many(VALUES)
        client.delete(KEYS[0])
        client.put("bytes", b"\xff\x00")
        client.put("", "no key")
        client.put("large", "v" * 300_000)
        client.put("expiring", "v", expire=3600)
        client.put("short", "v", expire=1)
        pair.check_third_joins_and_first_leaves()
        assert pair.figures()["cluster_moves_called_off"] == 0
        assert client.get_many(KEYS) == {key: value for key, value in VALUES.items() if key != KEYS[0]}
        assert (client.get("bytes"), client.get(""), client.get("large")) == (b"\xff\x00", "no key", "v" * 300_000)
        assert 3000 < (client.ttl("expiring") or 0) <= 3600
        eventually(lambda: client.get("short") is None, what="it has expired")


def test_a_node_gives_all_away_and_has_it_back(nodes: Nodes, filed_pair: Pair, tmp_path: Path) -> None:
    """As it is by then, and not as it was; what was in memory is in memory again."""
    pair = start_pair(nodes, filed_pair, tmp_path, capacity=1000)
    with pair.client() as client:
        client.put_many(VALUES)
        drained = run_ckv("drain", "127.0.0.1", str(pair.primary.port), "b")
        assert drained.returncode == 0, drained.stderr
        assert pair.slots() == {"a": SLOTS, "b": 0}
        eventually(lambda: info(pair.secondaries["a"])["records"] == len(KEYS), what="all are in memory there")
        assert client.get_many(KEYS) == VALUES
        eventually(lambda: rows(tmp_path / "b.db") == 0, what="its rows are deleted")
        assert client.call("DBSIZE") == len(KEYS)
        assert rows(tmp_path / "a.db") == len(KEYS)
        client.put_many(NEW)
        pair.start_again("b")
        pair.wait_level("a", "b")
        assert client.get_many(KEYS) == NEW


def test_whoever_is_lost_is_waited_for(through: Joined, client: Client) -> None:
    primary, a, b = through.primary, through.secondaries["a"], through.secondaries["b"]
    b.pause()
    eventually(lambda: "silent" in table(through), what="it is known to be silent")
    failing = [key for key in KEYS if not answers(client, key)]
    assert len(KEYS) / 3 < len(failing) < len(KEYS)
    b.resume()
    wait_for_all(client, VALUES)
    b.kill()
    primary.restart()
    eventually(lambda: sum(answers(client, key) for key in KEYS) > len(KEYS) / 3, 20.0, "the keys of a are answered")
    b.start()
    wait_for_all(client, VALUES)
    for node in (primary, a, b):
        node.kill()
    for node in (b, a, primary):
        node.start()
    wait_for_all(client, VALUES)
    through.wait_level("a", "b")
    assert through.figures()["cluster_moves"] == 0


def answers(client: Client, key: str) -> bool:
    """Whether a key is answered, as it has to be."""
    try:
        assert client.get(key) == VALUES[key]
    except CkvError:
        return False
    return True


def table(cluster: Joined) -> str:
    return run_ckv("slots", "127.0.0.1", str(cluster.primary.port)).stdout


def test_a_primary_that_is_killed_in_the_middle_of_a_copy_costs_nothing(
    nodes: Nodes, filed_pair: Pair, tmp_path: Path
) -> None:
    cluster = start_pair(
        nodes, filed_pair, tmp_path, "through", "--warm-rate=128KiB", capacity=ROOM, primary=hasty.COMMAND
    )
    with cluster.client() as client:
        client.put_many(MANY)
        cluster.add("c")
        eventually(lambda: rows(tmp_path / "c.db") > 100, what="a copy is under way")
        cluster.primary.restart()
        cluster.wait_level("a", "b", "c")
        assert client.get_many(list(MANY)) == MANY


def test_a_file_that_is_lost_begins_empty(through: Joined, client: Client, tmp_path: Path) -> None:
    lost = through.secondaries["b"]
    lost.kill()
    for file in tmp_path.glob("b.db*"):
        file.unlink()
    lost.start()

    def found() -> bool:
        try:
            return 0 < len(client.get_many(KEYS)) < len(KEYS)
        except CkvError:
            return False

    eventually(found, 20.0, "all keys are answered")
    client.put_many(NEW)
    assert client.get_many(KEYS) == NEW


def refused(nodes: Nodes, cluster: Joined, path: Path, name: str) -> Node:
    """One that is not taken in with this file."""
    node = nodes.start_secondary(
        primary=cluster.primary.address, persistent=f"sqlite:{path}", options=[f"--name={name}"], name=name
    )
    node.wait_for_log("does not take this node in: its file has records that it was given before it joined, or under")
    return node


def test_another_file_is_not_taken_in_and_tells_nothing(
    nodes: Nodes, through: Joined, client: Client, tmp_path: Path
) -> None:
    """One with records of before, and that of another node."""
    path = tmp_path / "before.db"
    session = open_tier(f"sqlite:{path}").connect()
    session.save_many([("k", "v")])
    session.close()
    refused(nodes, through, path, "c").terminate()
    assert rows(path) == 1
    through.secondaries["b"].kill()
    before = rows(tmp_path / "b.db")
    other = refused(nodes, through, tmp_path / "b.db", "c")
    with Client("127.0.0.1", other.port) as direct:
        for key in KEYS:
            with pytest.raises(NotOwner):
                direct.get(key)
    assert other.terminate(3.0) == Exit.FINE  # it has nothing to hand over
    assert rows(tmp_path / "b.db") == before > 0
    through.secondaries["b"].start()
    wait_for_all(client, VALUES)
    assert through.slots().keys() == {"a", "b"}


def test_a_file_of_a_cluster_is_served_under_no_list(nodes: Nodes, filed_pair: Pair, tmp_path: Path) -> None:
    port = free_port()
    path = shutil.copytree(filed_pair.files, tmp_path / "copy") / "b.db"
    alone = nodes.start_secondary(
        primary=f"127.0.0.1:{port}", persistent=f"sqlite:{path}", options=["--name=b", "--load-timeout=1s"]
    )
    primary = nodes.start_primary(alone, port=port)
    alone.wait_for_log("has a list of its secondaries now, and this node is of a cluster without one")
    with Client("127.0.0.1", primary.port) as client, pytest.raises(CkvError):
        client.get(KEYS[0])
    why = "a primary has it in its list, and its records are of a cluster without one"
    eventually(lambda: info(alone)["ready_reason"] == why, what="it says why it is not ready")
