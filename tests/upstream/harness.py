"""Has the tests of Redis or Valkey run, one file after the other, and tells how each test ended.

Their ``test_helper.tcl`` has two roles: one that hands out files and prints what comes of them, and a client that runs
the files. The first role is here. Messages to the client are a line with the length, and that many bytes of a list of
Tcl; its own are changed by ``external.tcl``.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

EXTERNAL: Final = Path(__file__).parent / "external.tcl"

SILENCE: Final = 60.0
"""Seconds without a message after which a test counts as one that hangs."""

BETWEEN: Final = "(between the tests)"
"""The name of what a file does outside its tests."""

ELSEWHERE: Final = "(a server of its own)"
"""The name of tests that want to start a server, whose own names nobody tells."""

DENIED: Final = ("needs:debug", "needs:repl", "needs:config-maxmemory", "needs:config-resetstat", "needs:save",
                 "needs:latency", "needs:pfdebug")  # fmt: skip
"""Tags of what no server but their own has; what comes of them is an ``ignored`` test."""

_WHY_IGNORED: Final = re.compile(r"(?:(?P<name>.*): )?(?P<why>Tag: |Not supported |large memory )", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended."""

    name: str
    """Unique in its file: further tests of a name are numbered."""

    result: str
    """``ok``, ``failed`` or ``ignored``."""

    text: str = ""
    """What the test said, where it is not ok."""


class Hangs(Exception):
    """A test neither passes nor fails. The tests behind it are not known."""


def run_file(source: Path, unit: str, port: int) -> list[Outcome]:
    """Run a file of tests, such as ``unit/expire``, against the node at ``port``, in its order.

    ``source`` is the folder that holds their folder ``tests``.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(1)
        with subprocess.Popen(
            [
                *("tclsh", "tests/test_helper.tcl", "--client", str(listener.getsockname()[1])),
                *("--host", "127.0.0.1", "--port", str(port), "--singledb", "--durable"),
                *("--ignore-encoding", "--ignore-digest", "--tags", " ".join(f"-{tag}" for tag in DENIED)),
            ],
            cwd=source,
            env={**os.environ, "VALKEY_BIN_DIR": str(source.parent / "no-programs")},
            stdin=subprocess.DEVNULL,
        ) as tclsh:
            try:
                connection = _accept(listener, tclsh)
                with connection, connection.makefile("rb") as incoming:
                    connection.settimeout(SILENCE)
                    return list(_numbered(_run(connection, incoming, unit)))
            finally:
                tclsh.kill()


def _accept(listener: socket.socket, tclsh: subprocess.Popen[bytes]) -> socket.socket:
    while True:
        try:
            return listener.accept()[0]
        except TimeoutError:
            if tclsh.poll() is not None:
                raise AssertionError(f"tclsh ended at once, with {tclsh.returncode}") from None


def _run(connection: socket.socket, incoming: BufferedReader, unit: str) -> Iterator[Outcome]:
    ready = int(incoming.readline())
    incoming.read(ready)
    _send(connection, f"run_code {{external external {{source {{{EXTERNAL}}}}}}}")
    _receive(incoming, "being told what is different")
    _send(connection, f"run {unit}")
    name = ""
    while True:
        status, text = _receive(incoming, name)
        if status == "done":
            return
        if status == "exception":
            raise AssertionError(f"{unit} ended after {name!r}: {text}")
        if status == "testing":
            name = text
        elif status == "ok":
            yield Outcome(name, "ok")
        elif status == "err":
            yield Outcome(name, "failed", text)
        elif status == "between":
            yield Outcome(BETWEEN, "failed", text)
        elif status in ("ignore", "skip"):
            found = _WHY_IGNORED.match(text)
            yield Outcome((found and found["name"]) or ELSEWHERE, "ignored", text)


def _send(connection: socket.socket, message: str) -> None:
    connection.sendall(f"{len(message)}\n{message}".encode())


def _receive(incoming: BufferedReader, name: str) -> tuple[str, str]:
    try:
        words = incoming.readline().decode().split()
    except TimeoutError:
        raise Hangs(f"nothing for {SILENCE:g} s: {name}") from None
    if len(words) != 2:
        raise AssertionError(f"tclsh ended after {name!r}")
    status, data = (bytes.fromhex(word[1:]).decode() for word in words)
    return status, data


def _numbered(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    seen: Counter[str] = Counter()
    for outcome in outcomes:
        name = " ".join(outcome.name.split())
        seen[name] += 1
        yield Outcome(name if seen[name] == 1 else f"{name} ({seen[name]})", outcome.result, outcome.text)
