"""The transcripts of the README and of docs/first-steps.md, typed into a shell at a terminal, line by line.

Only what a machine cannot promise is replaced: the ports, the server that listens at 3306, and the file in /tmp.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, ckv_command
from tests.support.ports import free_port
from tests.support.terminal import terminal

PAGES = [ROOT / "README.md", ROOT / "docs" / "first-steps.md"]
TRANSCRIPTS = [
    text
    for page in PAGES
    for text in re.findall(r"<!-- transcript: .*?-->\n```console\n(.*?)```", page.read_text(), re.DOTALL)
]

PROMPT = re.compile(r"^(?:\$|ckv localhost:\d+>) ")
TABLE_FRAME = ["+---+", "| head |", "+---+", "+---+"]


def has_rows(mariadb: MariaDB, count: int) -> bool:
    return len(mariadb.rows()) == count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="types into a pseudo-terminal")
@pytest.mark.parametrize("number", range(len(TRANSCRIPTS)))
def test_the_transcript_works_as_typed(number: int, mariadb: MariaDB, tmp_path: Path) -> None:
    text = TRANSCRIPTS[number]
    ports = {port: str(free_port()) for port in sorted(set(re.findall(r"\b808\d\b", text)))}
    ports["3306"] = mariadb.address.rpartition(":")[2]
    text = re.sub(r"\b(808\d|3306)\b", lambda found: ports[found[0]], text).replace("/tmp/", f"{tmp_path}/")
    lines = text.splitlines()
    with terminal(tmp_path, ROOT) as screen:
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
            if command.startswith("ckv shell") and not answer:
                screen.expect(f"ckv localhost:{command.split()[-1]}> ")
                continue
            for expected in answer:
                screen.expect(expected + "\n")
        screen.type("exit")


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) == 3
