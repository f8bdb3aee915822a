"""Signals: whichever of them a node gets, no record is lost."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ckv import Client, errors
from ckv.node.signals import AS_ALWAYS, DRAIN, FAULTS, STOP
from ckv.persistent.opening import open_tier
from tests.support.eventually import eventually
from tests.support.nodes import ROOT, Node, Nodes, ckv_command, ckv_environment
from tests.support.ports import free_port

RECORDS = 100
DRAINING = STOP | DRAIN | FAULTS
IGNORED = sorted(signal.valid_signals() - DRAINING - AS_ALWAYS)


def fill(node: Node) -> None:
    with Client("127.0.0.1", node.port) as client:
        for number in range(RECORDS):
            client.put(f"key {number}", "value")


def saved(tier: str) -> int:
    session = open_tier(tier).connect()
    try:
        return session.count()
    finally:
        session.close()


@pytest.mark.parametrize("number", sorted(DRAINING), ids=lambda number: number.name)
def test_a_node_that_gets_one_saves_and_ends(nodes: Nodes, tmp_path: Path, number: signal.Signals) -> None:
    tier = f"sqlite:{tmp_path}/ckv.db"
    node = nodes.start_secondary(persistent=tier)
    fill(node)
    assert node.terminate(how=number) == 0, node.tail()
    assert saved(tier) == RECORDS


def test_all_the_others_are_ignored(nodes: Nodes, tmp_path: Path) -> None:
    assert {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE, signal.SIGRTMIN} <= set(IGNORED)
    tier = f"sqlite:{tmp_path}/ckv.db"
    node = nodes.start_secondary(persistent=tier)
    fill(node)
    for number in IGNORED:
        node.signal(signal.Signals(number) if number in set(signal.Signals) else number)
    node.wait_for_log("SIGUSR1 came and is ignored")
    with Client("127.0.0.1", node.port) as client:
        assert client.get("key 0") == "value"
    assert node.terminate() == 0, node.tail()
    assert saved(tier) == RECORDS


def test_a_primary_drains_too(nodes: Nodes) -> None:
    primary = nodes.start_cluster(1).primary
    primary.signal(signal.SIGUSR1)
    primary.wait_for_log("SIGUSR1 came and is ignored")
    assert primary.terminate(how=signal.SIGHUP) == 0


def test_a_second_hangup_gives_nothing_up(nodes: Nodes, tmp_path: Path) -> None:
    """A terminal that closes and the shell in it, or a supervisor beside its SIGTERM, send more than one."""
    blocked = tmp_path / "no such folder"
    tier = f"sqlite:{blocked}/ckv.db"
    node = nodes.start_secondary(persistent=tier)
    node.wait_for_log("database cannot be reached")
    fill(node)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGHUP, signal.SIGQUIT):
        node.signal(number)
    node.wait_for_log("SIGQUIT came")
    blocked.mkdir()
    assert node.wait() == 0, node.tail()
    assert saved(tier) == RECORDS


def test_nohup_keeps_a_node_from_hanging_up(tmp_path: Path) -> None:
    port = free_port()
    command = ["nohup", *ckv_command(), "secondary", "127.0.0.1:1", str(port), f"sqlite:{tmp_path}/ckv.db"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ckv_environment()
    ) as node:
        try:
            with Client("127.0.0.1", port) as client:
                eventually(lambda: serves(client), timeout=30, what="the node")
                node.send_signal(signal.SIGHUP)
                node.send_signal(signal.SIGUSR1)
                client.put("key", "value")
                assert client.get("key") == "value"
            node.send_signal(signal.SIGTERM)
            assert node.wait(30) == 0
        finally:
            node.kill()
    assert saved(f"sqlite:{tmp_path}/ckv.db") == 1


def serves(client: Client) -> bool:
    try:
        client.call("AUDIT", 0, 1)  # to PING it answers already before
    except errors.CkvError:
        return False
    return True


def test_a_terminal_that_closes_costs_nothing(tmp_path: Path) -> None:
    """As README starts nodes: with ``&``, in a shell, in a terminal, which the log goes to."""
    port = free_port()
    tier = f"sqlite:{tmp_path}/ckv.db"
    shell, terminal = pty.fork()
    if shell == 0:
        os.chdir(ROOT)
        os.execvpe("bash", ["bash", "--norc", "-i"], ckv_environment())
    words = " ".join([*ckv_command(), "secondary", "127.0.0.1:1", str(port), tier])
    os.write(terminal, f"{words} &\necho process $!\n".encode())
    with Client("127.0.0.1", port) as client:
        eventually(lambda: serves(client), timeout=30, what="the node")
        for number in range(RECORDS):
            client.put(f"key {number}", "value")
    os.close(terminal)
    os.waitpid(shell, 0)

    def gone() -> bool:
        with Client("127.0.0.1", port) as client:
            return not serves(client)

    eventually(gone, timeout=30, what="the end of the node")
    eventually(lambda: saved(tier) == RECORDS, timeout=30, what="the records")


FAULT = """
import os, sys
sys.argv = ["ckv", "secondary"]
import ctypes, gevent
from ckv.node.signals import Signals
Signals(lambda hurry: None)
ctypes.string_at(0)
"""


def test_a_fault_of_the_processor_ends_the_process() -> None:
    run = subprocess.run([sys.executable, "-c", FAULT], cwd=ROOT, timeout=60, stderr=subprocess.DEVNULL)
    assert run.returncode == -signal.SIGSEGV
