"""The pods of an overlay as processes of this machine: their arguments, variables, probes and end are the real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import ckv
from ckv import Client
from ckv.tools.slots import read
from tests.deploy.certificate import make_certificate
from tests.deploy.commandline import DATABASE_CA, NODE_PASSWORD_FILE, PASSWORD_FILE, TLS, USERS
from tests.deploy.joining import zoo_cfg
from tests.deploy.rendered import DEPLOY, OVERLAYS, Cluster, Container, objects
from tests.deploy.statefulset import StatefulSet
from tests.deploy.test_component import MYSQL_TLS, ZOOKEEPER, with_components
from tests.deploy.test_component import TLS as TLS_OF_NODES
from tests.deploy.test_component import USERS as LOGINS
from tests.deploy.visitors import Visitors
from tests.support.encrypted import Encrypted
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port
from tests.support.zookeeper import Ensemble
from tests.system.coordinated import all_answered

PASSWORD = "as in the Secret"

SETTLE = {"CKV_SETTLE": "200ms"}
"""A test cannot wait for half a minute before shares are levelled."""


@pytest.fixture
def mariadb(encrypted: Encrypted) -> MariaDB:
    """With the certificate that the nodes of an overlay may look for."""
    return encrypted.server


@pytest.fixture
def account(mariadb: MariaDB) -> Iterator[str]:
    """The account that MySQL's image makes of its variables: it may do anything in its one database, and no more."""
    mariadb.query("CREATE DATABASE celonis")
    with mariadb.account("ckv", PASSWORD, host="%"):
        mariadb.query("GRANT ALL ON celonis.* TO ckv@'%'")
        yield mariadb.address


@dataclass
class Pods:
    """Both roles of an overlay, the primaries started."""

    primaries: StatefulSet
    secondaries: StatefulSet


@pytest.fixture
def files(encrypted: Encrypted, tmp_path: Path) -> dict[str, Path]:
    """What stands for the files of Secrets, by the variable with the path."""
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")  # as `base64` writes it
    return {PASSWORD_FILE: password, DATABASE_CA: encrypted.authority.path}


def pods_of(
    overlay: Path, account: str, nodes: Nodes, files: Mapping[str, Path], elsewhere: Mapping[str, str] | None = None
) -> Pods:
    """``elsewhere``: what stands for further addresses of the cluster on this machine."""
    cluster = Cluster(objects(overlay))
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    count = primary.workload["spec"]["replicas"]
    ports = {number: free_port() for number in range(count)}
    here = {"ckv-mysql:3306": account, **(elsewhere or {})}
    for number, port in ports.items():
        at = f"{primary.of_pod(number).pod_name}.{primary.workload['spec']['serviceName']}"
        here |= {f"{at}:{primary.port_numbers[0]}": f"127.0.0.1:{port}", at: "127.0.0.1"}
    made = Pods(
        StatefulSet(nodes, primary, here, files, SETTLE, ports),
        StatefulSet(nodes, secondary, here, files, {}),
    )
    made.primaries.start_all(count)
    return made


def answers_probes(container: Container, node: Node) -> None:
    for probe in container.probes.values():
        _, *command = probe["exec"]["command"]
        ping = run_ckv(*(str(node.port) if word.isdecimal() else word for word in command))
        assert (ping.returncode, ping.stderr) == (0, "")


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_pods_make_a_cluster(
    overlay: Path, account: str, mariadb: MariaDB, nodes: Nodes, files: dict[str, Path]
) -> None:
    pods = pods_of(overlay, account, nodes, files)
    pods.secondaries.scale(2)
    cluster = Cluster(objects(overlay))
    for role, started in (("primary", pods.primaries), ("secondary", pods.secondaries)):
        (container,) = cluster.of_role(role)
        for number, node in enumerate(started.pods):
            started.wait_ready(number)
            answers_probes(container, node)

    keys = [f"user:{number}" for number in range(100)]
    one, other = pods.primaries.pods
    with Client("127.0.0.1", one.port) as client:
        for key in keys:
            client.put(key, f"{key}@gmail.com")
    with Client("127.0.0.1", other.port) as client:
        assert [client.get(key) for key in keys] == [f"{key}@gmail.com" for key in keys]

    pods.secondaries.scale(0)
    pods.primaries.scale(0)
    assert mariadb.query("SELECT COUNT(*) FROM CelonisData", database="celonis") == [(len(keys),)]


def test_with_users_and_tls_the_pods_serve_whoever_logs_in(
    account: str, mariadb: MariaDB, nodes: Nodes, files: dict[str, Path], tmp_path: Path
) -> None:
    make_certificate(tmp_path, "node", "DNS:ckv")
    users, secrets = tmp_path / "users", {}
    for user, of in (("node", "node"), ("app", "write")):
        added = run_ckv("user", "add", str(users), user, f"--class={of}")
        assert added.returncode == 0, added.stderr
        secrets[user] = added.stdout.strip()
    (tmp_path / "node-password").write_text(secrets["node"])
    files |= dict.fromkeys((NODE_PASSWORD_FILE, "CKV_PASSWORD_FILE"), tmp_path / "node-password")
    files |= dict(zip(TLS, (tmp_path / name for name in ("node.crt", "node.key", "ca.crt")), strict=True))
    files |= {USERS: users}

    overlay = with_components(DEPLOY / "overlays/local", tmp_path / "overlay", *(MYSQL_TLS, TLS_OF_NODES, LOGINS))
    pods = pods_of(overlay, account, nodes, files)
    pods.secondaries.scale(1)
    pods.primaries.wait_ready(0)
    tls = ckv.Tls(tmp_path / "ca.crt", name="ckv")
    with Client(f"ckvs://app:{secrets['app']}@127.0.0.1:{pods.primaries.pods[0].port}", tls=tls) as client:
        client.put("bob", "bob@gmail.com")
        assert client.get("bob") == "bob@gmail.com"
    pods.secondaries.scale(0)
    pods.primaries.scale(0)
    assert mariadb.rows() == {b"bob": b"bob@gmail.com"}


def test_primaries_decide_by_the_zookeeper_of_the_component(
    account: str, stopped_ensemble: Ensemble, nodes: Nodes, files: dict[str, Path], tmp_path: Path
) -> None:
    overlay = with_components(DEPLOY / "overlays/local", tmp_path / "overlay", ZOOKEEPER)
    cluster = Cluster(objects(overlay))
    servers = cluster.zookeeper
    assert servers is not None
    # Here they listen on the loopback alone, and no machine has their names.
    shipped = {key: value for key, value in zoo_cfg(cluster).items() if key != "quorumListenOnAllIPs"}
    stopped_ensemble.start(shipped)
    names = [f"{servers.of_pod(number).pod_name}.{servers.workload['spec']['serviceName']}" for number in range(3)]
    elsewhere = dict(zip(names, (server.address for server in stopped_ensemble.servers), strict=True))
    pods = pods_of(overlay, account, nodes, files, elsewhere)
    pods.secondaries.scale(2)
    for number in range(2):
        pods.primaries.wait_ready(number)
    wait_level(pods.primaries, pods.secondaries)
    stopped_ensemble.leader().kill()
    pods.secondaries.scale(3)
    wait_level(pods.primaries, pods.secondaries)
    pods.secondaries.scale(0)
    pods.primaries.scale(0)


def wait_level(primaries: StatefulSet, secondaries: StatefulSet) -> None:
    """Until these secondaries have all slots, as many as each should have, by what the leader says."""
    names = {node.name for node in secondaries.pods}

    def level() -> bool:
        for primary in primaries.pods:
            with Client("127.0.0.1", primary.port, timeout=20) as client:
                figures = client.call("INFO")
                if isinstance(figures, dict) and figures["cluster_leads"]:
                    counts = {row[0]: row[5] for row in read(client)[0] if row[5]}
                    assert counts.keys() == names, counts
                    assert max(counts.values()) - min(counts.values()) <= 1, counts
                    return True
        return False

    eventually(level, 30, f"the slots are those of {', '.join(sorted(names))}")


def test_scaling_and_rolling_restarts_lose_nothing(
    account: str, mariadb: MariaDB, nodes: Nodes, files: dict[str, Path]
) -> None:
    pods = pods_of(DEPLOY / "overlays/local", account, nodes, files)
    primaries, secondaries = pods.primaries, pods.secondaries
    secondaries.scale(3)
    primaries.wait_ready(0)
    primaries.wait_ready(1)
    with Visitors(primaries.pods[0]) as visitors:
        for replicas in (5, 2, 3):
            secondaries.scale(replicas)
            wait_level(primaries, secondaries)
            visitors.check()

        before = [node.address for node in secondaries.pods]
        secondaries.restart()
        wait_level(primaries, secondaries)
        visitors.check()
        assert not set(before) & {node.address for node in secondaries.pods}, "pods come back at other addresses"

        # The Service sends nobody to a pod that is stopped, which serves for 5 s after that.
        for number in (1, 0):
            visitors.send_to(primaries.pods[1 - number])
            primaries.replace(number)
            visitors.check()
        wait_level(primaries, secondaries)
    assert visitors.wrong == []
    assert all(all_answered(primary, visitors.latest) for primary in primaries.pods)
    secondaries.scale(0)
    assert mariadb.query("SELECT COUNT(*) FROM CelonisData", database="celonis") == [(len(visitors.latest),)]
    primaries.scale(0)
    primaries.start_all(2)
    secondaries.scale(2)

    def all_there() -> bool:
        return all(all_answered(primary, visitors.latest) for primary in primaries.pods)

    # The slots are those of the pod that stopped last, which is at another address now, until it is given up there.
    eventually(all_there, 30, "all is there again")
