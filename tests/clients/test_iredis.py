"""The command line that completes and explains commands, which has a redis-py of its own beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.scenarios import run
from tests.clients.server import Server

PACKAGES = Path(sys.prefix) / "clients" / "iredis"
"""Where ``make test-clients`` installs it, with what it needs."""

Cli = Callable[[str], list[str]]


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Cli:
    """What it answers to lines that are typed."""
    if not PACKAGES.exists():
        pytest.skip("iredis is not installed (`make test-clients` does)")
    start = "from iredis.entry import main; main()"
    command = [sys.executable, "-c", start, "-h", server.host, "-p", str(server.port), "--iredisrc", os.devnull]
    # Its history and its log are files in the home folder.
    env = {"PYTHONPATH": str(PACKAGES), "HOME": str(tmp_path)}
    return lambda lines: run(command, lines, env).splitlines()


def test_commands(cli: Cli, prefix: str) -> None:
    """Commands: `SET`, `GET`, `INCR`, `MGET`, `DEL`, and words in quotes"""
    lines = (
        f'set "{prefix}" "1 2"\nget "{prefix}"\nset "{prefix}" 41\nincr "{prefix}"\nmget "{prefix}" "{prefix}none"\n'
    )
    assert cli(f'{lines}del "{prefix}"\n') == ["OK", "1 2", "OK", "42", "42", "", "1"]


def test_peek(cli: Cli, prefix: str) -> None:
    """A value, whatever it is: its own `PEEK`, which asks `TYPE`, `OBJECT ENCODING`, `MEMORY USAGE`, `TTL` and `GET`"""
    found = cli(f'set "{prefix}" abc ex 100\npeek "{prefix}"\n')
    assert found[0] == "OK"
    shown = " ".join(found[1:])
    assert "string" in shown
    assert "abc" in shown


def test_transaction(cli: Cli, prefix: str) -> None:
    """Transactions: `MULTI`, `EXEC`"""
    assert cli(f'multi\nset "{prefix}" 1\nincr "{prefix}"\nexec\n') == ["OK", "QUEUED", "QUEUED", "OK", "2"]


def test_keys(cli: Cli, prefix: str, pattern: str) -> None:
    """All keys of a pattern: `KEYS`"""
    assert cli(f'set "{prefix}" 1\nkeys "{pattern}"\n') == ["OK", prefix]


def test_errors(cli: Cli, prefix: str) -> None:
    """An error is shown, and it goes on"""
    first, second = cli(f'set "{prefix}" 1 nosuch\nset "{prefix}" 1\n')
    assert "ERROR syntax error" in first
    assert second == "OK"
