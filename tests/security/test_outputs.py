"""No secret stands in what nodes and tools say: in logs at the level debug, answers, pages, or arguments."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.security.guarded import RIGHTS, Resp, rpc, secret_of, write_users
from tests.security.sealed import Sealed
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.wire import RemoteError

ACCOUNT: Final = "ckv_outputs"
DATABASE_SECRET: Final = "the-secret-of-the-database-8f1c2d"


def answers(node: Node) -> Iterator[str]:
    """What it answers to those who ask about it, and to wrong logins, some of which have a secret in a wrong place."""
    with rpc(node, "boss") as boss, Resp(node, "boss") as resp, rpc(node) as nobody:
        yield repr(boss.call("INFO"))
        yield repr(boss.call("NODES"))
        for words in (("CLIENT", "LIST"), ("CLIENT", "INFO"), ("INFO",), ("CONFIG", "GET", "*"), ("COMMAND",)):
            yield repr(resp.call(*words))
        for name, secret in ((secret_of("boss"), "x"), ("boss", secret_of("writer")), (secret_of("boss"), "")):
            with pytest.raises(RemoteError) as caught:
                nobody.call("AUTH", name, secret)
            yield str(caught.value)
            yield str(resp.call("AUTH", name, secret))
            yield str(resp.call("AUTH", secret, name, "x"))
        assert resp.call("AUTH", secret_of("boss")).startswith("-WRONGPASS ")
        nobody.notify("AUTH", "boss", secret_of("boss"))
        yield str(resp.call("HELLO", "3", "AUTH", "boss", secret_of("writer"), "SETNAME"))
        slow = repr(resp.call("SLOWLOG", "GET", "-1"))
        assert "AUTH" in slow
        yield slow
        yield repr(boss.call("SLOWLOG", 128))


def pages(node: Node) -> Iterator[str]:
    """What it tells over HTTP."""
    found = re.search(r"http://[\d.:]+", node.wait_for_log("health checks are at"))
    assert found
    for path in ("/", "/metrics", "/livez?verbose", "/readyz?verbose"):
        with urllib.request.urlopen(f"{found[0]}{path}", timeout=10) as answer:
            yield answer.read().decode()


def tools(node: Node) -> Iterator[str]:
    """What the roles say that ask it, with a right secret and a wrong one."""
    place = ("127.0.0.1", str(node.port))
    for secret in (secret_of("boss"), secret_of("writer")):
        env = {"CKV_USER": "boss", "CKV_PASSWORD": secret}
        top = (("top", "--once"), ("top", "--clients", "--once"))
        for role, *more in (("status",), ("ping", "--ready"), *top, ("shell", "PING")):
            done = run_ckv(role, *place, *more, env=env)
            yield done.stdout + done.stderr


def test_no_secret_stands_in_any_output(sealed: Sealed, nodes: Nodes, mariadb: MariaDB, tmp_path: Path) -> None:
    users = write_users(tmp_path / "users")
    options = sealed.options(f"--users={users}", "--tls-plain=clients", "--log-level=debug", "--slow-time=0s")
    env = {"CKV_NODE_PASSWORD": secret_of("node"), "CKV_MYSQL_USER": ACCOUNT, "CKV_MYSQL_PASSWORD": DATABASE_SECRET}
    with mariadb.account(ACCOUNT, DATABASE_SECRET):
        mariadb.query("GRANT ALL ON celonis.* TO %s@%s", (ACCOUNT, "127.0.0.1"))
        secondary = nodes.start_secondary(
            persistent=mariadb.address, options=[*options, "--http=0", "--log-format=json"], env=env
        )
        primary = nodes.start_primary(secondary, options=[*options, "--http=0"], env=env)
        primary.wait_peer(secondary.address)
        shown = [text for node in (primary, secondary) for text in (*answers(node), *pages(node), *tools(node))]
        mariadb.query("ALTER USER %s@%s IDENTIFIED BY 'another'", (ACCOUNT, "127.0.0.1"))
        mariadb.end_connections("celonis")
        with rpc(secondary, "writer") as writer:
            writer.request("GET", "not in memory")
            secondary.wait_for_log("Access denied", timeout=20)
        for node in (primary, secondary):
            shown.append(Path(f"/proc/{node.pid}/cmdline").read_text())
            node.signal(signal.SIGHUP)
            node.wait_for_log("certificate read from")
            shown += node.log
    kept = [line.split()[2].partition(":")[2] for line in users.read_text().splitlines()]
    key = sealed.node.key_path.read_text().splitlines()[1]
    for secret in (*map(secret_of, RIGHTS), DATABASE_SECRET, key, *kept):
        assert not [text for text in shown if secret in text]
