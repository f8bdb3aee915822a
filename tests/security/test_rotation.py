"""Each secret and certificate of a cluster is changed while clients work, in the steps of docs/security.md: nobody gets
an error, and what was changed is good for nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ckv import Client, Tls
from ckv.errors import LoginFailed, Unreachable
from tests.security.changing import Changing
from tests.security.guarded import secret_of, write_users
from tests.security.load import Access, Load
from tests.support.certificate import Authority
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes, run_ckv

ACCOUNT: Final = "ckv_rotation"
DATABASE: Final = "rotation"


class World:
    """A cluster with users and TLS, whose account of the database has a password of its own."""

    def __init__(self, nodes: Nodes, mariadb: MariaDB, folder: Path, password: str) -> None:
        self.folder = folder
        self.mariadb = mariadb
        self.authority = Authority(folder)
        self.certified = self.authority.issue("node")
        self.ca = folder / "ca.pem"
        """Whom the nodes trust."""
        self.ca.write_bytes(self.authority.path.read_bytes())
        self.users = write_users(folder / "users")
        self.node_secret = folder / "node-secret"
        self.node_secret.write_text(secret_of("node"))
        self.password = folder / "password"
        self.password.write_text(password)
        self.writer = Access("writer", secret_of("writer"), Tls(self.authority.path))
        options = [
            f"--tls-cert={self.certified.path}", f"--tls-key={self.certified.key_path}", f"--tls-ca={self.ca}",
            f"--users={self.users}", f"--node-password-file={self.node_secret}",
        ]  # fmt: skip
        env = {"CKV_MYSQL_USER": ACCOUNT, "CKV_MYSQL_PASSWORD_FILE": str(self.password)}
        address = f"mysql://{mariadb.address}/{DATABASE}"
        boss = self.writer._replace(user="boss", secret=secret_of("boss"))
        self.cluster = Changing(nodes, address, options, env, boss)

    def load(self) -> Load:
        """Clients that are let in."""
        return Load(self.cluster.port, self.writer)

    def rotate(self, user: str) -> str:
        """The user has another secret, and the one before is good too."""
        done = run_ckv("user", "rotate", str(self.users), user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def world(shared_mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that leave it as good as it was, if with other secrets."""
    with shared_mariadb.account(ACCOUNT, "first password"), Nodes() as nodes:
        shared_mariadb.query(f"GRANT ALL ON {DATABASE}.* TO %s@%s", (ACCOUNT, "127.0.0.1"))
        yield World(nodes, shared_mariadb, tmp_path_factory.mktemp("rotation"), "first password")
        print(nodes.tails())
    shared_mariadb.query(f"DROP DATABASE {DATABASE}")


def test_the_secret_of_a_user(world: World) -> None:
    old = world.writer
    with world.load() as load:
        world.writer = old._replace(secret=world.rotate("writer"))
        world.cluster.read_files_again()
        load.goes_on()
        load.come_by(world.writer)
        world.rotate("writer")
        world.cluster.read_files_again()
        load.goes_on()
    with pytest.raises(LoginFailed), old.client(world.cluster.port) as client:
        client.get("a")


def test_the_secret_of_nodes(world: World) -> None:
    primary = world.cluster.primary
    since = {node: len(node.log) for node in world.cluster.all}
    with world.load() as load:
        new = world.rotate("node")
        world.cluster.read_files_again()
        world.node_secret.write_text(new)
        again = len(primary.log)
        world.cluster.read_files_again()
        for secondary in world.cluster.secondaries.values():
            primary.wait_for_log(f"logged in again at {secondary.address}", since=again)
        world.rotate("node")
        world.cluster.read_files_again()
        load.goes_on()
    told = [line for node, first in since.items() for line in node.log[first:]]
    assert not [line for line in told if " lost: " in line], "a connection with calls on it was cut"
    assert not [line for line in told if "LoginFailed" in line]
    logins = [line for line in told if "logged in again at" in line]
    assert len(logins) == len(world.cluster.secondaries), "the same secret was sent again"


def test_a_secret_of_nodes_that_is_none_is_told(world: World) -> None:
    primary = world.cluster.primary
    good = world.node_secret.read_text()
    since = len(primary.log)
    with world.load() as load:
        world.node_secret.write_text("no secret of a node")
        world.cluster.read_files_again()
        for secondary in world.cluster.secondaries.values():
            primary.wait_for_log(f"login at {secondary.address} refused: LoginFailed", since=since)
        load.goes_on()
        world.node_secret.write_text(good)
        world.cluster.read_files_again()
        load.goes_on()


def test_certificates_and_their_authority(world: World) -> None:
    folder = world.folder / "new"
    folder.mkdir()
    new = Authority(folder, "new authority")
    both = world.folder / "both.pem"
    both.write_bytes(world.authority.path.read_bytes() + new.path.read_bytes())
    old = world.writer
    with world.load() as load:
        world.ca.write_bytes(both.read_bytes())
        world.cluster.read_files_again()
        load.come_by(old._replace(tls=Tls(both)))
        world.certified.replace_by(new.issue("node"))
        world.cluster.read_files_again()
        load.goes_on()
        world.ca.write_bytes(new.path.read_bytes())
        world.cluster.read_files_again()
        world.writer = old._replace(tls=Tls(new.path))
        world.cluster.access = world.cluster.access._replace(tls=Tls(new.path))
        load.come_by(world.writer)
        # Its connections to and from other nodes begin anew, by the new certificates alone.
        world.cluster.start_secondary_again("a")
        load.goes_on()
    with Client("127.0.0.1", world.cluster.port, tls=old.tls) as client, pytest.raises(Unreachable, match="is refused"):
        client.ping()


def test_the_password_of_the_database(world: World) -> None:
    connected = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s"
    with world.load() as load:
        world.mariadb.query("ALTER USER %s@%s IDENTIFIED BY %s", (ACCOUNT, "127.0.0.1", "second password"))
        world.password.write_text("second password")
        load.goes_on()
        world.mariadb.end_connections(DATABASE)
        eventually(lambda: world.mariadb.query(connected, (ACCOUNT,))[0][0] > 0, what="nodes have connected anew")
        load.goes_on(100)
