"""Clients that speak TLS: the Python client, the roles that ask nodes, and one of Redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from ckv import Client, Tls
from ckv.client.direct import Direct
from ckv.client.sockets import has_arrived
from ckv.client.tls import sealed
from ckv.errors import CkvError, Unreachable
from tests.security.guarded import secret_of, write_users
from tests.security.sealed import Sealed
from tests.support.certificate import Authority
from tests.support.nodes import ROOT, Cluster, Nodes, ckv_environment, run_ckv
from tests.support.wire import pack

LARGE = b"v" * 900_000


class World(NamedTuple):
    """A primary and two secondaries with users, where whoever connects needs a certificate."""

    cluster: Cluster
    tls: Tls

    @property
    def port(self) -> int:
        return self.cluster.primary.port

    @property
    def files(self) -> dict[str, str]:
        """What tools take them from."""
        return {
            "CKV_TLS_CA": str(self.tls.ca),
            "CKV_TLS_CERT": str(self.tls.cert),
            "CKV_TLS_KEY": str(self.tls.key),
            "CKV_PASSWORD": secret_of("boss"),
            "CKV_USER": "boss",
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tls")
    with Nodes() as started:
        nodes = Sealed(started, folder)
        options = nodes.options(f"--users={write_users(folder / 'users')}", "--tls-clients=required")
        cluster = started.start_cluster(
            secondary_options=options, primary_options=options, env={"CKV_NODE_PASSWORD": secret_of("node")}
        )
        own = nodes.authority.issue("client")
        yield World(cluster, Tls(nodes.authority.path, own.path, own.key_path))
        print(started.tails())


def client_of(world: World, *, direct: bool = False) -> Client:
    url = f"ckvs://writer:{secret_of('writer')}@127.0.0.1:{world.port}"
    return Client(url, tls=world.tls, timeout=20, direct=direct)


@pytest.mark.parametrize("direct", [False, True], ids=["to the primary", "to owners"])
def test_the_python_client(world: World, direct: bool) -> None:
    values = {f"key {number}": LARGE[number:] for number in range(8)}
    with client_of(world, direct=direct) as client:
        client.put_many(values)
        assert client.get_many(values) == values
        if isinstance(client._way, Direct):
            assert client._way._routes is not None
            assert all(endpoint._pool._all for endpoint in client._way._routes.endpoints.values()), (
                "the owners were asked"
            )
        with client.pipeline() as pipeline:
            for number in range(1000):
                pipeline.put(f"small {number}", "x" * 100)
        assert client.get("small 999") == "x" * 100


def test_a_connection_that_was_idle_is_used_again(world: World) -> None:
    with client_of(world) as client:
        client.put("a", "1")
        (connection,) = client._way._pool._all  # type: ignore[attr-defined]
        before, connection.used = connection.socket, 0.0
        assert client.get("a") == "1"
        assert connection.socket is before


def test_what_is_opened_and_not_read_counts_as_there(world: World) -> None:
    with sealed(socket.create_connection(("127.0.0.1", world.port), 10), world.tls, "127.0.0.1") as sock:
        sock.sendall(pack([0, 1, "PING", []]))
        assert sock.recv(1)
        assert has_arrived(sock)
        sock.settimeout(10)
        assert b"LoginNeeded" in sock.recv(1000)
        assert not has_arrived(sock)


def test_threads_share_a_client(world: World) -> None:
    failed: list[CkvError] = []

    def work(client: Client, name: str) -> None:
        try:
            for number in range(100):
                client.put(name, str(number))
                assert client.get(name) == str(number)
        except CkvError as error:
            failed.append(error)

    with client_of(world) as client:
        threads = [threading.Thread(target=work, args=(client, f"thread {number}")) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


def test_greenlets_share_a_client(world: World) -> None:
    program = f"""
from gevent import monkey; monkey.patch_all()
import gevent, pathlib
from ckv import Client, Tls
tls = Tls(*map(pathlib.Path, {[str(path) for path in (world.tls.ca, world.tls.cert, world.tls.key)]}))
client = Client("127.0.0.1", {world.port}, user="writer", password={secret_of("writer")!r}, tls=tls)
def work(name):
    for number in range(50):
        client.put(name, str(number) * 10_000)
        assert client.get(name) == str(number) * 10_000
gevent.joinall([gevent.spawn(work, f"greenlet {{number}}") for number in range(8)], raise_error=True)
assert client._way._shared is None  # where what was sealed could not be taken back
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=ckv_environment(), cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_who_is_not_trusted_gets_no_request(world: World, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "foreign")
    for tls, why in (
        (Tls(foreign.path, world.tls.cert, world.tls.key), "the certificate is refused: "),
        (Tls(world.tls.ca, world.tls.cert, world.tls.key, "elsewhere"), "Hostname mismatch"),
        (Tls(), "the certificate is refused: "),
    ):
        with Client("127.0.0.1", world.port, tls=tls) as client, pytest.raises(Unreachable, match=why):
            client.put("a", "1")
    with Client("127.0.0.1", world.port) as client, pytest.raises(CkvError):
        client.put("a", "1")
    with Client("127.0.0.1", world.port, tls=Tls(world.tls.ca)) as client, pytest.raises(CkvError, match="certificate"):
        client.put("a", "1")
    with pytest.raises(ValueError, match="nowhere: No such file"):
        Client("127.0.0.1", world.port, tls=Tls(tmp_path / "nowhere"))


def test_who_wants_tls_sends_no_secret_where_there_is_none(sealed: Sealed, nodes: Nodes) -> None:
    """Somebody in the middle, or in a node's place, says in plain that it has none."""

    def heard() -> bytes:
        with listener.accept()[0] as sock, suppress(ConnectionError):
            sock.settimeout(10)
            data = sock.recv(65536)
            sock.sendall(b"-ERR unknown command\r\n")
            while more := sock.recv(65536):
                data += more
        return data

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        asked = pool.submit(heard)
        with Client(f"ckvs://boss:{secret_of('boss')}@127.0.0.1:{port}") as client, pytest.raises(Unreachable):
            client.put("a", "1")
        of_client = asked.result()
        asked = pool.submit(heard)
        options = sealed.options("--tls-plain=clients")
        primary = nodes.start_primary(
            f"127.0.0.1:{port}", options=options, env={"CKV_NODE_PASSWORD": secret_of("node")}
        )
        of_node = asked.result()
    for data, user in ((of_client, "boss"), (of_node, "node")):
        assert data[:1] == b"\x16", "it begins with a handshake"
        assert secret_of(user).encode() not in data
    primary.wait_for_log(f"peer 127.0.0.1:{port} cannot be reached (TLS: ")


def test_the_roles_that_ask(world: World) -> None:
    place = ("127.0.0.1", str(world.port))
    shell = run_ckv("shell", *place, "PUT", "a", "from the shell", env=world.files)
    assert (shell.returncode, shell.stderr) == (0, "")
    assert run_ckv("shell", *place, "GET", "a", env=world.files).stdout == "from the shell\n"
    assert "used_memory" in run_ckv("status", *place, env=world.files).stdout
    assert run_ckv("ping", *place, env=world.files).returncode == 0
    assert run_ckv("ping", "--ready", *place, env=world.files).returncode == 0
    assert run_ckv("owner", *place, "a", env=world.files).returncode == 0
    top = run_ckv("top", "--clients", "--once", *place, env=world.files).stdout.splitlines()
    # Of its own request, in a second or somewhat more: 35 bytes, 13 without TLS.
    assert float(top[2].split()[2]) > 15
    without = {name: value for name, value in world.files.items() if not name.startswith("CKV_TLS_")}
    for role in ("ping", "status"):
        refused = run_ckv(role, *place, env=without)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    named = run_ckv("ping", "--tls-name=elsewhere", *place, env=world.files)
    assert "TLS: the certificate is refused: Hostname mismatch" in named.stderr
    bad = run_ckv("ping", "--tls-ca=/nowhere", *place)
    assert (bad.returncode, bad.stderr) == (2, "ckv: /nowhere: No such file or directory\n")
    alone = run_ckv("ping", f"--tls-cert={world.tls.cert}", *place)
    assert (alone.returncode, alone.stderr.startswith("ckv: --tls-ca: missing")) == (2, True)


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="needs redis-cli")
def test_redis_cli(world: World) -> None:
    def asked(*words: str, user: str = "writer") -> str:
        """What it says to a command as this user, whose secret it has from the environment."""
        files = ("--cacert", str(world.tls.ca), "--cert", str(world.tls.cert), "--key", str(world.tls.key))
        command = ("redis-cli", "-h", "127.0.0.1", "-p", str(world.port), "--tls", *files, "--user", user, *words)
        env = ckv_environment({"REDISCLI_AUTH": secret_of(user)})
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=env)
        assert secret_of(user) not in done.stdout + done.stderr
        return done.stdout

    assert asked("SET", "a", "1") == "OK\n"
    assert asked("GET", "a") == "1\n"
    assert asked("FLUSHALL").startswith("NOPERM ")
    assert asked("GET", "a", user="viewer").startswith("NOPERM ")
    assert asked("GET", "a", user="nobody").endswith("NOAUTH Authentication required.\n\n")


def test_redis_py(world: World) -> None:
    redis = pytest.importorskip("redis")
    url = f"rediss://writer:{secret_of('writer')}@127.0.0.1:{world.port}"
    files = {"ssl_ca_certs": world.tls.ca, "ssl_certfile": world.tls.cert, "ssl_keyfile": world.tls.key}
    with redis.Redis.from_url(url, **{name: str(path) for name, path in files.items()}) as client:
        assert client.set("a", LARGE) is True
        assert client.get("a") == LARGE
        with client.pipeline(transaction=False) as pipeline:
            for number in range(200):
                pipeline.set(f"key {number}", "x" * 1000)
            assert pipeline.execute() == [True] * 200
