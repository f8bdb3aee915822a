"""Few open files: a node serves as many clients as they allow, says so, and keeps those that saving needs."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, ckv_command, run_ckv
from tests.support.wire import RawClient

FEW = 80
RECORDS = 200


def allowed(files: int) -> str:
    """A ``CKV_COMMAND`` that may have so many open files, and not raise that limit itself."""
    return shlex.join(["prlimit", f"--nofile={files}:{files}", *ckv_command()])


def lower_limit(node: Node, files: int) -> None:
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (files, files))


def crowd(node: Node, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", node.port), timeout=20) for _ in range(count)]


def figures(client: Client) -> dict[str, Any]:
    info = client.call("INFO")
    assert isinstance(info, dict)
    return info


def cpu_seconds(node: Node) -> float:
    user, system = Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_clients_take_no_file_that_saving_needs(
    kind: str, private_mariadb: MariaDB, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = private_mariadb.address if kind == "mariadb" else f"sqlite:{tmp_path}/ckv.db"
    with monkeypatch.context() as limited:
        limited.setenv("CKV_COMMAND", allowed(FEW))
        node = nodes.start_secondary(persistent=tier, capacity=5)
    places = int(node.wait_for_log("clients are served at a time").split("only ")[1].split()[0])
    assert 10 < places < FEW
    assert f"{FEW} open files are allowed" in node.wait_for_log("clients are served at a time")
    with Client("127.0.0.1", node.port) as client:
        client.put("first", "value")
        assert figures(client)["maxclients"] == places
        since = len(node.log)
        idle = crowd(node, 3 * FEW)
        eventually(lambda: figures(client)["rejected_connections"] == 3 * FEW - places + 1, what="all of them")
        if kind == "mariadb":
            private_mariadb.kill()
            private_mariadb.start()
        for number in range(RECORDS):
            client.put(f"key {number}", "value")
        assert client.get("first") == "value", "it comes back from the database"
        eventually(lambda: figures(client)["pending_records"] == 0, what="what was evicted is saved")
        assert run_ckv("ping", "127.0.0.1", str(node.port), "--timeout=20s").returncode == 0
        assert run_ckv("status", "127.0.0.1", str(node.port), "--timeout=20s").returncode == 0
        assert len([line for line in node.log[since:] if " connection" in line]) == 1, "one line a minute"
        assert node.terminate() == 0, node.tail()
    for sock in idle:
        sock.close()
    if kind == "mariadb":
        assert len(private_mariadb.rows()) == RECORDS + 1


def test_a_drain_gets_its_files_when_the_limit_was_lowered_under_it(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        for number in range(RECORDS):
            client.put(f"key {number}", "value")
        idle = crowd(node, 150)
        eventually(lambda: figures(client)["connected_clients"] == 151, what="all of them")
        private_mariadb.kill()
        private_mariadb.start()
        lower_limit(node, 70)
        node.wait_for_log("connections closed: only ")
    assert node.terminate() == 0, node.tail()
    assert len(private_mariadb.rows()) == RECORDS
    for sock in idle:
        sock.close()


def test_a_drain_closes_who_is_idle_when_no_file_can_be_had(private_mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address)
    with RawClient(node.address) as client:
        for number in range(RECORDS):
            client.call("PUT", f"key {number}", "value")
        private_mariadb.pause()
        node.signal(signal.SIGTERM)
        node.wait_for_log("records to save")
        # Below the number of every file that comes next, and yet not of those that the connections have.
        taken = len(os.listdir(f"/proc/{node.pid}/fd"))
        lower_limit(node, taken)
        client.wait_closed()
        private_mariadb.kill()
        private_mariadb.start()
    assert node.wait() == 0, node.tail()
    assert len(private_mariadb.rows()) == RECORDS


@pytest.mark.parametrize("count", [16, 32])
def test_too_few_files_to_serve_anybody_are_said_in_one_line(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKV_COMMAND", allowed(count))
    run = run_ckv("secondary", "127.0.0.1:1", "0", "sqlite:/nowhere/ckv.db")
    assert run.returncode == 4
    assert run.stderr.count("\n") == 1
    assert f"{count} open files are allowed, and it needs" in run.stderr


def test_a_primary_keeps_files_for_its_secondaries(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    primary, secondary = cluster.primary, cluster.secondaries[0]
    lower_limit(primary, FEW)
    idle = crowd(primary, 3 * FEW)
    with Client("127.0.0.1", primary.port) as client:
        eventually(lambda: 10 < figures(client)["maxclients"] < FEW, what="the new limit")
        since = len(primary.log)
        secondary.restart()
        primary.wait_for_log(f"peer {secondary.address} back", since=since)
        before = cpu_seconds(primary)
        eventually(lambda: figures(client)["peers_connected"] == 2, what="both of them")
        assert cpu_seconds(primary) - before < 5
    for sock in idle:
        sock.close()
