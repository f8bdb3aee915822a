"""The demo: on a cluster of its own, on one that is there, and with something wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from ckv.persistent.opening import open_tier
from ckv.settings.roles import DemoSettings
from ckv.tools import demo
from tests.support.fakenode import Connection, FakeNode, store
from tests.support.nodes import Nodes, ckv_command, ckv_environment, run_ckv
from tests.support.ports import free_port

LAST_LINE = "Congratulation, databases are working!"


def processes_of(folder: Path) -> list[str]:
    """The command lines of the processes that run with this folder for their temporary files."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                if f"TMPDIR={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                pass  # it ended while we looked
    return found


def start(folder: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """The demo as a process, somewhere else than in the project, with its temporary files in this folder."""
    return subprocess.Popen(
        [*ckv_command(), "demo", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env=ckv_environment({"TMPDIR": str(folder), **environ}), start_new_session=True,
    )  # fmt: skip


def test_a_cluster_of_its_own(tmp_path: Path) -> None:
    # Settings of the person who runs it must not reach the nodes.
    with start(tmp_path, CKV_MAX_VALUE_BYTES="1", CKV_LOG_LEVEL="error", CKV_BIND="192.0.2.1") as process:
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == LAST_LINE
    assert len([line for line in lines if "ready on 127.0.0.1:" in line]) == 3
    # Everything that the demo promises to show, in this order.
    position = -1
    for step in (
        r"PUT \S*bob bob@gmail.com -> OK", r"GET \S*bob -> 'bob@gmail.com'", r"GET \S*nobody -> None",
        r"DEL \S*bob -> True", r"GET \S*bob -> None", r"DEL \S*bob -> False", r"PUT \S*eduard eduard@gmail.com -> OK",
        r"CelonisData -> \S*alice  \(", r"GET \S*alice -> 'alice@gmail.com'", r"CelonisData -> \S*alice, \S*bob  \(",
        r"GET \S*eduard -> 'eduard@gmail.com'", "Stopping",
    ):  # fmt: skip
        position = next(at for at, line in enumerate(lines) if at > position and re.search(step, line))
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("moment", ["Starting a cluster", "secondary ready", "primary ready", "One record more"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_nothing_stays_when_it_is_ended(tmp_path: Path, moment: str, number: signal.Signals, code: int) -> None:
    with start(tmp_path) as process:
        assert process.stdout
        for line in process.stdout:
            if moment in line:
                break
        # As a terminal does it, to the whole group: the nodes must not take it for themselves.
        os.killpg(process.pid, number)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, "")
    assert LAST_LINE not in out
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_a_cluster_that_is_there(nodes: Nodes) -> None:
    cluster = nodes.start_cluster()
    done = run_ckv("demo", "127.0.0.1", str(cluster.primary.port))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == LAST_LINE


def test_it_leaves_nothing_on_a_cluster_that_is_there() -> None:
    records = {b"bob": "not yours", b"{demo}bob": "nor this"}
    seen = []

    class Watched(dict[bytes, object]):
        def __setitem__(self, key: bytes, value: object) -> None:
            seen.append(key)
            super().__setitem__(key, value)

    watched = Watched(records)
    with FakeNode(store(watched)) as node:
        for _ in range(2):
            assert run_ckv("demo", "127.0.0.1", str(node.port)).returncode == 0
    assert watched == records
    assert len(seen) == 14
    assert len(set(seen)) == 12, "two runs must not share a key"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("moment", [1, 4, 7, 12, 18])
@pytest.mark.parametrize("reader", ["stays", "goes"])
def test_it_leaves_nothing_when_it_is_ended(
    number: signal.Signals, code: int, moment: int, reader: str, tmp_path: Path
) -> None:
    records: dict[bytes, object] = {}
    reached, told = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        asked = 0
        read = connection.request

        def request() -> object:
            nonlocal asked
            found = read()
            asked += 1
            if asked == moment:
                reached.set()
                assert told.wait(20)
            return found

        connection.request = request  # type: ignore[method-assign]
        store(records)(connection)

    with FakeNode(script, store(records)) as node, start(tmp_path, "127.0.0.1", str(node.port)) as process:
        assert reached.wait(30)
        if reader == "goes":  # as that of `demo | tee` does, which gets the same signal
            assert process.stdout
            process.stdout.close()
            process.stdout = None
        process.send_signal(number)
        process.send_signal(number)  # somebody is impatient
        told.set()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, "")
    assert records == {}


def test_it_leaves_nothing_when_nobody_listens(tmp_path: Path) -> None:
    records: dict[bytes, object] = {}
    with FakeNode(store(records)) as node, start(tmp_path, "127.0.0.1", str(node.port)) as process:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "")
    assert records == {}


@pytest.mark.parametrize(
    ("method", "answer", "difference"),
    [
        ("GET", [True, "bob@gmail.con"], r"GET \S+bob: expected 'bob@gmail.com', got 'bob@gmail.con'"),
        ("GET", [True, b"bob@gmail.com"], r"GET \S+bob: expected 'bob@gmail.com', got b'bob@gmail.com'"),
        ("GET", [False, ""], r"GET \S+bob: expected 'bob@gmail.com', got None"),
        ("DEL", False, r"DEL \S+bob: expected True, got False"),
    ],
)
def test_a_difference_is_named_and_the_records_are_deleted(method: str, answer: object, difference: str) -> None:
    records: dict[bytes, object] = {}

    def liar(connection: Connection) -> None:
        respond = connection.respond
        asked: list[Any] = []

        def lie(msgid: int, result: object, error: object = None) -> None:
            first = asked and asked[-1][2] == method and [request[2] for request in asked].count(method) == 1
            respond(msgid, answer if first else result, error)

        def request() -> object:
            asked.append(read())
            return asked[-1]

        read, connection.request = connection.request, request  # type: ignore[method-assign]
        connection.respond = lie  # type: ignore[method-assign]
        store(records)(connection)

    with FakeNode(liar) as node:
        done = run_ckv("demo", "127.0.0.1", str(node.port))
    assert done.returncode == 1
    assert re.fullmatch(f"ckv: the demo failed: {difference}\n", done.stderr)
    assert LAST_LINE not in done.stdout
    assert records == {}


def test_a_cluster_that_is_not_there() -> None:
    port = free_port()
    done = run_ckv("demo", "127.0.0.1", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"ckv: the demo failed: Unreachable: 127.0.0.1:{port} cannot be reached")
    assert done.stderr.count("\n") == 1


# --- in this process, with a part of it replaced ---------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "note_signals", lambda: None)
    return tmp_path


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    """How the demo fails."""
    assert demo.run(DemoSettings(None)) == 1
    shown = capsys.readouterr()
    assert LAST_LINE not in shown.out
    return shown.err


def test_an_eviction_that_does_not_happen(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def impatient(url: str) -> object:
        monkeypatch.setattr(demo, "PATIENCE", 1.0)  # not before: the nodes need what they need to start
        return open_tier(url)

    monkeypatch.setattr(demo, "CAPACITY", 6)
    monkeypatch.setattr(demo, "open_tier", impatient)
    assert failure(capsys) == ("ckv: the demo failed: the table: expected {'{demo}alice': 'alice@gmail.com'}, got {}\n")
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []


def test_a_node_that_does_not_start(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "program", lambda: ([sys.executable, "-c", "raise SystemExit('no such luck')"], {}))
    assert "got no such luck" in failure(capsys)
    assert list(temporary.iterdir()) == []


def test_a_node_that_stops_badly(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess.Popen, "terminate", subprocess.Popen.kill)
    assert failure(capsys).startswith("ckv: the demo failed: the exit code of the primary: expected 0, got -9\n")
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []


def test_a_compiled_program_starts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ckv", "demo"])
    monkeypatch.setattr(main, "__compiled__", types.SimpleNamespace(process_exe="/opt/ckv/ckv"), raising=False)
    assert demo.program() == (["/opt/ckv/ckv"], {})
    monkeypatch.setattr(main, "__compiled__", types.SimpleNamespace(), raising=False)
    assert demo.program() == (["/usr/bin/ckv"], {})
