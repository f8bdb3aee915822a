"""The pods of an overlay as processes of this machine: their arguments, variables, probes and end are the real ones."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ckv import Client
from tests.deploy.commandline import PASSWORD_FILE
from tests.deploy.rendered import OVERLAYS, Cluster, Container, objects
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv

PASSWORD = "as in the Secret"


@pytest.fixture
def account(mariadb: MariaDB) -> Iterator[str]:
    """The account that MySQL's image makes of its variables: it may do anything in its one database, and no more."""
    mariadb.query("CREATE DATABASE celonis")
    mariadb.query("CREATE OR REPLACE USER ckv@'%%' IDENTIFIED BY %s", [PASSWORD])
    mariadb.query("GRANT ALL ON celonis.* TO ckv@'%'")
    yield mariadb.address
    mariadb.query("DROP USER ckv@'%'")


def run_pod(nodes: Nodes, container: Container, port_at: int, local: Mapping[str, str], password: Path) -> Node:
    """Starts a container's program with the addresses of this machine in place of the cluster's."""
    arguments = [local.get(word, word) for word in container.args]
    arguments[port_at] = "0"
    env = {**container.environ, "CKV_BIND": "127.0.0.1"}
    if PASSWORD_FILE in env:
        env[PASSWORD_FILE] = str(password)
    return nodes.start(arguments, port_at, env=env)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_pods_make_a_cluster(overlay: Path, account: str, mariadb: MariaDB, nodes: Nodes, tmp_path: Path) -> None:
    cluster = Cluster(objects(overlay))
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")  # as `base64` writes it
    local = {"ckv-mysql:3306": account}
    members = []
    for number in range(secondary.workload["spec"]["replicas"]):
        member = run_pod(nodes, secondary, 2, local, password)
        local[f"ckv-secondary-{number}.ckv-secondary:8081"] = member.address
        members.append(member)
    router = run_pod(nodes, primary, 1, local, password)
    for member in members:
        router.wait_peer(member.address)

    for container, node in ((primary, router), (secondary, members[0])):
        for probe in container.probes.values():
            _, *command = probe["exec"]["command"]
            ping = run_ckv(*(str(node.port) if word.isdecimal() else word for word in command))
            assert (ping.returncode, ping.stderr) == (0, "")

    keys = [f"user:{number}" for number in range(100)]
    with Client("127.0.0.1", router.port) as client:
        for key in keys:
            client.put(key, f"{key}@gmail.com")
        assert [client.get(key) for key in keys] == [f"{key}@gmail.com" for key in keys]

    for node in (router, *members):
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
    assert mariadb.query("SELECT COUNT(*) FROM CelonisData", database="celonis") == [(len(keys),)]
