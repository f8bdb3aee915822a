"""Two processes of one name: a node that is started again before it has ended, and one that was taken for dead."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from ckv import Client
from ckv.errors import Starting
from tests.failures.conftest import Scenario
from tests.failures.harness import PATIENCE
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, ckv_command

NAME: Final = "--name=one"
SLOW: Final = 0.05
"""Seconds by which each answer of the database is late, so that a drain takes its time."""

KEYS: Final = [f"key {number}" for number in range(300)]

UNFENCED: Final = """
import sys
sys.path.insert(0, {root!r})
from ckv.persistent.mysql import fence, tier
tier.MySQLSession._check = lambda self, connection: ()
fence.MySQLFence.beat = lambda self, left: None
from ckv.__main__ import main
sys.exit(main())
"""
"""A node that does not look whether it was fenced."""


def test_the_secondary_is_started_again_before_it_has_ended(scenario: Scenario) -> None:
    with scenario(behind_primary=True, proxied_database=True, options={"name": "one", "load-timeout": "5s"}) as run:
        run.work(500)
        for _ in range(3):
            run.database.delay = SLOW
            run.replace_secondary()
            run.database.delay = 0.0
            run.work(300)


@pytest.mark.parametrize("mode", ["evict", "behind", "through"])
def test_the_same_port_is_waited_for(database: MariaDB, nodes: Nodes, mode: str) -> None:
    """``kill PID``, and the same command again at once."""
    options = [f"--write-mode={mode}"]
    node = nodes.start_secondary(persistent=database.address, options=options)
    for turn in range(3):
        values = dict.fromkeys(KEYS, f"value {turn}")
        with Client("127.0.0.1", node.port, timeout=PATIENCE) as client, client.pipeline() as pipeline:
            for key, value in values.items():
                pipeline.put(key, value)
        node.signal(signal.SIGTERM)
        after = nodes.start_secondary(persistent=database.address, options=options, port=node.port)
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


def test_one_of_two_processes_of_a_name_serves(database: MariaDB, nodes: Nodes) -> None:
    first = nodes.start_secondary(persistent=database.address, options=[NAME])
    second = nodes.start_secondary(persistent=database.address, options=[NAME], wait=False)
    second.wait_for_log("waiting: another process has the name one, incarnation 1")
    with Client("127.0.0.1", second.port) as client:
        for request in (("PUT", "k", "v"), ("GET", "k"), ("SCAN", "", 1)):
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


def test_a_node_that_was_killed_is_replaced_at_once(database: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=database.address, options=[NAME])
    for _ in range(2):
        node.kill()
        began = time.monotonic()
        node.start()
        assert time.monotonic() - began < 4, "the lease of one that has ended was waited for"
    node.wait_for_log("has ended: it is fenced")


# --- one that was taken for dead ------------------------------------------------------------------------------------


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


def test_without_the_check_it_would_change_rows(
    database: MariaDB, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above can fail."""
    program = ckv_command()
    if len(program) != 2:
        pytest.skip("a program that is no source cannot be changed")
    script = tmp_path / "unfenced.py"
    script.write_text(UNFENCED.format(root=str(Path(program[1]).parent)))
    monkeypatch.setenv("CKV_COMMAND", shlex.join([sys.executable, str(script)]))
    first, expected = overtake(database, nodes)
    first.resume()
    eventually(lambda: database.rows() != expected, PATIENCE, "the zombie has written")
    assert set(database.rows().values()) == {b"zombie"}
