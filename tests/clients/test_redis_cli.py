"""The command line of Redis, as Debian's redis-tools has it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.clients.scenarios import run
from tests.clients.server import Server

Cli = Callable[..., str]


@pytest.fixture
def cli(server: Server) -> Cli:
    """Calls redis-cli; ``stdin`` is what is typed. With ``-e`` the exit code says whether a command failed."""
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed (Debian: redis-tools)")
    return lambda *words, stdin="": run(["redis-cli", "-e", "-h", server.host, "-p", str(server.port), *words], stdin)


def test_one_command(cli: Cli, prefix: str) -> None:
    """One command: `SET`, `GET`, with `-3`, `--json`, `-x` and `-r`"""
    assert cli("SET", prefix, "1 2") == "OK\n"
    assert cli("GET", prefix) == "1 2\n"
    assert cli("-3", "--json", "MGET", prefix, f"{prefix}none") == '["1 2",null]\n'
    assert cli("-x", "SET", prefix, stdin="from stdin") == "OK\n"
    assert cli("-r", "3", "STRLEN", prefix) == "10\n" * 3


def test_a_script(cli: Cli, prefix: str) -> None:
    """Commands from a file"""
    assert cli(stdin=f"SET {prefix} 1\nGET {prefix}\nDEL {prefix}\n") == "OK\n1\n1\n"


def test_pipe(cli: Cli, prefix: str) -> None:
    """A thousand commands at once: `--pipe`"""
    many = "".join(f"SET {prefix}{number} {number}\r\n" for number in range(1000))
    assert "errors: 0, replies: 1000" in cli("--pipe", stdin=many)
    assert cli("GET", f"{prefix}999") == "999\n"


def test_about_the_server(cli: Cli) -> None:
    """What operators ask: `INFO`, `CLIENT LIST`, `COMMAND DOCS`, `MEMORY USAGE`"""
    assert "role:master" in cli("INFO")
    assert "cmd=" in cli("CLIENT", "LIST") or "lib-name=" in cli("CLIENT", "LIST")
    assert "summary" in cli("COMMAND", "DOCS", "get")


def test_expiry(cli: Cli, prefix: str) -> None:
    """Times to live: `SET EX`, `TTL`"""
    assert cli("SET", prefix, "1", "EX", "100") == "OK\n"
    assert 90 < int(cli("TTL", prefix)) <= 100


def test_transaction(cli: Cli, prefix: str) -> None:
    """Transactions: `MULTI`, `EXEC`"""
    assert cli(stdin=f"MULTI\nSET {prefix} 1\nGET {prefix}\nEXEC\n") == "OK\nQUEUED\nQUEUED\nOK\n1\n"


def test_scan(cli: Cli, prefix: str) -> None:
    """All keys: `--scan --pattern`"""
    cli("SET", prefix, "1")
    assert cli("--scan", "--pattern", f"{prefix}*") == f"{prefix}\n"


def test_big_keys(cli: Cli, prefix: str) -> None:
    """The longest values: `--bigkeys`"""
    cli("SET", prefix, "1" * 100)
    assert "Biggest string found" in cli("--bigkeys")


def test_benchmark(cli: Cli, server: Server) -> None:
    """redis-benchmark: `-t set,get`, with and without a pipeline"""
    command = ["redis-benchmark", "-h", server.host, "-p", str(server.port), "-t", "set,get", "-n", "1000", "--csv"]
    for depth in ("1", "16"):
        assert run([*command, "-P", depth]).count("\n") == 3
