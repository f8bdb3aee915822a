"""The command line of Redis, as Debian's redis-tools has it."""

from __future__ import annotations

import shutil
import subprocess
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


def test_login(cli: Cli) -> None:
    """A user and a password: `--user`, `-a`"""
    assert cli("--no-auth-warning", "--user", "default", "-a", "any", "PING") == "PONG\n"


def test_other_database(cli: Cli) -> None:
    """Another database than number 0: `-n`"""
    assert cli("-n", "1", "SELECT", "1") == "OK\n"


def test_scan(cli: Cli, prefix: str) -> None:
    """All keys: `--scan --pattern`"""
    cli("SET", prefix, "1")
    assert cli("--scan", "--pattern", f"{prefix}*") == f"{prefix}\n"


def test_big_keys(cli: Cli, prefix: str) -> None:
    """The longest values: `--bigkeys`"""
    cli("SET", prefix, "1" * 100)
    assert "Biggest string found" in cli("--bigkeys")


def test_mem_keys(cli: Cli, prefix: str) -> None:
    """Those that take most memory: `--memkeys`"""
    cli("SET", prefix, "1" * 100)
    assert "Biggest string found" in cli("--memkeys")


def test_latency(cli: Cli) -> None:
    """How long an answer takes: `--latency`"""
    least, _most, _average, _count = cli("--latency", "-i", "1", "--raw").split()[:4]
    assert float(least) >= 0


def test_stat(cli: Cli, server: Server) -> None:
    """How much a node has to do: `--stat`"""
    assert cli("PING") == "PONG\n"
    words = ["stdbuf", "-oL", "redis-cli", "-h", server.host, "-p", str(server.port), "--stat", "-i", "0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        rows = [shown.stdout.readline().split() for _ in range(4)]
        shown.kill()
    assert rows[1] == ["keys", "mem", "clients", "blocked", "requests", "connections"]
    *_, requests, _, connections = rows[2]
    assert int(requests) >= 2
    assert int(connections) >= 2
    assert int(rows[3][4]) > int(requests)


def test_cluster(cluster: Server) -> None:
    """Who owns what: `--cluster check`, `--cluster info`, and `-c`, which follows `MOVED`"""
    address = f"{cluster.host}:{cluster.port}"
    checked = run(["redis-cli", "--cluster", "check", address])
    assert "All nodes agree about slots configuration" in checked
    assert "All 16384 slots covered" in checked
    assert "keys in 3 masters" in run(["redis-cli", "--cluster", "info", address])
    for number in range(20):
        set_ = ["redis-cli", "-c", "-h", cluster.host, "-p", str(cluster.port), "SET", f"cli:{number}", "1"]
        assert run(set_).endswith("OK\n")


def test_benchmark_in_cluster_mode(cluster: Server) -> None:
    """redis-benchmark: `--cluster`"""
    command = ["redis-benchmark", "-h", cluster.host, "-p", str(cluster.port), "--cluster", "-t", "set,get"]
    assert "Cluster has 3 master nodes" in run([*command, "-n", "1000", "-q"])


def test_benchmark(cli: Cli, server: Server) -> None:
    """redis-benchmark: `-t set,get`, with and without a pipeline"""
    command = ["redis-benchmark", "-h", server.host, "-p", str(server.port), "-t", "set,get", "-n", "1000", "--csv"]
    for depth in ("1", "16"):
        assert run([*command, "-P", depth]).count("\n") == 3
