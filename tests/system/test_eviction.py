"""What leaves memory, and who it is: the transcript's six records in five places, under each policy."""

from __future__ import annotations

import pytest

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv

PEOPLE = ["alice", "bob", "charles", "daniel", "frey", "eduard"]


def shell(node: Node, *lines: str) -> list[str]:
    """Runs the lines through ``ckv shell``; the lines that it printed."""
    host, port = node.address.split(":")
    run = run_ckv("shell", host, port, stdin="".join(line + "\n" for line in lines))
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


def in_the_table(mariadb: MariaDB) -> dict[str, str]:
    rows = mariadb.query("SELECT kv_key, kv_value FROM CelonisData", database="celonis")
    return {key.decode(): value.decode() for key, value in rows}


def test_the_sixth_record_moves_the_first_one_out_and_reading_it_brings_it_back(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, capacity=5)
    shell(node, *(f"PUT {name} {name}@gmail.com" for name in PEOPLE))
    eventually(lambda: in_the_table(mariadb), what="the eviction")
    assert in_the_table(mariadb) == {"alice": "alice@gmail.com"}

    assert shell(node, 'GET alice ""') == ["alice@gmail.com"]
    eventually(lambda: len(in_the_table(mariadb)) > 1, what="the next eviction")
    assert in_the_table(mariadb) == {"alice": "alice@gmail.com", "bob": "bob@gmail.com"}
    assert shell(node, *(f"GET {name}" for name in PEOPLE)) == [f"{name}@gmail.com" for name in PEOPLE]


@pytest.mark.parametrize(
    ("policy", "victim"),
    [("1", "charles"), ("lru", "charles"), ("2", "bob"), ("LFU", "bob"), ("3", "alice"), ("4", "bob")],
)
def test_the_policy_names_the_victim(mariadb: MariaDB, nodes: Nodes, policy: str, victim: str) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, capacity=5, policy=policy)
    # charles was used longest ago, bob was used least, and not again, alice came first.
    asked = ["alice"] * 3 + ["daniel"] * 2 + ["frey"] * 2
    shell(
        node,
        *(f"PUT {name} {name}@gmail.com" for name in ("alice", "charles")),
        *("GET charles" for _ in range(3)),
        *(f"PUT {name} {name}@gmail.com" for name in ("bob", "daniel", "frey")),
        *(f"GET {name}" for name in asked),
        "PUT eduard eduard@gmail.com",
    )
    eventually(lambda: in_the_table(mariadb), what="the eviction")
    assert in_the_table(mariadb) == {victim: f"{victim}@gmail.com"}
    assert shell(node, f"GET {victim}") == [f"{victim}@gmail.com"]


def test_a_record_that_was_read_back_and_not_changed_is_not_written_again(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, capacity=1)
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "1")
        client.put("b", "1")
        eventually(lambda: set(in_the_table(mariadb)) == {"a"}, what="the eviction")
        # Whoever changes the row behind ckv's back finds out whether it is written again.
        assert client.get("a") == "1"
        eventually(lambda: set(in_the_table(mariadb)) == {"a", "b"}, what="the eviction of b")
        with mariadb.connect("celonis", autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE CelonisData SET kv_value = 'touched' WHERE kv_key = 'a'")
        client.put("c", "1")  # evicts a, which is clean
        client.put("d", "1")
        eventually(lambda: set(in_the_table(mariadb)) == {"a", "b", "c"}, what="the eviction of c")
        assert in_the_table(mariadb)["a"] == "touched"


def test_without_a_persistent_node_the_victim_is_dropped_and_the_log_says_so(nodes: Nodes) -> None:
    node = nodes.start_secondary(capacity=2)
    node.wait_for_log("no persistent node: a record that is evicted is lost")
    with Client("127.0.0.1", node.port) as client:
        for name in PEOPLE:
            client.put(name, "x")
        assert [client.get(name) for name in PEOPLE] == [None] * 4 + ["x"] * 2
        assert client.get("nobody") is None
