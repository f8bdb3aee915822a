"""Two processes of one name: a node that is started again before it has ended, and one that was taken for dead."""

from __future__ import annotations

import shlex
import signal
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from ckv import Client
from ckv.errors import CkvError, Draining, Starting
from ckv.node.naming import SAY_EVERY
from ckv.persistent.mysql import fence
from tests.failures.conftest import Scenario
from tests.failures.harness import PATIENCE
from tests.failures.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.nodes import Node, Nodes, ckv_command

NAME: Final = "--name=one"
SLOW: Final = 0.05
"""Seconds by which each answer of the database is late, so that a drain takes its time."""

KEYS: Final = [f"key {number}" for number in range(300)]

PROGRAM: Final = """
import sys
sys.path.insert(0, {root!r})
{change}
from ckv.__main__ import main
sys.exit(main())
"""

UNFENCED: Final = """
from ckv.persistent.mysql import fence, tier
tier.MySQLSession._check = lambda self, connection: ()
fence.MySQLFence.beat = lambda self, left, share: None
"""
"""A node that does not look whether it was fenced."""

SLOW_END: Final = """
import gevent
from ckv.node.node import Node
end = Node._drain
def slow(self, *arguments):
    gevent.sleep(3)
    return end(self, *arguments)
Node._drain = slow
"""
"""One that takes its time to end, so that it can be asked meanwhile."""


def asked(node: Node) -> dict[str, Any]:
    """What INFO says."""
    with Client("127.0.0.1", node.port, timeout=PATIENCE) as client:
        answer = client.call("INFO")
    assert isinstance(answer, dict)
    return answer


@pytest.fixture(params=["mysql", "sqlite"])
def persistent(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Either tier."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'records.db'}"
    return str(request.getfixturevalue("database").address)


def test_the_secondary_is_started_again_before_it_has_ended(scenario: Scenario) -> None:
    with scenario(behind_primary=True, proxied_database=True, options={"name": "one", "load-timeout": "5s"}) as run:
        run.work(500)
        for _ in range(3):
            run.database.delay = SLOW
            run.replace_secondary()
            run.database.delay = 0.0
            run.work(300)


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_the_same_port_is_waited_for(persistent: str, nodes: Nodes, mode: str) -> None:
    """``kill PID``, and the same command again at once."""
    options = [f"--write-mode={mode}"]
    node = nodes.start_secondary(persistent=persistent, options=options)
    for turn in range(3):
        values = dict.fromkeys(KEYS, f"value {turn}")
        with Client("127.0.0.1", node.port, timeout=PATIENCE) as client, client.pipeline() as pipeline:
            for key, value in values.items():
                pipeline.put(key, value)
        node.signal(signal.SIGTERM)
        after = nodes.start_secondary(persistent=persistent, options=options, port=node.port)
        assert node.wait(PATIENCE) == 0, node.tail()
        node = after
        with Client("127.0.0.1", node.port, timeout=PATIENCE) as client:
            assert {key: client.get(key) for key in KEYS} == values
            assert client.call("INFO")["incarnation"] == turn + 2  # type: ignore[index]


def test_a_port_that_somebody_else_has_is_not_waited_for(database: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=database.address)
    other = nodes.start_secondary(persistent=database.address, port=node.port, wait=False)
    assert other.wait(PATIENCE) == 4
    with Client("127.0.0.1", node.port) as client:
        client.put("k", "v")
    assert node.terminate() == 0
    assert database.rows() == {b"k": b"v"}


def test_one_of_two_processes_of_a_name_serves(persistent: str, nodes: Nodes) -> None:
    first = nodes.start_secondary(persistent=persistent, options=[NAME])
    second = nodes.start_secondary(persistent=persistent, options=[NAME], wait=False)
    second.wait_for_log("waiting: another process has the name one, incarnation 1")
    with Client("127.0.0.1", second.port) as client:
        for request in (("PUT", "k", "v"), ("GET", "k"), ("AUDIT", 0, 1)):
            with pytest.raises(Starting) as caught:
                client.call(*request)
            assert caught.value.written == "no"
        info = client.call("INFO")
        assert isinstance(info, dict)
        assert (info["name"], info["incarnation"]) == ("one", 0)
    with Client("127.0.0.1", first.port) as client:
        client.put("k", "v")
    assert first.terminate() == 0
    second.wait_ready()
    with Client("127.0.0.1", second.port) as client:
        assert client.get("k") == "v"
    assert second.terminate() == 0


def test_a_node_that_was_killed_is_replaced_at_once(persistent: str, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=persistent, options=[NAME])
    for _ in range(2):
        node.kill()
        began = time.monotonic()
        node.start()
        assert time.monotonic() - began < 4, "the lease of one that has ended was waited for"
    fenced = any("has ended: it is fenced" in line for line in node.log)
    assert fenced == (not persistent.startswith("sqlite:"))  # where its lock has gone with it


def test_a_node_that_ends_gives_its_name_back(database: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=database.address, options=[NAME])
    with Client("127.0.0.1", node.port) as client:
        client.put("k", "v")
    assert node.terminate() == 0
    states = database.query(f"SELECT DISTINCT state FROM {DATABASE}.{fence.TABLE}")
    assert states == [("ended",)]
    node.start()
    assert not any("fenced" in line for line in node.log)


def test_nothing_is_loaded_before_the_name_is_its_own(database: MariaDB, nodes: Nodes) -> None:
    first = nodes.start_secondary(persistent=database.address, options=[NAME])
    with Client("127.0.0.1", first.port) as client:
        client.put("k", "old")
    first.terminate()
    first.start()
    with Client("127.0.0.1", first.port) as client:
        client.put("k", "new")  # which the table does not have yet
    with Proxy(database.port) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.hold()
        second = nodes.start_secondary(persistent=proxy.address, options=[NAME, "--load-timeout=50s"])
        with Client("127.0.0.1", second.port, timeout=PATIENCE) as client:
            client.put("other", "v")  # served, as nobody can know
            answer = pool.submit(client.get, "k")
            eventually(lambda: asked(second)["loads_queued"] == 1, PATIENCE, "the question waits")
            proxy.release()
            second.wait_for_log("waiting: another process has the name one")
            eventually(lambda: asked(second)["database_state"] == "up", PATIENCE, "it could load")
            assert asked(second)["load_queries"] == 0
            assert first.terminate() == 0
            assert answer.result() == "new"
        assert second.terminate() == 0
    assert database.rows() == {b"k": b"new", b"other": b"v"}


# --- a file of SQLite ---------------------------------------------------------------------------------------------


def test_nodes_of_two_names_share_a_file(nodes: Nodes, tmp_path: Path) -> None:
    file = f"sqlite:{tmp_path / 'records.db'}"
    for name in ("one", "two"):
        with Client("127.0.0.1", nodes.start_secondary(persistent=file, options=[f"--name={name}"]).port) as client:
            client.put(name, "v")


def test_a_process_whose_file_is_locked_is_waited_for_until_it_has_saved(nodes: Nodes, tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    first = nodes.start_secondary(persistent=f"sqlite:{path}", options=[NAME])
    with Client("127.0.0.1", first.port) as client:
        client.put("k", "v")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        first.signal(signal.SIGTERM)
        second = nodes.start_secondary(persistent=f"sqlite:{path}", options=[NAME], wait=False)
        second.wait_for_log("it is stopping, and has 1 rows left to save")
        with Client("127.0.0.1", second.port) as client, pytest.raises(Starting):
            client.get("k")
    assert first.wait(PATIENCE) == 0, first.tail()
    second.wait_ready(PATIENCE)
    with Client("127.0.0.1", second.port) as client:
        assert client.get("k") == "v"


def test_a_process_that_stands_still_keeps_its_file(nodes: Nodes, tmp_path: Path) -> None:
    file = f"sqlite:{tmp_path / 'records.db'}"
    first = nodes.start_secondary(persistent=file, options=[NAME])
    with Client("127.0.0.1", first.port) as client:
        client.put("k", "v")
        first.pause()
        second = nodes.start_secondary(persistent=file, options=[NAME], wait=False)
        second.wait_for_log("waiting: another process", since=0)
        said = len(second.log)
        second.wait_for_log("waiting: another process", 2 * SAY_EVERY, since=said)
        first.resume()
        client.put("k", "w")
    assert first.terminate() == 0
    second.wait_ready(PATIENCE)
    with Client("127.0.0.1", second.port) as client:
        assert client.get("k") == "w"


# --- one that was taken for dead ------------------------------------------------------------------------------------


def changed_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """From now on nodes are started with this change."""
    program = ckv_command()
    if len(program) != 2:
        pytest.skip("a program that is no source cannot be changed")
    script = tmp_path / "changed.py"
    script.write_text(PROGRAM.format(root=str(Path(program[1]).parent), change=change))
    monkeypatch.setenv("CKV_COMMAND", shlex.join([sys.executable, str(script)]))


def overtake(database: MariaDB, nodes: Nodes) -> tuple[Node, dict[bytes, bytes]]:
    """Stops a node that has rows to write, lets another process take its name, and wakes it; the first one, and what
    the table has to hold."""
    options = [NAME, "--write-mode=behind", "--write-delay=2s", "--write-batch=1000"]
    first = nodes.start_secondary(persistent=database.address, options=options, pool_size=2)
    with Client("127.0.0.1", first.port) as client:
        for value in ("old", "zombie"):
            with client.pipeline() as pipeline:
                for key in KEYS:
                    pipeline.put(key, value)
            if value == "old":
                eventually(lambda: client.call("INFO")["pending_records"] == 0, PATIENCE, "all is saved")  # type: ignore[index]
        assert client.call("INFO")["pending_records"] == len(KEYS)  # type: ignore[index]
    first.pause()
    second = nodes.start_secondary(persistent=database.address, options=[NAME, "--write-mode=through"])
    second.wait_for_log("has stood still for 5 s: it is fenced")
    with Client("127.0.0.1", second.port, timeout=PATIENCE) as client:
        assert {client.get(key) for key in KEYS} == {"old"}  # as `behind` allows
        with client.pipeline() as pipeline:
            for key in KEYS[::2]:
                pipeline.put(key, "new")
    expected = {key.encode(): b"old" for key in KEYS} | {key.encode(): b"new" for key in KEYS[::2]}
    assert database.rows() == expected
    return first, expected


def test_a_node_that_was_fenced_changes_nothing_and_ends(database: MariaDB, nodes: Nodes) -> None:
    first, expected = overtake(database, nodes)
    first.resume()
    assert first.wait(PATIENCE) == 5, first.tail()
    assert any(f"{len(KEYS)} unsaved records are dropped" in line for line in first.log), first.tail()
    assert database.rows() == expected


def test_a_node_that_was_fenced_answers_nothing_more(
    database: MariaDB, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_program(tmp_path, monkeypatch, SLOW_END)
    first, _ = overtake(database, nodes)
    first.resume()
    refused = 0
    with pytest.raises(CkvError) as end:  # that of the process
        while True:
            for request in (("GET", KEYS[0]), ("PUT", KEYS[1], "late"), ("PING",), ("INFO",)):
                try:
                    with Client("127.0.0.1", first.port, timeout=PATIENCE) as client:
                        client.call(*request)
                    assert not refused, f"{request[0]} was answered after it was known"
                except Draining:
                    refused += 1
    assert not isinstance(end.value, Draining)
    assert refused > 8
    assert first.wait(PATIENCE) == 5, first.tail()


def test_without_the_check_it_would_change_rows(
    database: MariaDB, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the one before the last can fail."""
    changed_program(tmp_path, monkeypatch, UNFENCED)
    first, expected = overtake(database, nodes)
    first.resume()
    eventually(lambda: database.rows() != expected, PATIENCE, "the zombie has written")
    assert set(database.rows().values()) == {b"zombie"}
