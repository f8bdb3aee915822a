"""A real database that locks, hangs, is away, changes its password, or has large values; and what clients see of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ckv import Client, errors
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.nodes import Node, Nodes

MIB = 1024 * 1024
TABLE = f"{DATABASE}.CelonisData"
KEYS = [f"k{number:03}" for number in range(300)]


def figures(client: Client) -> dict[str, object]:
    info = client.call("INFO")
    assert isinstance(info, dict)
    return info


def figure_is(client: Client, name: str, value: object) -> None:
    eventually(lambda: figures(client)[name] == value, 30, f"{name} is {value}")


@contextmanager
def connected(node: Node) -> Iterator[Client]:
    with Client("127.0.0.1", node.port, timeout=60) as client:
        figure_is(client, "database_state", "up")
        yield client


def saved(client: Client) -> None:
    """All but the last ten of the keys are in the table alone."""
    for key in KEYS:
        client.put(key, "v1")
    figure_is(client, "pending_records", 0)


@pytest.mark.parametrize("mode", ["evict", "through"])
def test_one_locked_row_holds_up_no_read_of_another(mariadb: MariaDB, nodes: Nodes, mode: str) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address, capacity=10, options=[f"--write-mode={mode}", "--load-timeout=2s"]
    )
    with connected(node) as client, mariadb.connect(DATABASE, autocommit=False) as holder:
        saved(client)
        holder.cursor().execute(f"SELECT * FROM {TABLE} WHERE kv_key = 'k000' FOR UPDATE")
        if mode == "evict":  # a flush waits for the lock
            client.put("k000", "v2")
        else:
            with pytest.raises(errors.CommitTimeout):
                client.put("k000", "v2")
        # All at once: they share queries with the locked one, and with rows that do not exist.
        pipeline = client.pipeline()
        for key in [*KEYS[:280], "none"]:
            pipeline.get(key)
        answers = pipeline.execute(raise_on_error=False)
        assert answers[1:] == ["v1"] * 279 + [None]
        for key in KEYS[1:100]:
            assert client.get(key) == "v1"
        holder.rollback()
        figure_is(client, "pending_records", 0)
        assert client.get("k000") == "v2"


def test_a_load_waits_for_a_row_that_is_locked_and_finds_what_was_committed(mariadb: MariaDB, nodes: Nodes) -> None:
    # As a node that was killed may leave it behind: its COMMIT is carried out late.
    node = nodes.start_secondary(persistent=mariadb.address, capacity=10, options=["--load-timeout=20s"])
    with connected(node) as client, mariadb.connect(DATABASE, autocommit=False) as holder:
        saved(client)
        holder.cursor().execute(f"UPDATE {TABLE} SET kv_value = 'late' WHERE kv_key = 'k000'")
        holder.cursor().execute(f"INSERT INTO {TABLE} (kv_key, kv_value) VALUES ('new', 'late')")
        told: dict[str, object] = {}

        def ask(key: str) -> None:
            with Client("127.0.0.1", node.port, timeout=60) as other:
                told[key] = other.get(key)

        threads = [threading.Thread(target=ask, args=(key,)) for key in ("k000", "new")]
        for thread in threads:
            thread.start()
        eventually(lambda: int(str(figures(client)["load_locks"])) >= 4, what="attempts")
        assert told == {}
        assert client.get("k001") == "v1"
        holder.commit()
        for thread in threads:
            thread.join()
        assert told == {"k000": "late", "new": "late"}


def test_a_backup_holds_up_no_read(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, capacity=10, pool_size=2)
    with connected(node) as client, mariadb.connect(DATABASE) as backup:
        saved(client)
        backup.cursor().execute("FLUSH TABLES WITH READ LOCK")
        for key in KEYS[:30]:
            client.put(key, "v2")  # whose victims are flushed, and wait
        for key in KEYS[30:200]:
            assert client.get(key) == "v1"
        backup.cursor().execute("UNLOCK TABLES")
        figure_is(client, "pending_records", 0)


def test_a_hung_database_is_seen_and_costs_no_more_than_the_first_requests(
    private_mariadb: MariaDB, nodes: Nodes
) -> None:
    node = nodes.start_secondary(
        persistent=private_mariadb.address, capacity=10, options=["--load-timeout=1s", "--write-mode=through"]
    )
    with connected(node) as client:
        saved(client)
        private_mariadb.pause()
        with pytest.raises(errors.TierUnavailable, match=r"did not answer within 1 s|is away"):
            client.get("k000")
        figure_is(client, "database_state", "hung")
        node.wait_for_log("database hung")
        before = figures(client)
        for key in KEYS[:50]:
            with pytest.raises(errors.TierUnavailable, match="is away"):
                client.get(key)
        after = figures(client)
        assert int(str(after["load_refusals"])) == int(str(before["load_refusals"])) + 50
        assert after["load_timeouts"] == before["load_timeouts"]
        assert (after["database_connected"], after["database_reason"] != "-") == (0, True)
        with pytest.raises(errors.CommitTimeout):  # a write goes on waiting, for it is queued
            client.put("k000", "v2")
        since = len(node.log)
        private_mariadb.resume()
        eventually(lambda: int(str(figures(client)["database_connected"])) == 1, 30, "the database is back")
        assert client.get("k001") == "v1"
        figure_is(client, "pending_records", 0)
        assert client.get("k000") == "v2"
        assert "calls were refused" in node.wait_for_log("; 5", since=since)


def test_known_to_be_away_a_miss_fails_at_once_until_it_is_back(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address, capacity=10)
    with connected(node) as client:
        saved(client)
        private_mariadb.kill()
        with pytest.raises(errors.TierUnavailable):
            client.get("k000")
        eventually(lambda: "2003" in str(figures(client)["database_reason"]), what="the connection is refused")
        for key in KEYS[:50]:
            with pytest.raises(errors.TierUnavailable, match="is away"):
                client.get(key)
        assert figures(client)["load_timeouts"] == 0
        private_mariadb.start()
        figure_is(client, "database_state", "up")
        assert client.get("k000") == "v1"
        node.wait_for_log("database back")


def test_an_account_that_is_not_let_in_is_tried_seldom_and_at_once_after_a_change(
    private_mariadb: MariaDB, nodes: Nodes, tmp_path: Path
) -> None:
    private_mariadb.query("CREATE USER 'ann'@'127.0.0.1' IDENTIFIED BY 'right'")
    private_mariadb.query(f"GRANT ALL ON {DATABASE}.* TO 'ann'@'127.0.0.1'")
    password = tmp_path / "password"
    password.write_text("right")
    node = nodes.start_secondary(
        persistent=private_mariadb.address,
        capacity=10,
        env={"CKV_MYSQL_USER": "ann", "CKV_MYSQL_PASSWORD_FILE": str(password)},
    )
    with connected(node) as client:
        saved(client)
        private_mariadb.kill()
        with pytest.raises(errors.TierUnavailable):
            client.get("k000")
        eventually(lambda: "2003" in str(figures(client)["database_reason"]), what="the connection is refused")
        password.write_text("wrong")
        private_mariadb.start()
        eventually(lambda: "1045" in str(figures(client)["database_reason"]), what="the account is not let in")
        node.wait_for_log("database still down")
        tried = "SHOW GLOBAL STATUS LIKE 'Aborted_connects'"
        password.write_text("wrong as well")
        eventually(lambda: int(private_mariadb.query(tried)[0][1]) >= 2, what="the other password is tried")
        assert int(private_mariadb.query(tried)[0][1]) <= 4
        private_mariadb.query("ALTER USER 'ann'@'127.0.0.1' IDENTIFIED BY 'wrong as well'")
        client.call("RETRY")
        figure_is(client, "database_state", "up")
        assert client.get("k000") == "v1"


@pytest.mark.parametrize("tier", ["mysql", "sqlite"])
def test_large_values_are_loaded_a_few_at_a_time_and_all_are_answered(
    request: pytest.FixtureRequest, nodes: Nodes, tmp_path: Path, tier: str
) -> None:
    address = f"sqlite:{tmp_path}/ckv.db" if tier == "sqlite" else request.getfixturevalue("mariadb").address
    node = nodes.start_secondary(persistent=address, capacity=1)
    with connected(node) as client:
        values = {f"large {number}": os.urandom(16) * (MIB // 16) for number in range(100)}
        for key, value in values.items():
            client.put(key, value)
        figure_is(client, "pending_records", 0)
        node.terminate()
    node.start()
    with connected(node) as client:
        before = node.rss_bytes()
        pipeline = client.pipeline()
        for key in values:
            pipeline.get(key)
        assert pipeline.execute() == list(values.values())
        # Of the 100 MiB no more than a few queries' and what the client has still to read are there at a time.
        status = Path(f"/proc/{node.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        assert peak - before < 60 * MIB
        assert figures(client)["load_timeouts"] == 0


def test_keys_that_are_known_to_be_absent_are_bounded_in_bytes(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    with connected(node) as client:
        before = node.rss_bytes()
        for first in range(0, 40_000, 1000):
            pipeline = client.pipeline()
            for number in range(first, first + 1000):
                pipeline.get(f"{number:01000}")
            assert pipeline.execute() == [None] * 1000
        info = figures(client)
        assert 15 * MIB < int(str(info["absent_bytes"])) <= 16 * MIB
        assert int(str(info["absent_keys"])) < 20_000
        assert node.rss_bytes() - before < 32 * MIB
