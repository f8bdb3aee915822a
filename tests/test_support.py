"""The tests' own tools: a MariaDB that comes back, nodes that are watched, waiting that can fail."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pymysql
import pytest

from tests.cluster import mutations as cluster
from tests.core import mutations as core
from tests.store import mutations as store
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.mutations import Mutation
from tests.support.nodes import ROOT, Nodes
from tests.support.wire import RawClient, RemoteError, Response

STAND_IN = """\
import socket, signal, sys, time
port = int(sys.argv[2])
server = socket.create_server(("127.0.0.1", port))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print(f"{sys.argv[1]} ready on 127.0.0.1:{server.getsockname()[1]} by=test", file=sys.stderr, flush=True)
if sys.argv[1] == "fragile":
    server.accept()
    sys.exit("it broke")
time.sleep(600)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something small in place of ckv: ``robust PORT`` listens, ``fragile PORT`` ends at the first connection."""
    program = tmp_path / "program.py"
    program.write_text(STAND_IN)
    monkeypatch.setenv("CKV_COMMAND", shlex.join([sys.executable, str(program)]))


def test_mariadb_survives_kill_and_restart(private_mariadb: MariaDB) -> None:
    server = private_mariadb
    server.query(f"CREATE DATABASE {DATABASE}")
    server.query("CREATE TABLE CelonisData (kv_key VARBINARY(9), kv_value LONGBLOB)", database=DATABASE)
    server.query("INSERT INTO CelonisData VALUES (%s, %s)", ("bob", b"\xff"), DATABASE)
    address = server.address
    server.kill()
    with pytest.raises(pymysql.OperationalError):
        server.query("SELECT 1")
    server.start()
    assert server.address == address
    assert server.rows() == {b"bob": b"\xff"}


def test_mariadb_asks_for_the_password(mariadb: MariaDB) -> None:
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        mariadb.connect(password="wrong")


def test_a_paused_mariadb_answers_after_it_was_resumed(private_mariadb: MariaDB) -> None:
    server = private_mariadb
    server.pause()
    with pytest.raises(pymysql.OperationalError):
        server.connect(read_timeout=0.3)
    server.resume()
    assert server.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("run", ["first", "second"])
def test_mariadb_is_emptied_for_each_test(mariadb: MariaDB, run: str) -> None:
    del run  # The second run is the one that could find what the first left.
    assert mariadb.query("SHOW DATABASES LIKE %s", (DATABASE,)) == []
    assert mariadb.rows() == {}
    mariadb.query(f"CREATE DATABASE {DATABASE}")
    # Left open inside of a transaction on purpose: it must not keep the next test from dropping the database.
    connection = mariadb.connect(DATABASE, autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE CelonisData (kv_key VARBINARY(9), kv_value LONGBLOB)")
        cursor.execute("INSERT INTO CelonisData VALUES ('left', 'over')")
    _LEFT_OPEN.append(connection)


_LEFT_OPEN: list[object] = []


@pytest.mark.usefixtures("stand_in")
def test_a_node_is_started_told_to_stop_and_restarted_on_its_port(nodes: Nodes) -> None:
    node = nodes.start(["robust", "0"], 1)
    port = node.port
    assert port > 0
    assert node.rss_bytes() > 1_000_000
    assert node.terminate() == 3
    assert not node.running
    node.start()
    assert node.port == port
    since = len(node.log)
    node.restart(wait=False)
    assert "by=test" in node.wait_for_log("ready on", since=since)
    node.kill()


@pytest.mark.usefixtures("stand_in")
def test_a_node_that_dies_by_itself_fails_the_test_and_all_are_ended() -> None:
    with pytest.raises(AssertionError, match=r"fragile ended by itself with exit code 1\n(.*\n)*it broke"):  # noqa: SIM117
        with Nodes() as nodes:
            robust = nodes.start(["robust", "0"], 1)
            robust_pid = robust.pid
            robust.pause()
            fragile = nodes.start(["fragile", "0"], 1)
            _knock(fragile.port)
            fragile.wait_for_log("it broke")
            eventually(lambda: not fragile.running, what="fragile has ended")
    with pytest.raises(ProcessLookupError):
        os.kill(robust_pid, signal.SIG_DFL)


@pytest.mark.usefixtures("stand_in")
def test_a_node_that_dies_with_the_test_does_not_hide_why_the_test_ended() -> None:
    with pytest.raises(KeyboardInterrupt) as ended, Nodes() as nodes:
        fragile = nodes.start(["fragile", "0"], 1)
        _knock(fragile.port)
        eventually(lambda: not fragile.running, what="fragile has ended")
        raise KeyboardInterrupt
    assert "fragile ended by itself with exit code 1" in ended.value.__notes__[0]


@pytest.mark.usefixtures("stand_in")
def test_waiting_for_a_log_line_ends_with_the_process(nodes: Nodes) -> None:
    node = nodes.start(["fragile", "0"], 1)
    knocker = threading.Timer(0.1, _knock, [node.port])
    knocker.start()
    with pytest.raises(AssertionError, match="ended without logging"):
        node.wait_for_log("never said", timeout=60)
    assert node.wait() == 1
    knocker.join()


def test_a_cluster_answers_a_client_that_knows_the_protocol_alone(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, capacity=100, policy="lfu")
    with RawClient(cluster.address) as client:
        assert client.call("PUT", "bob", b"\xff") is True
        late = client.request("GET", "nobody")
        assert client.call("GET", "bob") == [True, b"\xff"]
        assert client.wait_for(late) == Response(late, None, [False, ""])
        with pytest.raises(RemoteError, match="UnknownMethod"):
            client.call("NONSENSE")
        client.send(b"\xc1 is no msgpack")
        client.wait_closed()
    assert [node.terminate() for node in (cluster.primary, *cluster.secondaries)] == [0, 0, 0]


def test_a_client_tells_silence_from_a_closed_connection(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with RawClient(node.address) as client:
        node.pause()
        client.request("PING")
        with pytest.raises(TimeoutError):
            client.recv_response(timeout=0.1)
        node.resume()
        assert client.recv_response().result == "PONG"
        node.kill()
        with pytest.raises(ConnectionError):
            client.recv_response()


def _knock(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 5).close()


def test_eventually_returns_the_first_true_value_and_says_what_did_not_come() -> None:
    looks = iter([0, 0, 7])
    assert eventually(lambda: next(looks)) == 7

    def unreachable() -> bool:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(AssertionError, match=r"the answer: not within 0\.05 s; last seen: .*nobody there"):
        eventually(unreachable, 0.05, "the answer")


@pytest.mark.parametrize(
    "mutations", [core.MUTATIONS, store.MUTATIONS, cluster.MUTATIONS], ids=["core", "store", "cluster"]
)
def test_each_mutation_is_of_the_code_of_now(mutations: Sequence[Mutation]) -> None:
    """A run makes some of them alone: those that no longer apply would be found by chance."""
    counts = {mutation.name: (ROOT / mutation.file).read_text().count(mutation.old) for mutation in mutations}
    assert [name for name, count in counts.items() if count != 1] == []
