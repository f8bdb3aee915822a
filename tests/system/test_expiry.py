"""Records expire in memory, in the database, after a restart, and through a primary."""

from __future__ import annotations

import time
from functools import partial

import pytest

from ckv import BadArguments, Client
from ckv.persistent.opening import open_tier
from ckv.store.modes import MODES
from ckv.values import MAX_EXPIRES
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes

SOON = 1500
"""Milliseconds: what expires in this test has to be read before that at least once."""


def now() -> int:
    return time.time_ns() // 1_000_000


def is_over(client: Client, key: str, when: int) -> bool:
    """Whether there is no record, as there may be none from that moment on and not before."""
    before = now()
    found = client.get(key)
    if found is None:
        assert now() >= when
    else:
        assert before < when
    return found is None


@pytest.mark.parametrize("mode", MODES)
def test_in_every_tier(mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address, capacity=3, options=[f"--write-mode={mode}", "--write-delay=0"]
    )
    with Client("127.0.0.1", node.port) as client:
        client.put("k", "older, and for ever")
        for number in range(3):  # pushes it out
            client.put(f"other {number}", "x")
        eventually(lambda: client.call("INFO")["pending_records"] == 0)  # type: ignore[index]
        when = now() + SOON
        assert client.call("PUTEX", "k", b"v", when) is True
        assert client.call("PUTEX", "memory", "v", when) is True
        assert client.call("PUTEX", "later", "v", when + 3_600_000) is True
        assert client.call("EXPIRETIME", "memory") == when
        assert client.get("memory") == "v"
        for number in range(3):
            client.put(f"other {number}", "x")
        eventually(lambda: client.call("INFO")["pending_records"] == 0)  # type: ignore[index]
        assert client.call("EXPIRETIME", "k") == when  # the database has it
        assert client.call("EXPIRE", "later", when + 7_200_000, "GT") == 1
        for key in ("k", "memory"):
            eventually(partial(is_over, client, key, when))
            assert client.call("EXPIRETIME", key) == -2
            assert client.call("EXPIRE", key, 0, "") == 0
            assert client.delete(key) is False
    assert node.terminate() == 0
    node.start()
    with Client("127.0.0.1", node.port) as client:
        assert client.get("k") is None
        assert client.get("memory") is None
        assert client.call("EXPIRETIME", "later") == when + 7_200_000
        assert client.get("later") == "v"
        assert client.call("EXPIRE", "later", 0, "") == 1
        assert client.call("EXPIRETIME", "later") == -1


@pytest.mark.parametrize("kind", ["mysql", "sqlite"])
def test_rows_that_have_expired_leave_the_database(request: pytest.FixtureRequest, nodes: Nodes, kind: str) -> None:
    path = request.getfixturevalue("tmp_path") / "records.db"
    persistent = request.getfixturevalue("mariadb").address if kind == "mysql" else f"sqlite:{path}"
    session = open_tier(persistent, environ={"CKV_MYSQL_PASSWORD": "password"}).connect()
    session.save_many([(f"old {number}", "v") for number in range(2500)], {f"old {n}": 5 for n in range(1, 2500)})
    node = nodes.start_secondary(persistent=persistent, capacity=10)
    with Client("127.0.0.1", node.port) as client:
        assert client.get("old 0") == "v"
        assert client.get("old 1") is None  # so there are rows that expire
        eventually(lambda: client.call("INFO")["expired_rows_purged"] == 2499)  # type: ignore[index]
        assert client.get("old 0") == "v"
        info = client.call("INFO")
        assert 0 < info["purge_lag_seconds"] < 60  # type: ignore[index]
    assert session.count() == 1
    session.close()


def test_they_leave_memory_by_themselves(nodes: Nodes) -> None:
    node = nodes.start_secondary(capacity=5000)
    with Client("127.0.0.1", node.port) as client:
        when = now() + SOON
        pipeline = client.pipeline()
        for number in range(4000):
            pipeline.call("PUTEX", f"k {number}", "v", when)
        pipeline.execute()
        assert client.call("DBSIZE") == 4000 or now() >= when
        eventually(lambda: client.call("DBSIZE") == 0)
        assert when <= now() < when + 5000
        info = client.call("INFO")
        assert (info["expired_keys"], info["records_expiring"], info["records"]) == (4000, 0, 0)  # type: ignore[index]


@pytest.mark.parametrize("mode", MODES)
def test_they_do_so_over_a_database_and_nothing_older_comes_back(mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address, capacity=100, options=[f"--write-mode={mode}", "--write-delay=0"]
    )
    with Client("127.0.0.1", node.port) as client:
        client.put("k", "older, and for ever")
    assert node.terminate() == 0
    node.start()
    with Client("127.0.0.1", node.port) as client:
        client.call("PUTEX", "k", "v", now() + 300)
        eventually(lambda: client.call("INFO")["expired_keys"] == 1)  # type: ignore[index]
        eventually(lambda: client.call("INFO")["pending_records"] == 0)  # type: ignore[index]
        assert client.call("INFO")["records"] == 0  # type: ignore[index]
        assert client.get("k") is None
    assert node.terminate() == 0
    node.start()
    with Client("127.0.0.1", node.port) as client:
        assert client.get("k") is None


def test_an_update_of_what_only_the_database_has_expires_through_a_primary(mariadb: MariaDB, nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=2)
    with Client("127.0.0.1", cluster.primary.port) as client:
        for number in range(20):
            client.put(f"key {number}", "x" * number)
        when = now() + 3_600_000
        pipeline = client.pipeline()
        for number in range(20):
            pipeline.call("EXPIRE", f"key {number}", when + number, "NX")
        assert pipeline.execute() == [1] * 20
        pipeline = client.pipeline()
        for number in range(20):
            pipeline.call("EXPIRETIME", f"key {number}")
        assert pipeline.execute() == [when + number for number in range(20)]
        assert client.call("EXPIRE", "key 7", when, "NX") == 0
        assert client.call("EXPIRE", "key 7", 5, "") == 1  # which has been
        assert client.get("key 7") is None
        large = b"v" * 500_000
        assert client.call("PUTEX", "large", large, when) is True
        assert client.get("large") == large
        for call in (
            ("PUTEX", "k", "v", -1),
            ("PUTEX", "k", "v", MAX_EXPIRES + 1),
            ("PUTEX", "k", "v", "5"),
            ("PUTEX", "k", 7, 5),
            ("PUTEX", "k", "v"),
            ("EXPIRE", "k", 5, "nx"),
            ("EXPIRE", "k", 5, 7),
            ("EXPIRE", "k", True, ""),
            ("EXPIRETIME", 7),
        ):
            with pytest.raises(BadArguments):
                client.call(*call)
        assert client.get("k") is None
