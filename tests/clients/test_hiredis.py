"""hiredis, the client in C that others are built on, compiled here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.scenarios import run
from tests.clients.server import Server

SOURCE = Path(__file__).parent / "c" / "hiredis.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    header = "#include <hiredis/hiredis.h>"
    if (
        compiler is None
        or subprocess.run([compiler, "-E", "-"], input=header, text=True, capture_output=True).returncode
    ):
        pytest.skip("a compiler and hiredis are not there (Debian: gcc, libhiredis-dev)")
    made = str(tmp_path_factory.mktemp("hiredis") / "program")
    run([compiler, "-Wall", "-Werror", "-o", made, str(SOURCE), "-lhiredis"])
    return made


def test_values(program: str, server: Server, prefix: str) -> None:
    """Values, counters and times to live: `redisCommand`"""
    run([program, server.host, str(server.port), prefix, "values"])


def test_pipeline(program: str, server: Server, prefix: str) -> None:
    """A thousand commands at once: `redisAppendCommand`, `redisGetReply`"""
    run([program, server.host, str(server.port), prefix, "pipeline"])
