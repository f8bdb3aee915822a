"""Primaries whose lists differ: a node that has keys of one share serves no other one, and nothing gets older."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final

import pytest
import redis

from ckv import Client
from ckv.errors import NodeDown
from tests.failures.harness import MODES, PATIENCE
from tests.failures.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes
from tests.support.ports import free_port

KEYS: Final = [f"key {number}" for number in range(300)]

IMPATIENT: Final = ["--node-wait=0"]

HERE, THERE = "b", "key"
"""A key of the first of two nodes, and one of the second."""


def put(primary: Node, value: str) -> dict[str, str]:
    """All keys; what they have to be from then on."""
    with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client, client.pipeline() as pipeline:
        for key in KEYS:
            pipeline.put(key, value)
    return dict.fromkeys(KEYS, value)


def got(primary: Node) -> dict[str, object]:
    with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client:
        return {key: client.get(key) for key in KEYS}


def written(writer: Node, value: str, reader: Node) -> None:
    """What one primary writes the other one reads."""
    expected = put(writer, value)
    assert got(reader) == expected


def info(node: Node) -> dict[str, Any]:
    with Client("127.0.0.1", node.port, timeout=PATIENCE) as client:
        answer = client.call("INFO")
    assert isinstance(answer, dict)
    return answer


def connects_to(primary: Node, secondaries: Sequence[Node]) -> bool:
    figures = info(primary)
    return all(figures[f"peer_{node.address}_connected"] for node in secondaries)


def refused(primary: Node, secondary: Node, why: str) -> None:
    """The primary says why it is not connected, and answers nothing of that node's."""
    line = primary.wait_for_log(f"peer {secondary.address} cannot be reached (WrongNode: ", PATIENCE)
    figures = info(primary)
    assert not figures[f"peer_{secondary.address}_connected"]
    assert why in line
    assert why in figures[f"peer_{secondary.address}_reason"]


@pytest.fixture(params=["evict", "through", "memory"])
def options(request: pytest.FixtureRequest, database: MariaDB) -> dict[str, Any]:
    """Those of secondaries of a kind."""
    if request.param == "memory":
        return {}
    return {"persistent": database.address, "options": [f"--write-mode={request.param}"]}


def test_a_primary_with_another_order_of_the_list_is_not_served(nodes: Nodes, options: dict[str, Any]) -> None:
    first, second = (nodes.start_secondary(**options) for _ in range(2))
    primary = nodes.start_primary(first, second)
    expected = put(primary, "value")
    other = nodes.start_primary(second, first, options=IMPATIENT)
    for number, node in ((1, second), (2, first)):
        refused(other, node, f"this node is number {3 - number} of 2 by another list, not number {number} of 2. Stop")
    with Client("127.0.0.1", other.port, timeout=PATIENCE) as client, pytest.raises(NodeDown):
        client.put(KEYS[0], "from the other one")
    assert got(primary) == expected
    assert [info(node)["share"] for node in (first, second)] == ["1/2", "2/2"]


def test_nodes_that_have_swapped_their_addresses_are_not_served(nodes: Nodes, options: dict[str, Any]) -> None:
    first, second = (nodes.start_secondary(**options) for _ in range(2))
    with Proxy(first.port) as here, Proxy(second.port) as there:
        primary = nodes.start_primary(here.address, there.address, options=IMPATIENT)
        for way in (here, there):
            primary.wait_peer(way.address)
        expected = put(primary, "value")
        here.turn_to(second.port)
        there.turn_to(first.port)
        for number, way in enumerate((here, there), 1):
            line = primary.wait_for_log(f"peer {way.address} cannot be reached (WrongNode: ", PATIENCE)
            assert f"this node is number {3 - number} of 2 by another list, not number {number} of 2" in line
        with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client:
            for key in (HERE, THERE):
                with pytest.raises(NodeDown):
                    client.get(key)
        since = len(primary.log)
        here.turn_to(first.port)
        there.turn_to(second.port)
        for way in (here, there):
            primary.wait_for_log(f"peer {way.address} back", PATIENCE, since)
        assert got(primary) == expected


@pytest.mark.parametrize(("mode", "how"), [(mode, signal.SIGTERM) for mode in MODES] + [("through", signal.SIGKILL)])
def test_nodes_that_come_back_with_swapped_addresses_are_right(
    nodes: Nodes, database: MariaDB, mode: str, how: signal.Signals
) -> None:
    """As two pods do; the list stays as it was."""
    ports = {name: free_port() for name in ("one", "two")}

    def start(name: str, port: int) -> Node:
        options = [f"--name={name}", f"--write-mode={mode}"]
        return nodes.start_secondary(persistent=database.address, port=port, options=options)

    secondaries = [start(name, port) for name, port in ports.items()]
    primary = nodes.start_primary(*secondaries)
    expected = put(primary, "value")
    for node in secondaries:
        node.signal(how)
    for node in secondaries:
        assert node.wait() == (0 if how is signal.SIGTERM else -how)
    since = len(primary.log)
    for node in [start(name, port) for name, port in zip(ports, reversed(ports.values()), strict=True)]:
        primary.wait_for_log(f"peer {node.address} back", PATIENCE, since)
    assert got(primary) == expected
    written(primary, "another value", primary)


def test_a_second_primary_with_the_same_list_is_served(nodes: Nodes, options: dict[str, Any]) -> None:
    secondaries = [nodes.start_secondary(**options) for _ in range(2)]
    first, second = (nodes.start_primary(*secondaries) for _ in range(2))
    written(first, "value", second)
    third = nodes.start_primary(*(f"localhost:{node.port}" for node in secondaries))  # by other names
    written(second, "another value", third)


def test_the_list_grows_and_shrinks_and_only_the_primary_is_started_again(
    nodes: Nodes, options: dict[str, Any]
) -> None:
    first, second, third = (nodes.start_secondary(**options) for _ in range(3))
    primary = nodes.start_primary(first, second)
    expected = put(primary, "value")
    assert primary.terminate() == 0
    larger = nodes.start_primary(first, second, third, options=IMPATIENT)
    for node in (first, second):
        refused(larger, node, "this node is number ")
    if options:
        refused(larger, third, "of 2 still")  # whichever of the two it saw first
    assert larger.terminate() == 0
    if options:  # what it was refused is in nobody's way
        eventually(lambda: info(third)["share"] == "-", PATIENCE, "it has none")
        assert first.terminate() == 0
        first.restart()
    again = nodes.start_primary(first, second)
    assert got(again) == expected
    written(again, "another value", nodes.start_primary(first, second))


def test_a_node_that_holds_nothing_follows_its_next_primary(nodes: Nodes, options: dict[str, Any]) -> None:
    first, second = (nodes.start_secondary(**options) for _ in range(2))
    primary = nodes.start_primary(second, first)
    eventually(lambda: connects_to(primary, (first, second)), PATIENCE, "all are connected")
    early = nodes.start_primary(first, second, options=IMPATIENT)
    refused(early, first, "this node is number 2 of 2 by another list")  # while the first primary is there
    assert primary.terminate() == 0
    eventually(lambda: connects_to(early, (first, second)), PATIENCE, "all have followed")
    written(early, "value", early)


def moved(client: Any, key: str) -> bool:
    """Whether the node says that the key is another one's; it is not to be served anyway."""
    try:
        client.set(key, "1")
    except redis.exceptions.MovedError:
        return True
    except redis.exceptions.ClusterDownError:
        return False
    raise ValueError(f"{key} was served")


# --- what a node remembers without having a record ------------------------------------------------------------------


def test_an_update_that_is_under_way_keeps_a_node_from_taking_another_list(database: MariaDB, nodes: Nodes) -> None:
    first, second = (
        nodes.start_secondary(persistent=database.address, options=["--load-timeout=30s"]) for _ in range(2)
    )
    primary = nodes.start_primary(first, second)
    with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client:
        client.put(HERE, "5")
    for node in (first, second):
        assert node.terminate() == 0
        node.restart()
    eventually(lambda: connects_to(primary, (first, second)), PATIENCE, "all are back")
    answers: list[object] = []
    # It goes to the node by itself, which does not end its call when the primary is gone.
    with (
        Client("127.0.0.1", primary.port, timeout=60, direct=True) as client,
        closing(database.connect("celonis")) as lock,
    ):
        lock.begin()
        with lock.cursor() as cursor:
            assert cursor.execute("SELECT kv_key FROM CelonisData WHERE kv_key = %s FOR UPDATE", (HERE,)) == 1
        counting = threading.Thread(target=lambda: answers.append(client.incr(HERE)))
        counting.start()
        eventually(lambda: info(first)["loads_queued"] or info(first)["load_locks"], PATIENCE, "it waits for the row")
        primary.kill()
        other = nodes.start_primary(second, first, options=IMPATIENT)
        refused(other, first, "this node is number 1 of 2 by another list, not number 2 of 2")
        assert not answers
        lock.rollback()
        counting.join()
    assert answers == [6]
    assert info(first)["share"] == "1/2"
    assert not connects_to(other, (first, second))
    assert first.terminate() == 0
    first.restart()
    eventually(lambda: connects_to(other, (first, second)), PATIENCE, "all are connected")
    with Client("127.0.0.1", other.port, timeout=PATIENCE) as client:
        assert client.get(HERE) == "6"
        client.put(HERE, "100")
    assert [node.terminate() for node in (second, first)] == [0, 0]
    assert database.rows() == {HERE.encode(): b"100"}


def test_that_a_key_had_no_record_is_forgotten_with_the_list(database: MariaDB, nodes: Nodes) -> None:
    first, second = (nodes.start_secondary(persistent=database.address) for _ in range(2))
    primary = nodes.start_primary(first, second)
    with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client:
        assert client.get(HERE) is None
    assert primary.terminate() == 0
    other = nodes.start_primary(second, first, options=IMPATIENT)
    eventually(lambda: connects_to(other, (first, second)), PATIENCE, "all have followed")
    with Client("127.0.0.1", other.port, timeout=PATIENCE) as client:
        client.put(HERE, "5")
    assert (other.terminate(), second.terminate()) == (0, 0)
    second.restart()
    again = nodes.start_primary(first, second, options=IMPATIENT)
    eventually(lambda: connects_to(again, (first, second)), PATIENCE, "all have followed again")
    with Client("127.0.0.1", again.port, timeout=PATIENCE) as client:
        assert client.get(HERE) == "5"
        assert client.incr(HERE) == 6


def test_clients_in_cluster_mode_are_served_nothing_until_the_database_has_agreed(
    database: MariaDB, nodes: Nodes
) -> None:
    first, second = (nodes.start_secondary(persistent=database.address) for _ in range(2))
    options = [*IMPATIENT, "--cluster-clients"]
    primary = nodes.start_primary(first, second, options=options)
    eventually(lambda: connects_to(primary, (first, second)), PATIENCE, "all are connected")
    assert primary.terminate() == 0
    with redis.Redis(port=first.port, socket_timeout=PATIENCE) as client:
        assert client.execute_command("CLUSTER", "KEYSLOT", HERE) < 8192
        database.pause()
        try:
            other = nodes.start_primary(second, first, options=options)
            eventually(lambda: info(first)["share"] == "2/2", PATIENCE, "it was told")
            for key in (HERE, THERE):
                with pytest.raises(redis.exceptions.ClusterDownError, match="Hash slot not served"):
                    client.set(key, "1")
            assert client.execute_command("CLUSTER SLOTS") == []
        finally:
            database.resume()
        eventually(lambda: connects_to(other, (first, second)), PATIENCE, "all have followed")
        eventually(lambda: moved(client, HERE), PATIENCE, "it knows that the other one is not refused any more")
        assert client.set(THERE, "1")


# --- what the database tells ----------------------------------------------------------------------------------------


def shrunk(database: MariaDB, nodes: Nodes) -> tuple[Node, list[Node], dict[str, str], Node]:
    """Two of three nodes started again, and a primary over these alone; the third one has newer values than MySQL."""
    options = [["--name=a"], ["--name=b"], ["--name=c"]]
    a, b, c = (nodes.start_secondary(persistent=database.address, options=option) for option in options)
    before = nodes.start_primary(a, b, c)
    put(before, "old")
    for node in (a, b, c):
        assert node.terminate() == 0
        node.restart()
    eventually(lambda: connects_to(before, (a, b, c)), PATIENCE, "all are back")
    expected = put(before, "new")
    assert before.terminate() == 0
    for node in (a, b):
        assert node.terminate() == 0
        node.restart()
    return nodes.start_primary(a, b, options=IMPATIENT), [a, b], expected, c


def test_a_node_that_the_list_has_no_more_is_waited_for_until_it_has_saved(database: MariaDB, nodes: Nodes) -> None:
    primary, secondaries, expected, last = shrunk(database, nodes)
    for node in secondaries:
        refused(primary, node, "c writes the keys of number 3 of 3 still. Stop all secondaries before a list changes")
    assert last.terminate() == 0
    eventually(lambda: connects_to(primary, secondaries), PATIENCE, "all are connected")
    assert got(primary) == expected


def test_one_that_was_killed_is_in_nobodys_way(database: MariaDB, nodes: Nodes) -> None:
    primary, secondaries, _, last = shrunk(database, nodes)
    refused(primary, secondaries[0], "c writes")
    last.kill()
    eventually(lambda: connects_to(primary, secondaries), PATIENCE, "all are connected")
    written(primary, "newer", primary)


def test_one_that_stands_still_is_fenced(database: MariaDB, nodes: Nodes) -> None:
    primary, secondaries, _, last = shrunk(database, nodes)
    refused(primary, secondaries[0], "c writes")
    last.pause()
    eventually(lambda: connects_to(primary, secondaries), PATIENCE, "all are connected")
    expected = put(primary, "newer")
    assert [node.terminate() for node in secondaries] == [0, 0]
    last.resume()
    assert last.wait(PATIENCE) == 5, last.tail()
    assert database.rows() == {key.encode(): value.encode() for key, value in expected.items()}


def test_what_was_told_while_mysql_was_away_is_looked_at_before_anything_is_written(
    database: MariaDB, nodes: Nodes
) -> None:
    options = ["--write-mode=behind", "--write-delay=0s"]
    old = nodes.start_secondary(persistent=database.address, options=[*options, "--name=old"])
    before = nodes.start_primary("127.0.0.1:1", old, options=IMPATIENT)
    eventually(lambda: info(old)["share"] == "2/2", PATIENCE, "it has its share")
    database.pause()
    try:
        late = nodes.start_secondary(persistent=database.address, options=[*options, "--name=late"])
        primary = nodes.start_primary(late)
        expected = put(primary, "accepted")
    finally:
        database.resume()
    late.wait_for_log("waiting: old writes the keys of number 2 of 2 still", PATIENCE)
    assert database.rows() == {}
    assert (before.terminate(), old.terminate()) == (0, 0)
    eventually(lambda: len(database.rows()) == len(KEYS), PATIENCE, "it writes")
    eventually(lambda: connects_to(primary, [late]), PATIENCE, "it serves")
    assert got(primary) == expected
