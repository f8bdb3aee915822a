"""Whoever starts ckv is told which files with a secret others may read, in a line for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckv.address import Address
from ckv.settings import roles
from ckv.settings.exposed import exposed
from ckv.tls import Tls
from tests.support.nodes import Nodes, run_ckv
from tests.support.ports import free_port

PRIMARY = {"<port>": "8080", "<secondary>": []}
PING = {"<host>": "localhost", "<port>": "8080", "--ready": False}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("a-secret")
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440, 0o710])
def test_what_a_group_may_read_is_in_order(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    environ = {"CKV_NODE_PASSWORD_FILE": str(secret), "CKV_MYSQL_PASSWORD_FILE": str(secret)}
    assert exposed(roles.read("primary", PRIMARY, environ), environ) == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o444, 0o602, 0o666])
def test_what_others_may_read_or_change_is_told(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    for variable in ("CKV_NODE_PASSWORD_FILE", "CKV_MYSQL_PASSWORD_FILE"):
        environ = {variable: str(secret)}
        assert exposed(roles.read("primary", PRIMARY, environ), environ) == [(secret, f"{mode:04o}")]
    environ = {"CKV_PASSWORD_FILE": str(secret)}
    assert exposed(roles.read("ping", PING, environ), environ) == [(secret, f"{mode:04o}")]


def test_the_target_of_a_link_counts_as_kubernetes_mounts_them(secret: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret)
    environ = {"CKV_NODE_PASSWORD_FILE": str(link)}
    secret.chmod(0o440)
    assert exposed(roles.read("primary", PRIMARY, environ), environ) == []
    secret.chmod(0o444)
    assert exposed(roles.read("primary", PRIMARY, environ), environ) == [(link, "0444")]


def test_what_is_no_file_or_is_not_read_is_not_looked_at(tmp_path: Path, secret: Path) -> None:
    secret.chmod(0o644)
    environ = {"CKV_NODE_PASSWORD_FILE": os.devnull, "CKV_MYSQL_PASSWORD_FILE": str(tmp_path / "none")}
    assert exposed(roles.read("primary", PRIMARY, environ), environ) == []
    of_database = {"CKV_MYSQL_PASSWORD_FILE": str(secret)}
    assert exposed(roles.read("ping", PING, of_database), of_database) == []


@pytest.mark.parametrize(
    ("written", "has_secret"),
    [
        ('[primary]\ncoordinator = "mysql://me:secret@db/ckv"\n', True),
        ('coordinator = "zk://me:secret@zk1,zk2"\n', True),
        ('coordinator = "mysql://db:3306/ckv"\nnode-password-file = "-"\nsettle = 5\nallow-flush = true\n', False),
    ],
    ids=["mysql", "zookeeper", "none"],
)
def test_a_file_of_options_counts_where_it_has_a_password(tmp_path: Path, written: str, has_secret: bool) -> None:
    path = tmp_path / "ckv.toml"
    path.write_text(written)
    path.chmod(0o644)
    settings = roles.read("primary", {**PRIMARY, "--config": str(path)}, {})
    assert exposed(settings, {}) == ([(path, "0644")] if has_secret else [])
    path.chmod(0o600)
    assert exposed(settings, {}) == []


def test_a_node_logs_it(nodes: Nodes, secret: Path) -> None:
    secret.chmod(0o644)
    node = nodes.start_secondary(env={"CKV_NODE_PASSWORD_FILE": str(secret)})
    (line,) = [line for line in node.log if "secret-exposed" in line]
    assert line.endswith(f"others may read or change {secret}, which has a secret in it: mode 0644")
    assert "WARNING" in line


@pytest.mark.parametrize("role", ["ping", "status", "shell", "slots"])
def test_a_tool_says_it(secret: Path, role: str) -> None:
    secret.chmod(0o644)
    done = run_ckv(role, "127.0.0.1", str(free_port()), f"--password-file={secret}")
    told = f"ckv: others may read or change {secret}, which has a secret in it: mode 0644"
    assert done.stderr.splitlines()[0] == told


def test_the_key_of_a_tool_counts(secret: Path, tmp_path: Path) -> None:
    secret.chmod(0o644)
    tls = Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", secret)
    assert exposed(roles.ToolSettings(Address("localhost", 8080), 1.0, tls=tls), {}) == [(secret, "0644")]
