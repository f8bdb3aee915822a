"""Start and stop: the start-up line, draining, exit codes, and what the log says of all that."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
from pathlib import Path
from typing import cast

import pytest

from ckv import Client, errors
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import NOWHERE, Nodes, run_ckv
from tests.support.parallel import WORKERS
from tests.support.wire import RawClient, RemoteError

RECORDS = 100_000


def fill(client: Client, count: int) -> dict[bytes, bytes]:
    """Puts that many records; returns what the table has to hold in the end."""
    expected: dict[bytes, bytes] = {}
    for start in range(0, count, 5000):
        with client.pipeline() as pipeline:
            for number in range(start, min(start + 5000, count)):
                key = f"key {number}"
                value = hashlib.sha256(key.encode()).digest()
                pipeline.put(key, value)
                expected[key.encode()] = value
    return expected


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_saves_every_record(mariadb: MariaDB, nodes: Nodes, how: signal.Signals) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        expected = fill(client, RECORDS if how is signal.SIGTERM else 1000)
        assert mariadb.query("SELECT COUNT(*) FROM CelonisData", database="celonis")[0][0] == 0
        assert node.terminate(how=how) == 0, node.tail()
    assert mariadb.rows() == expected
    assert any("drain begun" in line for line in node.log), node.tail()
    assert any(f"{len(expected)} records to save" in line for line in node.log), node.tail()
    assert any("drain done" in line for line in node.log), node.tail()


def test_a_database_that_dies_during_the_drain_costs_the_exit_code_and_the_count_is_told(
    private_mariadb: MariaDB, nodes: Nodes
) -> None:
    # Long enough to find all records unsaved, and to write some of them, also beside the tests of other workers.
    node = nodes.start_secondary(persistent=private_mariadb.address, options=[f"--drain-timeout={3 * WORKERS}s"])
    node.wait_for_log("database connected")
    with Client("127.0.0.1", node.port) as client:
        expected = fill(client, RECORDS)
        private_mariadb.pause()  # so that it surely dies before it has everything
        node.signal(signal.SIGTERM)
        node.wait_for_log("records to save")
        private_mariadb.resume()
        eventually(lambda: in_table(private_mariadb) > 0, what="the first rows")
        private_mariadb.kill()
        assert node.wait() == 3, node.tail()
    left = [re.search(r"(\d+) records left", line) for line in node.log]
    counts = [int(found[1]) for found in left if found]
    assert len(counts) == 1, node.tail()
    private_mariadb.start()
    saved = private_mariadb.rows()
    # What was committed without the word of it reaching the node counts as left.
    assert len(expected) - counts[0] <= len(saved) < len(expected)
    assert saved.items() <= expected.items()


def in_table(mariadb: MariaDB) -> int:
    return int(mariadb.query("SELECT COUNT(*) FROM CelonisData", database="celonis")[0][0])


def test_a_database_that_is_away_at_start_is_found_later(private_mariadb: MariaDB, nodes: Nodes) -> None:
    private_mariadb.stop()
    node = nodes.start_secondary(persistent=private_mariadb.address, capacity=1, options=["--load-timeout=500ms"])
    node.wait_for_log("database cannot be reached")
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "1")
        client.put("b", "2")
        assert (client.get("a"), client.get("b")) == ("1", "2")
        with pytest.raises(errors.TierUnavailable, match=r"did not answer within 0\.5 s"):
            client.get("only the database could know")
        private_mariadb.start()
        node.wait_for_log("database connected")
        assert client.get("only the database could know") is None
        assert node.terminate() == 0
    assert private_mariadb.rows() == {b"a": b"1", b"b": b"2"}


def test_a_database_that_is_killed_and_comes_back_loses_nothing(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address, capacity=100)
    node.wait_for_log("database connected")
    with Client("127.0.0.1", node.port, timeout=20) as client:
        expected = fill(client, 1000)
        private_mariadb.kill()
        expected |= {b"during": b"1"}
        client.put("during", b"1")
        more = fill(client, 2000)
        node.wait_for_log("database lost")
        private_mariadb.start()
        node.wait_for_log("database back")
        expected |= more
        assert all(client.get(key) == value for key, value in list(expected.items())[::7])
        assert node.terminate() == 0
    assert private_mariadb.rows() == expected


def test_a_draining_node_refuses_and_its_primary_passes_that_on(private_mariadb: MariaDB, nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1, persistent=private_mariadb.address, secondary_options=["--drain-timeout=20s"])
    node = cluster.secondaries[0]
    with Client("127.0.0.1", cluster.primary.port) as client:
        client.put("a", "1")
        private_mariadb.pause()
        node.signal(signal.SIGTERM)
        node.wait_for_log("records to save")
        with pytest.raises(errors.Draining):
            client.put("b", "2")
        private_mariadb.resume()
        assert node.wait() == 0, node.tail()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", node.port), timeout=5)
    assert private_mariadb.rows() == {b"a": b"1"}
    assert cluster.primary.terminate() == 0


def test_how_far_a_drain_is_can_be_asked(private_mariadb: MariaDB, nodes: Nodes) -> None:
    """By whoever connects now, and by clients that keep asking: they hold nothing up."""
    node = nodes.start_secondary(persistent=private_mariadb.address, options=["--drain-timeout=60s"])
    node.wait_for_log("database connected")
    with Client("127.0.0.1", node.port) as client, RawClient(node.address) as late:
        client.put("a", "1")
        assert client.call("INFO")["draining"] == 0  # type: ignore[index]
        private_mariadb.pause()
        node.signal(signal.SIGTERM)
        node.wait_for_log("records to save")
        shown = run_ckv("status", "127.0.0.1", str(node.port), "--format=json")
        assert shown.returncode == 0, shown.stderr
        figures = json.loads(shown.stdout)
        assert (figures["draining"], figures["pending_records"]) == (1, 1)
        assert run_ckv("ping", "127.0.0.1", str(node.port)).returncode == 0, "the liveness probe of a pod"
        for method, *params in (("GET", "a"), ("PUT", "a", "2"), ("RETRY",), ("AUDIT", 0, 1), ("HELLO",), ("BATCH",)):
            with pytest.raises(RemoteError, match=r"^Draining: "):
                late.call(method, *params)
        private_mariadb.resume()
        # Asking on and on, and idle connections, do not keep it from its end.
        with pytest.raises((errors.NodeLost, errors.Unreachable)):
            while True:
                client.ping()
        assert node.wait() == 0, node.tail()
    assert private_mariadb.rows() == {b"a": b"1"}
    node.start()  # Its port is free.


def test_a_second_signal_ends_the_wait(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address, options=["--drain-timeout=60s"])
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "1")
    private_mariadb.kill()
    node.signal(signal.SIGTERM)
    node.wait_for_log("1 records to save")
    assert node.terminate(timeout=10) == 3
    assert any("1 records left" in line for line in node.log), node.tail()


def test_the_start_up_line_says_what_the_node_is(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, capacity=7, policy="fifo", pool_size=3)
    line = node.wait_for_log("secondary ready on")
    for part in (
        node.address,
        f"primary={NOWHERE}",
        "capacity=7",
        "policy=fifo",
        f"persistent=mysql://root@{mariadb.address}/celonis",
        "write_mode=evict",
        "workers=3",
    ):
        assert part in line, line
    assert "password" not in "\n".join(node.log)
    assert nodes.start_primary(node).wait_for_log("primary ready on").endswith(f"secondaries={node.address}")


def test_json_lines(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--log-format=json", "--log-level=info"])
    assert node.terminate() == 0
    lines = [json.loads(line) for line in node.log]
    assert [line["level"] for line in lines][:2] == ["WARNING", "INFO"]
    assert any("drain done" in line["message"] for line in lines)


def test_a_port_in_use_is_one_line_and_exit_code_4(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    run = run_ckv("secondary", "localhost:8080", str(node.port))
    assert run.returncode == 4
    assert "cannot listen on" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_bad_persistent_node_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for bad in ("nonsense", "mysql://", "sqlite:", "http://localhost:1/x"):
        run = run_ckv("secondary", "localhost:8080", "0", bad)
        assert run.returncode == 2, bad
        assert run.stderr.count("\n") == 1, run.stderr
        assert run.stderr.startswith("ckv: "), run.stderr


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_an_sqlite_file_that_is_gone_is_an_outage(nodes: Nodes, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "records.db"
    node = nodes.start_secondary(
        persistent=f"sqlite:{path}",
        capacity=5,
        options=[f"--write-mode={mode}", "--load-timeout=500ms", "--drain-timeout=1s"],
    )
    node.wait_for_log(f"database connected: sqlite:{path}")
    with Client("127.0.0.1", node.port) as client:
        for number in range(10):
            client.put(f"before{number}", "v")
        # Both sessions have the file before it goes: one that comes later would make it anew.
        assert client.get("absent") is None
        eventually(lambda: cast(dict[str, int], client.call("INFO"))["flushed_rows"], what="a session has written")
        for file in tmp_path.iterdir():
            file.unlink()
        pipeline = client.pipeline()
        for number in range(100):
            pipeline.put(f"k{number}", "v")
        answers = pipeline.execute(raise_on_error=False)
        if mode == "through":
            assert {type(answer) for answer in answers} == {errors.CommitTimeout}
        else:
            assert client.get("k0") == "v"
        node.wait_for_log("database lost")
    assert node.terminate() == 3
    assert not path.exists()
