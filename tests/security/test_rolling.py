"""A plain cluster gets TLS and users while it runs, in the steps of docs/security.md, and no call fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckv import Tls
from ckv.errors import CkvError, LoginNeeded
from tests.security.changing import Changing
from tests.security.guarded import secret_of, write_users
from tests.security.load import NOBODY, Access, Load
from tests.support.certificate import Authority
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.support.wire import RawClient


def test_a_plain_cluster_gets_tls_and_users_without_a_lost_call(nodes: Nodes, mariadb: MariaDB, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    node = authority.issue("node")
    secret = tmp_path / "secret"
    secret.write_text(secret_of("node"))
    certificates = [f"--tls-cert={node.path}", f"--tls-key={node.key_path}", f"--tls-ca={authority.path}"]
    login = f"--node-password-file={secret}"
    tls = Tls(authority.path)
    cluster = Changing(nodes, mariadb.address)
    with Load(cluster.port, NOBODY) as load:
        for _ in cluster.start_again(*certificates, "--tls-plain=all"):
            load.goes_on()
        for _ in cluster.start_again(*certificates, "--tls-plain=clients", login):
            load.goes_on()
        load.come_by(Access("writer", secret_of("writer"), tls))
        cluster.access = Access("boss", secret_of("boss"), tls)
        for _ in cluster.start_again(*certificates, login, f"--users={write_users(tmp_path / 'users')}"):
            load.goes_on()
    for each in cluster.all:
        with pytest.raises((CkvError, ConnectionError)), RawClient(each.address) as plain:
            plain.call("GET", "a")
    with pytest.raises(LoginNeeded), Access(tls=tls).client(cluster.port) as nobody:
        nobody.get("a")
