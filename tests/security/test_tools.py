"""The tools for the whole of a cluster, where there are users."""

from __future__ import annotations

import subprocess

import pytest

from tests.security.guarded import Guarded, secret_of
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes, run_ckv


@pytest.fixture
def guarded_primary(nodes: Nodes, guarded: Guarded, mariadb: MariaDB) -> str:
    """The port of a primary over two secondaries with a database."""
    secondaries = [guarded.secondary(persistent=mariadb.address) for _ in range(2)]
    primary = guarded.primary(*secondaries)
    for node in secondaries:
        primary.wait_peer(node.address)
    return str(primary.port)


def run(user: str, role: str, port: str, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {"CKV_PASSWORD": secret_of(user)}
    return run_ckv(role, "127.0.0.1", port, f"--user={user}", *options, env=env, stdin=stdin)


def test_who_may_use_them(guarded_primary: str) -> None:
    line = '{"key": "k", "value": "v"}\n'
    assert run("writer", "import", guarded_primary, stdin=line).stdout.startswith("1 records were stored, ")
    assert run("reader", "export", guarded_primary).stdout == line
    assert run("boss", "flush", guarded_primary).stdout == "1 records were written\n"
    seen = run("reader", "top", guarded_primary, "--once").stdout
    assert seen.count(" serving ") == 3
    asking = run("boss", "top", guarded_primary, "--clients", "--once").stdout
    assert [line.split()[7] for line in asking.splitlines()[2:]] == ["boss"]
    told = run("writer", "top", guarded_primary, "--clients", "--once").stderr
    assert told == "ckv: NotAllowed: CLIENTS is not for users of the class write\n"
    refused = run("writer", "flush", guarded_primary)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "ckv: NotAllowed: SAVE is not for users of the class write\n"
    nobody = run_ckv("top", "127.0.0.1", guarded_primary, "--once")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr.startswith("ckv: LoginNeeded: ")
