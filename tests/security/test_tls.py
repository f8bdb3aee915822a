"""Nodes that speak TLS: who gets in, who does not, and other certificates while they run."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from ckv.net.logins import MOST_BYTES
from tests.security.guarded import Resp, secret_of, write_users
from tests.security.sealed import Sealed
from tests.support.certificate import Authority
from tests.support.eventually import eventually
from tests.support.nodes import Cluster, Node, Nodes, run_ckv
from tests.support.wire import RawClient

LARGE = b"v" * 900_000


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sealed, Cluster]]:
    """A primary and two secondaries, for tests that leave them as they are, but for their certificate."""
    with Nodes() as started:
        sealed = Sealed(started, tmp_path_factory.mktemp("tls"))
        yield sealed, sealed.cluster()
        print(started.tails())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_both_protocols_are_served_through_nodes_that_speak_tls_to_each_other(
    lasting: tuple[Sealed, Cluster], version: ssl.TLSVersion
) -> None:
    sealed, cluster = lasting
    context = sealed.trust()
    context.minimum_version = context.maximum_version = version
    for node in (cluster.primary, cluster.secondaries[0]):
        with RawClient(node.address, tls=context) as client, Resp(node, tls=context) as resp:
            for number in range(20):
                assert client.call("PUT", f"key {number}", LARGE[number:]) is True
            assert [len(client.call("GET", f"key {number}")[1]) for number in range(20)] == [
                len(LARGE) - number for number in range(20)
            ]
            assert resp.call("SET", "key 1", LARGE) == b"OK"
            resp.send(*[("GET", "key 1")] * 5)
            assert [resp.read() for _ in range(5)] == [LARGE] * 5
            assert client.call("GET", "key 1") == [True, LARGE]


def test_secondaries_join_with_certificates_of_a_common_name(sealed: Sealed) -> None:
    common = sealed.authority.issue("common", "nodes.internal")
    more = ("--tls-name=nodes.internal", "--tls-clients=required")
    primary = sealed.primary(more=(*more, "--settle=200ms"), certified=common)
    for name in ("one", "two"):
        sealed.secondary(*more, f"--name={name}", primary=primary.address, name=name, certified=common)
    context = sealed.trust(common)
    context.check_hostname = False
    with RawClient(primary.address, tls=context) as client:
        eventually(lambda: str(client.call("SLOTS")).count("8192") >= 2 or None, 30, "each has half of the slots")
        for number in range(200):
            assert client.call("PUT", f"key {number}", "v") is True
        assert client.call("DBSIZE") == 200


# --- who is refused --------------------------------------------------------------------------------------------------


def test_versions_before_1_2_are_refused(lasting: tuple[Sealed, Cluster]) -> None:
    sealed, node = lasting[0], lasting[1].primary
    context = sealed.trust()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        RawClient(node.address, tls=context)
    node.wait_for_log("TLS: unsupported protocol")


def test_no_session_of_tls_1_3_is_resumed_and_there_are_no_tickets(lasting: tuple[Sealed, Cluster]) -> None:
    sealed, node = lasting[0], lasting[1].primary
    context = sealed.trust()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = context.maximum_version = version
        with RawClient(node.address, tls=context) as client:
            assert client.call("PING") == "PONG"
            assert isinstance(client.socket, ssl.SSLSocket)
            session = client.socket.session
        assert session is None or not session.has_ticket
    plain = socket.create_connection(("127.0.0.1", node.port), 10)
    with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as again:
        assert not again.session_reused


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_nothing_is_renegotiated(lasting: tuple[Sealed, Cluster]) -> None:
    sealed, node = lasting[0], lasting[1].primary
    asked = ["openssl", "s_client", "-tls1_2", "-CAfile", str(sealed.authority.path), "-connect", node.address]
    done = subprocess.run(asked, input="R\nPING\n", capture_output=True, text=True, timeout=20)
    assert "no renegotiation" in done.stderr


def test_clients_without_a_right_certificate_are_refused_where_they_need_one(sealed: Sealed, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    revoked = sealed.authority.issue("lost")
    refused = {
        "nobody": None,
        "foreign": Authority(tmp_path / "foreign").issue("client"),
        "expired": sealed.authority.issue("old", days=(-3, -2)),
        "not yet": sealed.authority.issue("new", days=(2, 3)),
        "revoked": revoked,
    }
    sealed.authority.revoke(revoked)
    node = sealed.secondary("--tls-clients=required")
    with sealed.rpc(node, sealed.authority.issue("client")) as client:
        assert client.call("PUT", "a", "1") is True
        before = client.call("INFO")
        for who, certified in refused.items():
            with pytest.raises((ssl.SSLError, ConnectionError)), sealed.rpc(node, certified) as other:
                other.call("PUT", "a", who)
            assert client.call("GET", "a") == [True, "1"]
        now = client.call("INFO")
        assert now["tls_handshakes"] == before["tls_handshakes"] == 1
        assert now["tls_handshake_failures"] - before["tls_handshake_failures"] == len(refused)
        assert now["tls_certificate_expires"] == int(sealed.node.certificate.not_valid_after_utc.timestamp())
    node.wait_for_log("closed: TLS: ")


def pings(node: Node, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession, bool]:
    """Connects, with a session of before, and is served; the session, and whether it is that one."""
    plain = socket.create_connection(("127.0.0.1", node.port), 10)
    with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        assert client.session is not None
        return client.session, bool(client.session_reused)


def test_a_session_of_tls_1_2_is_not_resumed_after_its_certificate_was_revoked(sealed: Sealed) -> None:
    node = sealed.secondary("--tls-clients=required")
    lost = sealed.authority.issue("lost")
    contexts = [sealed.trust(lost), sealed.trust(sealed.authority.issue("client"))]
    for context in contexts:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    of_lost, of_other = contexts
    sessions = [pings(node, context)[0] for context in contexts]
    for context, session in zip(contexts, sessions, strict=True):
        assert pings(node, context, session)[1], "until then it is resumed: what follows would prove nothing otherwise"
    sealed.authority.revoke(lost)
    node.signal(signal.SIGHUP)
    node.wait_for_log("certificate read from")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        pings(node, of_lost, sessions[0])
    assert not pings(node, of_other, sessions[1])[1], "others begin a new one"


def test_nodes_without_a_right_certificate_are_not_asked(sealed: Sealed, nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    bad = {
        "local issuer certificate": Authority(tmp_path / "foreign", "foreign").issue("bad"),
        "certificate has expired": sealed.authority.issue("old", days=(-3, -2)),
        "certificate is not yet valid": sealed.authority.issue("new", days=(2, 3)),
        "certificate revoked": sealed.authority.issue("lost"),
        "IP address mismatch": sealed.authority.issue("named", "elsewhere"),
    }
    sealed.authority.revoke(bad["certificate revoked"])
    secondaries = {why: sealed.secondary(certified=certified) for why, certified in bad.items()}
    without = nodes.start_secondary()
    primary = sealed.primary(*secondaries.values(), without)
    for why, secondary in secondaries.items():
        told = primary.wait_for_log(f"peer {secondary.address} cannot be reached (TLS: the certificate is refused: ")
        assert why in told
    primary.wait_for_log(f"peer {without.address} cannot be reached (TLS: ")


def test_a_port_without_tls_says_so(nodes: Nodes) -> None:
    node = nodes.start_secondary()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
        RawClient(node.address, tls=context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(("127.0.0.1", node.port), 10) as sock:
        sock.sendall(outgoing.read())
        assert sock.recv(1000) == b"-ERR Protocol error: a TLS handshake, which this port does not speak\r\n"
        assert sock.recv(1) == b""


def test_users_log_in_by_tls_and_may_send_little_before(sealed: Sealed, tmp_path: Path) -> None:
    users = write_users(tmp_path / "users")
    node = sealed.secondary(f"--users={users}", "--tls-plain=clients", "--log-level=debug")
    context = sealed.trust()
    with Resp(node, "writer", tls=context) as client, Resp(node, "writer") as plain:
        assert client.call("SET", "a", LARGE) == b"OK"
        assert plain.call("GET", "a") == LARGE
    for tls in (context, None):
        since = len(node.log)
        with Resp(node, tls=tls) as nobody:
            with suppress(OSError):
                nobody.send(("SET", "a", "x" * MOST_BYTES))
            with pytest.raises((ConnectionError, ssl.SSLError)):
                nobody.read()
        node.wait_for_log("bytes came before a login", since=since)
    assert not [line for line in node.log if secret_of("writer") in line]


# --- other certificates while a node runs --------------------------------------------------------------------------


def under_load(sealed: Sealed, node: Node, change: Callable[[], None]) -> None:
    """Has clients work, over connections that last and over new ones, while something is changed."""
    failures: list[BaseException] = []
    calls = [0] * 4
    is_over = threading.Event()

    def work(number: int) -> None:
        try:
            while not is_over.is_set():
                with sealed.rpc(node) as client:
                    for _ in range(1 if number % 2 else 1000):
                        assert client.call("PUT", f"key {number}", f"{calls[number]}") is True
                        assert client.call("GET", f"key {number}") == [True, f"{calls[number]}"]
                        calls[number] += 1
                        if is_over.is_set():
                            break
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for worker in workers:
        worker.start()
    try:
        for _ in range(3):
            before = list(calls)
            change()
            for number, count in enumerate(before):
                eventually(
                    partial(lambda number, count: calls[number] > count or failures, number, count), 20, "it goes on"
                )
    finally:
        is_over.set()
        for worker in workers:
            worker.join()
    assert not failures


def number_of(sealed: Sealed, node: Node) -> int:
    """The serial number of the certificate that it shows now."""
    with sealed.rpc(node) as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        shown = client.socket.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


def test_certificates_are_changed_under_load_without_an_error(lasting: tuple[Sealed, Cluster]) -> None:
    sealed, cluster = lasting
    primary = cluster.primary

    def change() -> None:
        new = sealed.authority.issue("new")
        sealed.node.replace_by(new)
        for node in (primary, *cluster.secondaries):
            since = len(node.log)
            node.signal(signal.SIGHUP)
            node.wait_for_log("certificate read from", since=since)
        assert number_of(sealed, primary) == new.certificate.serial_number

    under_load(sealed, primary, change)
    assert not [line for line in primary.log if " lost: " in line]


def test_a_broken_file_leaves_the_certificate_as_it_was_and_is_told(lasting: tuple[Sealed, Cluster]) -> None:
    sealed, node = lasting[0], lasting[1].secondaries[0]
    number = number_of(sealed, node)
    other = sealed.authority.issue("other")
    with sealed.rpc(node) as client:
        for path, data in ((sealed.node.path, b"x"), (sealed.node.key_path, b"x"), (sealed.authority.path, b""),
                           (sealed.node.key_path, other.key_path.read_bytes())):  # fmt: skip
            before = path.read_bytes()
            path.write_bytes(data)
            since = len(node.log)
            node.signal(signal.SIGHUP)
            line = node.wait_for_log("the certificate stays as it was: ", since=since)
            assert str(path) in line
            path.write_bytes(before)
            assert client.call("PING") == "PONG"
            assert number_of(sealed, node) == number
        sealed.node.key_path.chmod(0o644)
        since = len(node.log)
        node.signal(signal.SIGHUP)
        node.wait_for_log("others may read or change it", since=since)
        sealed.node.key_path.chmod(0o600)


def test_a_plain_cluster_gets_tls_node_by_node(sealed: Sealed, nodes: Nodes) -> None:
    both, strict = sealed.secondary("--tls-plain=all"), sealed.secondary()
    nodes.start_primary(both, strict).wait_peer(both.address)
    primary = sealed.primary(both, strict, more=("--tls-plain=clients",))
    for secondary in (both, strict):
        primary.wait_peer(secondary.address)
    with RawClient(primary.address) as client, sealed.rpc(primary) as other:
        assert client.call("PUT", "a", "1") is True
        assert other.call("GET", "a") == [True, "1"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--tls-key=KEY"], "--tls-cert: missing, and so there is no TLS"),
        (["--tls-cert=CERT"], "--tls-ca: missing, to look at certificates by"),
        (["--tls-cert=CERT", "--tls-plain=all"], "CERT: "),
        (["--tls-cert=/nowhere", "--tls-plain=all"], "/nowhere: No such file or directory"),
        (["--tls-cert=CERT", "--tls-key=KEY", "--tls-ca=KEY"], "KEY: "),
        (["--tls-cert=CERT", "--tls-key=KEY", "--tls-ca=CA", "--tls-plain=all", "--tls-clients=required"],
         "--tls-clients: 'required' with --tls-plain=all"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_makes_no_sense_is_one_line_and_exit_code_2(sealed: Sealed, options: list[str], why: str) -> None:
    files = {"CERT": sealed.node.path, "KEY": sealed.node.key_path, "CA": sealed.authority.path}

    def named(text: str) -> str:
        for name, path in files.items():
            text = text.replace(f"={name}", f"={path}")
            text = f"{path}{text.removeprefix(name)}" if text.startswith(f"{name}:") else text
        return text

    result = run_ckv("secondary", *map(named, options), "127.0.0.1:1", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"ckv: {named(why)}")
    assert result.stderr.count("\n") == 1
