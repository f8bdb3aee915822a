"""The README's transcripts, typed into a shell at a terminal, line by line.

Only what a machine cannot promise is replaced: the ports, and the server that listens at 3306.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, ckv_command, ckv_environment
from tests.support.ports import free_port

README = (ROOT / "README.md").read_text()
TRANSCRIPTS = re.findall(r"<!-- transcript: .*?-->\n```console\n(.*?)```", README, re.DOTALL)

PROMPT = re.compile(r"^(?:\$|ckv localhost:\d+>) ")
SHELL_PROMPT = "typed-by-a-test$ "
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x07|\r")
TABLE_FRAME = ["+---+", "| head |", "+---+", "+---+"]
TIMEOUT = 30.0


class Terminal:
    """bash at a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self._master, slave = pty.openpty()
        environment = ckv_environment({"PS1": SHELL_PROMPT, "TERM": "dumb", "HOME": str(folder), "HISTFILE": ""})
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
        os.close(slave)
        self._text = ""
        self.expect(SHELL_PROMPT)

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def expect(self, text: str) -> None:
        """Waits for the text and takes it off the screen, with everything before it."""
        self.wait_for(text)
        self._text = self._text.partition(text)[2]

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while text not in self._text:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear; on the screen:\n{self._text}"
            self._text += ESCAPES.sub("", os.read(self._master, 65536).decode("utf-8", "replace"))

    def close(self) -> None:
        # bash -i gives each job its own process group; what they share is the session.
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                session = int(status.read_text().rpartition(")")[2].split()[3])
                if session == self._process.pid:
                    os.kill(int(status.parent.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass  # it ended by itself meanwhile
        self._process.wait()
        os.close(self._master)


@contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    opened = Terminal(folder)
    try:
        yield opened
    finally:
        opened.close()


def has_rows(mariadb: MariaDB, count: int) -> bool:
    return len(mariadb.rows()) == count


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="types into a pseudo-terminal")
@pytest.mark.parametrize("number", range(len(TRANSCRIPTS)))
def test_the_transcript_works_as_typed(number: int, mariadb: MariaDB, tmp_path: Path) -> None:
    text = TRANSCRIPTS[number]
    ports = {port: str(free_port()) for port in sorted(set(re.findall(r"\b808\d\b", text)))}
    ports["3306"] = mariadb.address.rpartition(":")[2]
    text = re.sub(r"\b(808\d|3306)\b", lambda found: ports[found[0]], text)
    lines = text.splitlines()
    with terminal(tmp_path) as screen:
        for index, line in enumerate(lines):
            prompt = PROMPT.match(line)
            if prompt is None:
                continue
            command = line[prompt.end() :]
            answer = []
            for follower in lines[index + 1 :]:
                if PROMPT.match(follower):
                    break
                answer.append(follower)
            if command.startswith("alias ckv="):
                command = f"alias ckv='{' '.join(ckv_command())}'"
            if "mariadb " in command:
                # An eviction is on its way for a moment; who types sees it done.
                shown = len(answer) - len(TABLE_FRAME)
                eventually(partial(has_rows, mariadb, shown), what=f"what {command} shows")
            screen.type(command)
            if command.startswith("ckv shell"):
                screen.expect(f"ckv localhost:{command.split()[-1]}> ")
                continue
            if command.endswith("&"):
                port = int(command.split()[3 if "secondary" in command else 2])
                eventually(partial(listening, port), timeout=TIMEOUT, what=f"{command} listening")
                if "primary" in command:
                    screen.wait_for("peer localhost:" + ports["8081"] + " connected")
                    screen.wait_for("peer localhost:" + ports["8082"] + " connected")
            for expected in answer:
                screen.expect(expected + "\n")
        screen.type("exit")


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) == 2
