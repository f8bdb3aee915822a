"""What systemd is told: by a node that it has started, and by none that it has not."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ckv.node.manager import ALIVE, READY, Manager
from tests.support.nodes import Nodes


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20)
        yield sock


def heard(sock: socket.socket) -> str:
    return sock.recv(4096).decode()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_signs_of_life_come_twice_as_often_as_they_have_to(listening: socket.socket) -> None:
    clock = Clock()
    environ = {"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}
    manager = Manager(environ, clock, process=7)
    another = Manager(environ, clock, process=8)
    listening.setblocking(False)
    for now, told in ((101.9, False), (102.0, True), (103.9, False), (110.0, True)):
        clock.now = now
        another.tick()
        manager.tick()
        if told:
            assert heard(listening) == ALIVE
        with pytest.raises(BlockingIOError):
            heard(listening)


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # Linux chooses a name
        sock.settimeout(20)
        name: bytes = sock.getsockname()
        Manager({"NOTIFY_SOCKET": "@" + name[1:].decode()}).tell(READY, "STATUS=x")
        assert heard(sock) == "READY=1\nSTATUS=x"


@pytest.mark.parametrize("where", ["", "vsock:2:1234"])
def test_without_one_nothing_is_sent(where: str) -> None:
    manager = Manager({"NOTIFY_SOCKET": where, "WATCHDOG_USEC": "1"})
    manager.tell(READY)
    manager.tick()


def test_one_that_is_gone_is_told_nothing_and_the_node_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Manager({"NOTIFY_SOCKET": str(tmp_path / "none")}).tell(READY)
    assert "cannot be told READY=1: No such file or directory" in caplog.text


def test_what_nobody_takes_waits_and_the_loop_does_not(listening: socket.socket) -> None:
    clock = Clock()
    manager = Manager({"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "2000000"}, clock)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while True:
                other.sendto(b"full", listening.getsockname())
                sent += 1
    manager.tell(READY)
    clock.now += 5
    manager.tick()
    assert [heard(listening) for _ in range(sent)] == ["full"] * sent
    manager.tick()
    assert [heard(listening), heard(listening)] == [READY, ALIVE]


def test_a_node(nodes: Nodes, listening: socket.socket) -> None:
    env = {"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "2000000"}
    node = nodes.start_secondary(env=env)
    assert heard(listening) == f"READY=1\nSTATUS=secondary on {node.address}"
    assert heard(listening) == ALIVE
    node.signal(signal.SIGTERM)
    told = heard(listening)
    while told == ALIVE:
        told = heard(listening)
    assert told == "STOPPING=1"
    assert node.wait() == 0
