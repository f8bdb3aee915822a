"""What is typed, and what comes back: real processes at a real terminal."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ckv_command
from tests.support.ports import free_port, is_listening
from tests.support.products import Template
from tests.support.terminal import PROMPT, TIMEOUT, terminal

COMMANDS: Final = (
    "mariadbd &",
    "ckv secondary localhost:8080 8081 localhost:3306 1000 --write-mode=behind 2>log &",
    "ckv primary 8080 localhost:8081 2>>log &",
    "tail -1 users.jsonl  # the last of 10,000, and memory has room for 1,000",
    "ckv import localhost 8080 <users.jsonl 2>>log",
    "ckv shell localhost 8080 GET user:1  # memory has given it up: it comes from the database",
    "kill -9 %1  # the database is killed",
    "ckv shell localhost 8080 GET user:10000  # what memory holds is read",
    "ckv shell localhost 8080 PUT user:10000 new@example.com  # and writes are accepted",
    "ckv shell localhost 8080 GET user:2  # but what memory has given up is out of reach",
    "mariadbd &  # the database comes back",
    "ckv verify localhost 8081 localhost:3306",
)

RECORDS: Final = 10_000

DATABASE, NODE, PRIMARY = "3306", "8081", "8080"
"""The ports that are shown. Those that are used are free ones."""

_OF_JOBS: Final = re.compile(r"\[\d+\]")
"""How lines begin in which the shell tells of its jobs: they have numbers of processes, and are not shown."""


@dataclass(frozen=True)
class Step:
    """A command, what it has shown, and how long that took."""

    command: str
    output: tuple[str, ...]
    seconds: float


def play(template: Template) -> list[Step]:
    """Types all of it. Raises AssertionError if the terminal stays silent, or a server does not listen."""
    with tempfile.TemporaryDirectory(prefix="ckv-recording-") as name:
        folder = Path(name)
        _make_records(folder / "users.jsonl")
        (folder / "mariadb").mkdir()
        server = MariaDB(folder / "mariadb", template)
        ports = {DATABASE: server.port, NODE: free_port(), PRIMARY: free_port()}
        ckv, mariadbd = shlex.join(ckv_command()), f"{shlex.join(server.command)} >>errors 2>&1"
        with terminal(folder, folder) as screen:
            screen.type(f"alias ckv={shlex.quote(ckv)} mariadbd={shlex.quote(mariadbd)}")
            screen.expect(PROMPT)
            steps = []
            for command in COMMANDS:
                _wait_as_a_person(command, ports[NODE])
                typed = _with_ports(command, ports)
                began = time.monotonic()
                screen.type(typed)
                echo, *output = screen.expect(PROMPT).splitlines()
                assert echo == typed
                _wait_for_server(command, ports)
                shown = [_as_shown(line, ports) for line in output if not _OF_JOBS.match(line)]
                steps.append(Step(command, tuple(shown), time.monotonic() - began))
    return steps


def _make_records(path: Path) -> None:
    records = ({"key": f"user:{number}", "value": f"user{number}@example.com"} for number in range(1, RECORDS + 1))
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def _with_ports(command: str, ports: dict[str, int]) -> str:
    return re.sub(r"\b(3306|808\d)\b", lambda found: str(ports[found[0]]), command)


def _as_shown(line: str, ports: dict[str, int]) -> str:
    for shown, port in ports.items():
        line = line.replace(str(port), shown)
    return line


def _wait_for_server(command: str, ports: dict[str, int]) -> None:
    """After a command that starts one. Who types by hand is slower than that."""
    words = shlex.split(command, comments=True)
    if words[-1] == "&":
        started = {"mariadbd": DATABASE, "secondary": NODE, "primary": PRIMARY}
        (port,) = (ports[shown] for name, shown in started.items() if name in words)
        eventually(lambda: is_listening(port), TIMEOUT, f"{command} listens")


def _wait_as_a_person(command: str, port: int) -> None:
    """Before a command that shows something else right after the one before it."""
    if "GET user:2" in command:
        eventually(lambda: _figures(port)["database_state"] == "down", TIMEOUT, "the node knows that it is away")
    if "verify" in command:
        eventually(lambda: _figures(port)["records_clean"] == _figures(port)["records"], TIMEOUT, "all is saved")


def _figures(port: int) -> dict[str, object]:
    with Client("127.0.0.1", port) as client:
        figures = client.call("INFO")
    assert isinstance(figures, dict)
    return figures
