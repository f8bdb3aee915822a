"""``ckv ping``: exit code 0 for a node that answers, or can serve, else 1 and one line that says why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from ckv.address import Address
from ckv.settings.roles import PingSettings
from ckv.tools import ping
from tests.support.eventually import eventually
from tests.support.fakenode import Connection, FakeNode, store
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Node, Nodes, ckv_command, ckv_environment, run_ckv
from tests.support.ports import free_port, silent_address
from tests.support.wire import pack


def asked(
    port: int, capsys: pytest.CaptureFixture[str], host: str = "127.0.0.1", timeout: float = 10, ready: bool = False
) -> str:
    """What ping says of the node in this process: "" if it answers, else the line without its beginning."""
    code = ping.run(PingSettings(Address(host, port), timeout, ready))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert code == (1 if shown.err else 0)
    if not shown.err:
        return ""
    assert shown.err.count("\n") == 1
    start = f"ckv: {host}:{port} {'is not ready' if ready else 'does not answer'}: "
    assert shown.err.startswith(start)
    return shown.err.removeprefix(start).rstrip("\n")


def answering(answer: bytes, method: str = "PING") -> FakeNode:
    """A node that takes one request and sends these bytes."""

    def script(connection: Connection) -> None:
        assert connection.request() == [0, 1, method, []]
        connection.send(answer)
        connection.wait_closed()

    return FakeNode(script)


def test_both_kinds_of_node_answer(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1)
    for node in (cluster.primary, *cluster.secondaries):
        for host in ("127.0.0.1", "localhost"):
            done = run_ckv("ping", host, str(node.port))
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert node.terminate() == 0
        done = run_ckv("ping", "127.0.0.1", str(node.port))
        line = f"ckv: {node.address} does not answer: Connection refused\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def readiness(node: Node) -> str:
    """What ``ckv ping --ready`` says of a node; empty if it is ready."""
    done = run_ckv("ping", "--ready", "127.0.0.1", str(node.port))
    start = f"ckv: {node.address} is not ready: "
    assert done.stdout == ""
    assert (done.returncode, done.stderr[: len(start)]) in ((0, ""), (1, start))
    return done.stderr.removeprefix(start).rstrip("\n")


def test_nodes_of_a_list_are_ready(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1)
    assert [readiness(node) for node in (cluster.primary, *cluster.secondaries)] == ["", ""]


def test_nodes_that_join_are_ready_when_they_can_serve(mariadb: MariaDB, nodes: Nodes) -> None:
    primary = nodes.start_primary()
    assert readiness(primary).startswith("no map of slots is known yet: ")
    alone = nodes.start_secondary(primary=f"127.0.0.1:{free_port()}", persistent=mariadb.address, options=["--name=a"])
    assert readiness(alone) == "no primary has taken it in, or has it in its list"
    assert run_ckv("ping", "127.0.0.1", str(alone.port)).returncode == 0
    assert alone.terminate() == 0
    joined = nodes.start_secondary(primary=primary.address, persistent=mariadb.address, options=["--name=a"])
    eventually(lambda: readiness(joined) == "", timeout=30, what="the secondary is ready")
    eventually(lambda: readiness(primary) == "", timeout=30, what="the primary is ready")


def test_an_answer_about_readiness(capsys: pytest.CaptureFixture[str]) -> None:
    for answer, line in (
        ([1, 1, None, {"ready": 1, "ready_reason": "-"}], ""),
        ([1, 1, None, {"ready": 0, "ready_reason": "it owns no slots"}], "it owns no slots"),
        ([1, 1, "Refused: no", None], "Refused: no"),
        ([1, 1, None, "PONG"], "what came is no answer to an INFO"),
        ([1, 1, None, {}], "what came is no answer to an INFO"),
    ):
        with answering(pack(answer), "INFO") as node:
            assert asked(node.port, capsys, ready=True) == line
    with answering(b"\xc1", "INFO") as node:
        assert asked(node.port, capsys, ready=True) == "what came is no answer to an INFO"


def test_a_node_answers_whatever_its_neighbours_do(private_mariadb: MariaDB, nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1, persistent=private_mariadb.address)
    private_mariadb.kill()
    cluster.secondaries[0].pause()
    assert run_ckv("ping", "127.0.0.1", str(cluster.primary.port)).returncode == 0
    cluster.secondaries[0].resume()
    assert run_ckv("ping", "127.0.0.1", str(cluster.secondaries[0].port)).returncode == 0


def test_a_node_that_hangs_has_the_time_out(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    node.pause()
    done = run_ckv("ping", "--timeout=50ms", "127.0.0.1", str(node.port))
    assert (done.returncode, done.stderr) == (1, f"ckv: {node.address} does not answer: nothing came within 0.05 s\n")
    done = run_ckv("ping", "127.0.0.1", str(node.port), env={"CKV_TIMEOUT": "50ms"})
    assert done.stderr.endswith("within 0.05 s\n")


def test_an_answer_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    def script(connection: Connection) -> None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ping.ANSWER:
            connection.send(bytes([byte]))
        connection.wait_closed()

    with FakeNode(script) as node:
        assert asked(node.port, capsys) == ""


def test_the_bytes_are_those_of_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert pack([0, 1, "PING", []]) == ping.REQUEST
    assert pack([1, 1, None, "PONG"]) == ping.ANSWER
    with FakeNode(store()) as node:
        assert asked(node.port, capsys) == ""


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (pack([1, 1, "Draining: the node is stopping", None]), "Draining: the node is stopping"),
        (pack([1, 1, None, "PONG!"]), "what came is no answer to a PING"),
        (pack([1, 2, None, "PONG"]), "what came is no answer to a PING"),
        (ping.ANSWER + b"\0", "what came is no answer to a PING"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what came is no answer to a PING"),
        (b"\xc1", "what came is no answer to a PING"),
    ],
)
def test_an_answer_that_is_none(answer: bytes, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(answer) as node:
        assert asked(node.port, capsys) == line


@pytest.mark.parametrize("sent", [b"", ping.ANSWER[:-1]])
def test_a_connection_that_is_closed(sent: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(sent)

    with FakeNode(script) as node:
        assert asked(node.port, capsys) == "it closed the connection"


def drip(connection: Connection) -> None:
    """One byte at a time, each within the time-out, and the whole answer not."""
    for byte in ping.ANSWER:
        connection.send(bytes([byte]))
        time.sleep(0.1)


def silence(connection: Connection) -> None:
    connection.wait_closed()


@pytest.mark.parametrize("script", [silence, drip])
def test_the_time_out_is_that_of_the_whole(
    script: Callable[[Connection], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeNode(script) as node:
        began = time.monotonic()
        assert asked(node.port, capsys, timeout=0.3) == "nothing came within 0.3 s"
        assert 0.3 <= time.monotonic() - began < 0.3 + len(ping.ANSWER) * 0.1 / 2


def test_a_second_address_of_the_host_is_tried(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = free_port()

    def two(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", at)) for at in (closed, port)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with FakeNode(store()) as node:
        assert asked(node.port, capsys, host="several") == ""


def test_a_silent_address_leaves_time_for_the_next_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_address() as hole, FakeNode(store()) as node:

        def two(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            time.sleep(0.5)  # A slow name server takes none of the time either.
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in (hole, ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        assert asked(node.port, capsys, host="several", timeout=0.5) == ""


def test_hosts_that_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(1, capsys, host="a..b")
    assert asked(1, capsys, host="does-not-exist.invalid")


def test_a_probe_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import atexit, sys; sys.argv = ['ckv', 'ping', '127.0.0.1', sys.argv[1]]\n"
        "from ckv.__main__ import main\n"
        "dear = {'gevent', 'msgpack', 'ckv.client', 'pymysql', 'prompt_toolkit'}\n"
        "atexit.register(lambda: print(sorted(dear & set(sys.modules))))\n"
        "main()"
    )
    with FakeNode(store()) as node:
        done = subprocess.run(
            [sys.executable, "-c", code, str(node.port)],
            capture_output=True, text=True, cwd=ROOT, env=ckv_environment(), timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_a_probe_costs_less_than_a_start_of_another_role() -> None:
    def cpu_seconds(*words: str) -> float:
        """The least of a few runs: a busy machine only adds."""
        costs = []
        for _ in range(5):
            process = subprocess.Popen(
                [*ckv_command(), *words], env=ckv_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _, _, used = os.wait4(process.pid, 0)
            costs.append(used.ru_utime + used.ru_stime)
        return min(costs)

    with FakeNode(store()) as node:
        assert cpu_seconds("ping", "127.0.0.1", str(node.port)) < cpu_seconds("primary", "--help")
