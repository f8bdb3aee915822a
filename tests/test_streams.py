"""The standard streams as the program may find them: closed, full, without a reader, in another encoding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ckv import Client
from ckv.errors import Starting
from tests.support.eventually import eventually
from tests.support.fakenode import FakeNode, store
from tests.support.nodes import ROOT, Nodes, ckv_command, ckv_environment, run_ckv

Words = tuple[str, ...]


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    with Nodes() as nodes:
        node = nodes.start_secondary()
        with Client("127.0.0.1", node.port) as client:
            client.put("euro", "\u20ac")
        yield str(node.port)


PRINTING: list[Words] = [
    ("--help",), ("--version",), (), ("secondary",), ("primary", "--help"), ("shell", "--help"),
    ("status", "127.0.0.1", "PORT"), ("status", "127.0.0.1", "PORT", "--format=json"),
    ("shell", "127.0.0.1", "PORT"), ("shell", "127.0.0.1", "PORT", "GET", "euro"),
    ("shell", "--json", "127.0.0.1", "PORT", "INFO"), ("demo", "127.0.0.1", "PORT"), ("demo",),
]  # fmt: skip
"""What prints to stdout."""


def run(port: str, words: Words, redirect: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run ckv from a shell, which can close and redirect what it likes."""
    command = " ".join((*ckv_command(), *words)).replace("PORT", port)
    return subprocess.run(
        ["bash", "-c", f"{command} {redirect}"],
        input=b"GET euro\nINFO\n", capture_output=True, timeout=60, env=ckv_environment(environ), cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_full_disk_is_one_line(port: str, words: Words) -> None:
    done = run(port, words, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, b"ckv: cannot write to stdout: No space left on device\n")


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_closed_stdout_is_one_line(port: str, words: Words) -> None:
    done = run(port, words, ">&-")
    assert (done.returncode, done.stderr) == (1, b"ckv: cannot write to stdout: Bad file descriptor\n")


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_reader_that_has_gone_is_silence(port: str, words: Words) -> None:
    command = [word.replace("PORT", port) for word in (*ckv_command(), *words)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            command, input=b"GET euro\n", stdout=nobody, stderr=subprocess.PIPE, timeout=60,
            env=ckv_environment(), cwd=ROOT,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_what_is_not_needed_may_be_closed(port: str, redirect: str) -> None:
    for words in (("status", "127.0.0.1", "PORT"), ("shell", "127.0.0.1", "PORT", "GET", "euro"), ("--version",)):
        done = run(port, words, redirect)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ping", "127.0.0.1", "1"), 1), (("status", "127.0.0.1", "1"), 1), (("statsu",), 2), (("secondary", "x"), 1),
        (("shell", "127.0.0.1", "1", "PING"), 1), (("secondary", "a:1", "1", "-", "0"), 2), (("demo", "::1", "1"), 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_without_a_stderr_the_exit_code_is_the_same(port: str, words: Words, code: int, redirect: str) -> None:
    assert run(port, words, redirect).returncode == code


@pytest.mark.parametrize("words", [("shell", "127.0.0.1", "PORT"), ("shell", "-x", "127.0.0.1", "PORT", "PUT", "k")])
def test_a_closed_stdin_is_one_line(port: str, words: Words) -> None:
    done = run(port, words, "<&-")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"ckv: cannot read stdin: Bad file descriptor\n"


def test_a_node_needs_none_of_them(tmp_path: os.PathLike[str]) -> None:
    # And no connection gets the number of one: what is written to stderr would go to a client.
    path = os.path.join(tmp_path, "port")
    script = f"exec {' '.join(ckv_command())} secondary 127.0.0.1:1 0 sqlite:{tmp_path}/x.db <&- >&- 2>&-"
    process = subprocess.Popen(["bash", "-c", script], env=ckv_environment(), cwd=ROOT)
    try:
        found = eventually(lambda: _listening(process.pid), what=f"a port, {path}")
        assert found is not None
        with Client("127.0.0.1", found) as client:
            # It has no log that could tell when it is ready.
            eventually(lambda: _is_put(client), what="it serves")
            assert client.get("a") == "1"
            kept = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 1, 2)]
        assert kept == ["/dev/null"] * 3
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _is_put(client: Client) -> bool:
    with suppress(Starting):
        client.put("a", "1")
        return True
    return False


def _listening(pid: int) -> int | None:
    """The port that a process listens on."""
    try:
        own = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    except OSError:
        return None
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                return int(fields[1].rpartition(":")[2], 16)
    return None


@pytest.mark.parametrize(
    "environ",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"},
     {"PYTHONIOENCODING": "latin-1:strict"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)  # fmt: skip
def test_a_character_that_the_terminal_lacks(environ: dict[str, str]) -> None:
    # The demo prints what it got; scripts get bytes, whatever the encoding is.
    with FakeNode(store({b"euro": "\u20ac"})) as node:
        done = run(str(node.port), ("shell", "127.0.0.1", "PORT"), "", **environ)
        assert done.stdout == "\u20ac\n".encode()
    refused = run_ckv("status", "\u20ac", "1", env=environ)
    assert refused.returncode == 2
    assert refused.stderr.startswith("ckv: <host>: ")
    assert refused.stderr.count("\n") == 1


CLOSED = """
import os, sys
from ckv import streams
streams.prepare()
print("lost", file=sys.stderr)
own = os.open("/dev/null", os.O_RDONLY)
os._exit(own)
"""


@pytest.mark.parametrize("closed", [(0,), (2,), (1, 2), (0, 1, 2)])
def test_no_file_gets_the_number_of_one_that_was_closed_at_start(closed: tuple[int, ...]) -> None:
    close = " ".join(f"{fd}>&-" for fd in closed)
    run = subprocess.run(["bash", "-c", f'exec "$0" -c "$1" {close}', sys.executable, CLOSED], cwd=ROOT, timeout=30)
    assert run.returncode > 2
