"""``ckv flush``: afterwards the database has all that was accepted before, while nodes and clients go on."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Node, Nodes, ckv_command, ckv_environment, run_ckv
from tests.system.registered import Joined

KEYS = 1000


def flush(node: Node, *options: str) -> subprocess.CompletedProcess[str]:
    return run_ckv("flush", "127.0.0.1", str(node.port), *options)


@contextmanager
def writing(port: int, keys: int = KEYS) -> Iterator[dict[str, int]]:
    """Somebody counts under each key all the time; what was acknowledged last."""
    latest: dict[str, int] = {}
    stop = threading.Event()

    def write() -> None:
        with Client("127.0.0.1", port, timeout=20) as client:
            turn = 0
            while not stop.is_set():
                turn += 1
                for start in range(0, keys, 100):
                    some = {f"key {number}": turn for number in range(start, start + 100)}
                    client.put_many({key: str(value) for key, value in some.items()})
                    latest.update(some)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: len(latest) == keys, what="all keys were written")
        yield latest
    finally:
        stop.set()
        thread.join()


def has(mariadb: MariaDB, expected: dict[str, int]) -> None:
    """The database has these counts, or later ones."""
    rows = mariadb.rows()
    lacking = {key: rows.get(key.encode()) for key, value in expected.items() if int(rows.get(key.encode(), 0)) < value}
    assert not lacking, (len(lacking), list(lacking.items())[:5])


@pytest.mark.parametrize("options", [["--write-mode=evict"], ["--write-mode=behind", "--write-delay=10m"]])
def test_all_that_was_accepted_is_in_the_database(nodes: Nodes, mariadb: MariaDB, options: list[str]) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=KEYS // 4, secondary_options=options)
    with writing(cluster.primary.port) as latest:
        for _ in range(2):
            before = dict(latest)
            done = flush(cluster.primary)
            assert (done.returncode, done.stderr) == (0, "")
            has(mariadb, before)


def test_where_nodes_have_joined(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb)
    cluster.add("a", "b")
    cluster.wait_level("a", "b")
    with cluster.client() as client:
        client.put_many({f"key {number}": "1" for number in range(KEYS)})
    assert mariadb.rows() == {}
    assert flush(cluster.primary).stdout == f"{KEYS} records were written\n"
    has(mariadb, {f"key {number}": 1 for number in range(KEYS)})
    assert flush(cluster.primary).stdout == "0 records were written\n"


def test_what_stays_unsaved_is_exit_code_1_and_one_line(nodes: Nodes, private_mariadb: MariaDB) -> None:
    node = nodes.start_secondary(persistent=private_mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put_many({f"key {number}": "1" for number in range(10)})
        private_mariadb.pause()
        hung = flush(node, "--timeout=1s")
        assert (hung.returncode, hung.stdout) == (1, "")
        assert hung.stderr == "ckv: CallTimeout: the database has taken nothing for 1 s, and lacks about 10 records\n"
        private_mariadb.resume()
        assert flush(node).returncode == 0
        has(private_mariadb, {f"key {number}": 1 for number in range(10)})
        private_mariadb.query(
            "CREATE TRIGGER refuse BEFORE INSERT ON CelonisData FOR EACH ROW "
            "IF NEW.kv_key = 'bad' THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1406; END IF",
            database="celonis",
        )
        client.put_many({"bad": "1", "good": "1"})
    refused = flush(node)
    assert (refused.returncode, refused.stdout) == (1, "1 records were written\n")
    assert refused.stderr == "ckv: RowsRefused: the database refuses 1 records: see parked_records of ckv status\n"
    has(private_mariadb, {"good": 1})


def test_who_cannot_save_says_so(nodes: Nodes, mariadb: MariaDB) -> None:
    alone = nodes.start_secondary()
    done = flush(alone)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ckv: Refused: this node has no persistent node: there is nothing to save it in\n"
    cluster = nodes.start_cluster(2, persistent=mariadb.address, primary_options=["--node-wait=0"])
    cluster.secondaries[1].kill()
    gone = flush(cluster.primary)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.count("\n") == 1


def test_a_terminal_shows_a_bar(nodes: Nodes, mariadb: MariaDB) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    with Client("127.0.0.1", node.port) as client:
        client.put_many({f"key {number}": "1" for number in range(KEYS)})
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    try:
        done = subprocess.run(
            [*ckv_command(), "flush", "127.0.0.1", str(node.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=30,
            env=ckv_environment({"TERM": "xterm"}), cwd=ROOT, check=False,
        )  # fmt: skip
        shown = os.read(ours, 2**20).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert (done.returncode, done.stdout) == (0, f"{KEYS} records were written\n")
    assert f"[{'#' * 20}] saved: {KEYS:,} of {KEYS:,}, " in shown
