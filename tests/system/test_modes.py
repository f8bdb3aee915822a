"""The write modes against a real database: when an answer comes, and what is in the table by then."""

from __future__ import annotations

import time

import pytest

from ckv import Client, errors
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes


def test_evict_writes_nothing_that_stays_in_memory(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "1")
        client.put("b", "2")
        client.delete("b")
        eventually(lambda: client.get("b") is None, what="the deletion")
        assert mariadb.rows() == {}


@pytest.mark.parametrize("options", [["--write-delay=100ms"], ["--write-delay=10m", "--write-batch=20"]])
def test_behind_writes_after_the_delay_or_a_batch(mariadb: MariaDB, nodes: Nodes, options: list[str]) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, options=["--write-mode=behind", *options])
    with Client("127.0.0.1", node.port) as client:
        for number in range(20):
            client.put(f"key {number}", "x")
        eventually(lambda: len(mariadb.rows()) == 20, what="the flush")
        assert client.get("key 7") == "x"


def test_behind_does_not_write_before_the_delay_and_writes_it_all_at_a_stop(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address, options=["--write-mode=behind", "--write-delay=10m", "--write-batch=1000"]
    )
    node.wait_for_log("database connected")
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "1")
        client.put("a", "2")
        # An answer that only the database can give comes after whatever a worker does first.
        assert client.get("nobody") is None
        assert mariadb.rows() == {}
    assert node.terminate() == 0
    assert mariadb.rows() == {b"a": b"2"}


def test_through_has_committed_when_it_answers(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, capacity=2, options=["--write-mode=through"])
    with Client("127.0.0.1", node.port) as client:
        for number in range(5):
            client.put("key", str(number))
            assert mariadb.rows()[b"key"] == str(number).encode()
            client.put(f"other {number}", "x")
        assert client.delete("key") is True
        assert b"key" not in mariadb.rows()
        assert client.delete("key") is False
        assert client.get("key") is None
    node.kill()
    assert set(mariadb.rows()) == {f"other {number}".encode() for number in range(5)}


def test_through_tells_when_the_database_did_not_commit_in_time(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(
        persistent=private_mariadb.address, options=["--write-mode=through", "--load-timeout=500ms"]
    )
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "before")
        private_mariadb.pause()
        began = time.monotonic()
        with pytest.raises(errors.CommitTimeout):
            client.put("a", "after")
        assert time.monotonic() - began >= 0.5
        assert client.get("a") == "before"
        private_mariadb.resume()
        eventually(lambda: client.get("a") == "after", what="the commit that was late")
    assert private_mariadb.rows() == {b"a": b"after"}


def test_a_row_that_the_database_refuses(mariadb: MariaDB, nodes: Nodes) -> None:
    through = nodes.start_secondary(persistent=mariadb.address, options=["--write-mode=through"])
    behind = nodes.start_secondary(
        persistent=mariadb.address, options=["--write-mode=behind", "--write-delay=10ms", "--drain-timeout=2s"]
    )
    for node in (through, behind):
        node.wait_for_log("database connected")
    # A check, for a column of another type would be put right by the next connection.
    mariadb.query("ALTER TABLE CelonisData ADD CHECK (LENGTH(kv_value) <= 10)", database="celonis")
    with Client("127.0.0.1", through.port) as client:
        client.put("t", "short")
        with pytest.raises(errors.RowsRefused):
            client.put("t", "x" * 11)
        assert client.get("t") == "short"
    with Client("127.0.0.1", behind.port) as client:
        client.put("long", "x" * 11)
        client.put("b", "short")
        eventually(lambda: b"b" in mariadb.rows(), what="the row beside it")
        behind.wait_for_log("row refused by the database and parked")
        assert client.get("long") == "x" * 11
    assert behind.terminate() == 3
    assert any("1 records left" in line for line in behind.log), behind.tail()
    assert mariadb.rows() == {b"t": b"short", b"b": b"short"}
