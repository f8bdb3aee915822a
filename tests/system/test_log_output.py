"""Nobody reads the log of a node, or it cannot be written to: the node serves, stops and saves as ever."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ckv import Client, errors
from ckv.persistent.opening import open_tier
from ckv.stderr import MAX_WAITING_BYTES
from tests.support.eventually import eventually
from tests.support.nodes import Nodes, ckv_command, ckv_environment
from tests.support.ports import free_port

RECORDS = 100


@contextmanager
def started(port: int, tier: str, stderr: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [*ckv_command(), "secondary", *options, "127.0.0.1:1", str(port), tier]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr, env=ckv_environment()) as node:
        try:
            yield node
        finally:
            node.kill()


def serves(port: int) -> bool:
    try:
        with Client("127.0.0.1", port, timeout=20) as client:
            client.call("AUDIT", 0, 1)  # to PING it answers already before
    except (errors.Unreachable, errors.Starting):
        return False
    return True


def send_rubbish(port: int, times: int) -> None:
    """Sends one bad byte on each of so many connections; each is a line of the log."""
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(b"\xc1")
            assert sock.recv(1) == b""


def saved(tier: str) -> int:
    session = open_tier(tier).connect()
    try:
        return session.count()
    finally:
        session.close()


def figure(client: Client, name: str) -> int:
    info = client.call("INFO")
    assert isinstance(info, dict)
    return int(info[name])


@contextmanager
def pipe_that_nobody_reads() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(writer)
    os.close(reader)


@contextmanager
def pipe_whose_reader_ended() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def full_disk() -> Iterator[int]:
    full = os.open("/dev/full", os.O_WRONLY)
    yield full
    os.close(full)


@contextmanager
def socket_that_nobody_reads() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours.fileno()


@pytest.mark.parametrize(
    "where", [pipe_that_nobody_reads, pipe_whose_reader_ended, full_disk, socket_that_nobody_reads]
)
def test_a_log_that_cannot_be_written_holds_up_nobody(where: object, tmp_path: Path) -> None:
    tier = f"sqlite:{tmp_path}/ckv.db"
    port = free_port()
    assert callable(where)
    # At this level each connection has its line: more than pipe and queue hold.
    with where() as stderr, started(port, tier, stderr, "--log-level=debug") as node:
        eventually(lambda: serves(port), timeout=30, what="the node")
        with Client("127.0.0.1", port, timeout=20) as client:
            for number in range(RECORDS):
                client.put(f"key {number}", "value")
            send_rubbish(port, 2000)
            assert client.get("key 0") == "value"
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
    assert saved(tier) == RECORDS


def test_lines_that_nobody_read_are_counted_and_told(tmp_path: Path) -> None:
    port = free_port()
    reader, writer = os.pipe()
    with started(port, "-", writer, "--log-level=debug", "--log-format=json") as node:
        os.close(writer)
        eventually(lambda: serves(port), timeout=30, what="the node")
        with Client("127.0.0.1", port, timeout=20) as client:

            def fill() -> int:
                send_rubbish(port, 1000)
                return figure(client, "log_lines_dropped")

            dropped = eventually(fill, timeout=120, what="a queue that is full")
        node.send_signal(signal.SIGTERM)
        with open(reader, "rb") as log:
            shown = log.read().decode()
        assert node.wait(30) == 0
    lines = shown.splitlines()
    told = json.loads(next(line for line in lines if "lines of the log were lost" in line))["dropped"]
    assert dropped <= told < dropped + 10  # what is logged after it was asked: the end of a connection, and of the node
    assert "drain done" in lines[-1]
    assert len(shown) < 2 * MAX_WAITING_BYTES


def test_what_clients_can_cause_is_one_line_a_minute(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    with Client("127.0.0.1", node.port) as client:
        since = len(node.log)
        send_rubbish(node.port, 50)
        with socket.create_connection(("127.0.0.1", node.port), timeout=20) as sock:
            sock.sendall(b"\x94\x00")  # the begin of a request
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        node.wait_for_log("in the middle of a message", since=since)
        assert figure(client, "log_lines_suppressed") == 49
    assert len([line for line in node.log[since:] if "closed: not msgpack" in line]) == 1


@pytest.mark.parametrize("level", ["debug", "info"])
def test_debug_tells_of_connections_and_batches(nodes: Nodes, tmp_path: Path, level: str) -> None:
    node = nodes.start_secondary(persistent=f"sqlite:{tmp_path}/ckv.db", capacity=1, options=[f"--log-level={level}"])
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "1")
        client.put("b", "2")
        eventually(lambda: figure(client, "flushed_rows") == 1, what="the victim is saved")
        assert client.get("a") == "1"
    assert node.terminate() == 0
    log = "\n".join(node.log)
    told = [part in log for part in ("connection from", "flushed 1 rows in", "loaded 1 of 1 keys in")]
    assert told == [level == "debug"] * 3, log
