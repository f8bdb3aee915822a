"""Nodes with users: how they log in at each other, who else cannot do what they do, and other users while they run."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from ckv import Client
from ckv.cluster.copying import COPY
from ckv.cluster.messages import BEAT, EPOCH, FENCE, FOLLOW, FREEZE, JOIN, LEAVE, MAP, PREPARE
from ckv.errors import LoginFailed, LoginNeeded, NotAllowed
from ckv.protocol.greeting import HELLO
from ckv.protocol.steps import packed_requests
from tests.security.guarded import RIGHTS, Guarded, Resp, line_of, rpc, secret_of, write_users
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.wire import RemoteError


def client_of(node: Node, name: str, *, direct: bool = False) -> Client:
    return Client("127.0.0.1", node.port, user=name, password=secret_of(name), timeout=20, direct=direct)


def test_a_cluster_with_a_list_serves_users(guarded: Guarded) -> None:
    cluster = guarded.cluster()
    with client_of(cluster.primary, "writer") as client:
        for number in range(100):
            client.put(f"key {number}", str(number))
        assert client.get_many([f"key {number}" for number in range(100)]) == {
            f"key {number}": str(number) for number in range(100)
        }
    with client_of(cluster.primary, "orders") as client:
        client.put("orders:1", "a")
        assert list(client.scan("orders:*")) == ["orders:1"]
        with pytest.raises(NotAllowed):
            client.get("key 1")


def test_secondaries_join_and_slots_move(guarded: Guarded) -> None:
    primary = guarded.primary(options=("--settle=200ms",))
    for name in ("one", "two"):
        guarded.secondary(f"--name={name}", primary=primary.address, name=name)

    def asked(*words: str, user: str = "boss") -> str:
        role, *rest = words
        result = run_ckv(role, f"--user={user}", "127.0.0.1", str(primary.port), *rest,
                         env={"CKV_PASSWORD": secret_of(user)})  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout

    eventually(lambda: asked("slots").count(" 8192 ") >= 2 or None, 30, "each has half of the slots")
    with client_of(primary, "writer") as client, client_of(primary, "orders", direct=True) as direct:
        for number in range(200):
            client.put(f"orders:{number}", str(number))
        assert [direct.get(f"orders:{number}") for number in range(200)] == [str(number) for number in range(200)]
        assert re.search(r"\nowner (one|two) at .*\nwhere ", asked("owner", "orders:1"))
        asked("drain", "one")
        assert [client.get(f"orders:{number}") for number in range(200)] == [str(number) for number in range(200)]
        with pytest.raises(NotAllowed):
            direct.get("invoices:1")
    refused = run_ckv("slots", "--user=writer", "127.0.0.1", str(primary.port),
                      env={"CKV_PASSWORD": secret_of("writer")})  # fmt: skip
    assert (refused.returncode, refused.stderr.partition(" is ")[0]) == (1, "ckv: NotAllowed: SLOTS")


def test_a_node_without_a_login_is_not_served_and_says_so(nodes: Nodes, guarded: Guarded) -> None:
    secondary = guarded.secondary()
    without = nodes.start_primary(secondary)
    without.wait_for_log(f"peer {secondary.address} cannot be reached (LoginNeeded: ")
    wrong = nodes.start_primary(secondary, env={"CKV_NODE_PASSWORD": "wrong"})
    wrong.wait_for_log(f"peer {secondary.address} cannot be reached (LoginFailed: ")
    no_node = nodes.start_primary(secondary, options=["--node-user=boss"], env={"CKV_NODE_PASSWORD": secret_of("boss")})
    no_node.wait_for_log(f"peer {secondary.address} cannot be reached (NotAllowed: ")


def test_who_is_no_node_cannot_join_or_lead_or_move_slots(guarded: Guarded) -> None:
    primary = guarded.primary()
    secondary = guarded.secondary(primary=primary.address)
    secondary.wait_for_log(f"joined the cluster of {primary.address}")
    asked = {primary: (JOIN, BEAT, LEAVE, FOLLOW), secondary: (HELLO, MAP, EPOCH, PREPARE, FREEZE, FENCE, COPY)}
    for node, methods in asked.items():
        with rpc(node, "boss") as boss:
            for method in methods:
                with pytest.raises(RemoteError, match=f"^NotAllowed: {method} "):
                    boss.call(method, "x")
                with pytest.raises(RemoteError, match=r"^BadArguments: "):
                    boss.call("EXEC", packed_requests([(method, ("orders:1",))]))
                with rpc(node, "node") as other:
                    served = other.wait_for(other.request(method, "x", "y", "z"))
                assert not str(served.error).startswith(("NotAllowed: ", "UnknownMethod: ")), method
        with rpc(node, "boss") as boss:
            answers = boss.call("BATCH", *(part for method in methods for part in (method, ["x"])))
            assert {answer[0].partition(":")[0] for answer in answers} == {"UnknownMethod"}


def test_every_node_asks_clients_in_cluster_mode_who_they_are(guarded: Guarded) -> None:
    """Before it says where a key is."""
    cluster = guarded.cluster("--cluster-clients")
    for node in (cluster.primary, *cluster.secondaries):
        with Resp(node) as nobody, Resp(node, "orders") as client, Resp(node, "boss") as boss:
            for question in ("SLOTS", "SHARDS", "NODES", "MYID", "KEYSLOT a", "SETSLOT 1 NODE x"):
                assert nobody.call("CLUSTER", *question.split()) == "-NOAUTH Authentication required."
            assert nobody.call("GET", "orders:1") == "-NOAUTH Authentication required."
            for number in range(4):
                assert client.call("GET", f"invoices:{number}").startswith("-NOPERM ")
            assert len(client.call("CLUSTER", "SLOTS")) == 2
            for change in ("SETSLOT 1 NODE x", "MEET 127.0.0.1 1", "FAILOVER", "ADDSLOTS 1"):
                assert boss.call("CLUSTER", *change.split()).startswith("-ERR CLUSTER ")


@pytest.mark.parametrize(("secret", "error"), [("", "LoginNeeded"), ("wrong", "LoginFailed")])
def test_a_secondary_that_may_not_ask_what_it_serves_serves_nothing(
    nodes: Nodes, guarded: Guarded, secret: str, error: str
) -> None:
    """Others may have what was its own, and have written to it since."""
    primary = guarded.primary()
    secondary = nodes.start_secondary(primary=primary.address, env={"CKV_NODE_PASSWORD": secret} if secret else None)
    secondary.wait_for_log(f"{primary.address} does not take this node in: {error}: ")
    with rpc(secondary) as client, pytest.raises(RemoteError, match=r"^Starting: "):
        client.call("GET", "a")


def test_nodes_may_get_their_login_before_there_are_users(nodes: Nodes, tmp_path: Path) -> None:
    """The order in which a running cluster gets users."""
    secret = tmp_path / "secret"
    secret.write_text(secret_of("node") + "\n")
    options = [f"--node-password-file={secret}"]
    cluster = nodes.start_cluster(1, secondary_options=options, primary_options=options)
    with Client("127.0.0.1", cluster.primary.port, user="writer", password="not asked for") as client:
        client.put("a", "1")
        assert client.get("a") == "1"


def test_the_secret_of_nodes_is_changed_while_they_run(nodes: Nodes, guarded: Guarded, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first secret")
    guarded.file.write_text(line_of("node", RIGHTS["node"], "first secret") + "\n"
                            + line_of("writer", RIGHTS["writer"], secret_of("writer")) + "\n")  # fmt: skip
    secondary = guarded.secondary()
    primary = nodes.start_primary(secondary, options=[*guarded.options, f"--node-password-file={secret}"])
    primary.wait_peer(secondary.address)
    secret.write_text("second secret")
    since, since_primary = len(secondary.log), len(primary.log)
    guarded.file.write_text(line_of("node", RIGHTS["node"], "second secret", "first secret") + "\n"
                            + line_of("writer", RIGHTS["writer"], secret_of("writer")) + "\n")  # fmt: skip
    secondary.signal(signal.SIGHUP)
    secondary.wait_for_log("connections ended: 0", since=since)
    guarded.file.write_text(line_of("node", RIGHTS["node"], "second secret") + "\n"
                            + line_of("writer", RIGHTS["writer"], secret_of("writer")) + "\n")  # fmt: skip
    since = len(secondary.log)
    secondary.signal(signal.SIGHUP)
    secondary.wait_for_log("connections ended: 1", since=since)
    primary.wait_for_log(f"peer {secondary.address} back", since=since_primary)
    with client_of(primary, "writer") as client:
        client.put("a", "1")


def test_a_node_that_has_nothing_but_a_file_with_its_secret_reads_it_again(
    nodes: Nodes, guarded: Guarded, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first secret")
    write_users(guarded.file, line_of("node", RIGHTS["node"], "second secret", "first secret"))
    secondary = guarded.secondary()
    options = [f"--node-password-file={secret}"]
    of_list = nodes.start_primary(secondary, options=options)
    of_list.wait_peer(secondary.address)
    others = nodes.start_primary(options=options), nodes.start_secondary(options=options)
    secret.write_text("second secret")
    for node in (of_list, *others):
        node.signal(signal.SIGHUP)
    of_list.wait_for_log(f"logged in again at {secondary.address}")
    for node in (of_list, *others):
        with Client("127.0.0.1", node.port) as client:
            assert client.call("PING") == "PONG"
        assert not [line for line in node.log if "signal-stops" in line]
        assert node.terminate() == 0


def test_a_node_with_a_secret_from_a_variable_has_nothing_to_read_again(nodes: Nodes) -> None:
    node = nodes.start_primary(env={"CKV_NODE_PASSWORD": "a secret"})
    assert node.terminate(how=signal.SIGHUP) == 0


# --- other users while a node runs -----------------------------------------------------------------------------------


def test_at_sighup_there_are_other_users_and_those_who_are_gone_are_cut_off(guarded: Guarded) -> None:
    node = guarded.secondary()
    with (
        rpc(node, "writer") as writer,
        Resp(node, "reader") as reader,
        rpc(node, "orders") as orders,
        Resp(node) as none,
    ):
        since = len(node.log)
        write_users(
            guarded.file,
            line_of("writer", RIGHTS["writer"], "another secret", secret_of("writer")),
            line_of("orders", RIGHTS["viewer"], secret_of("orders")),
        )
        node.signal(signal.SIGHUP)
        node.wait_for_log("connections ended: 2", since=since)
        assert writer.call("PUT", "a", "1") is True
        orders.wait_closed()
        with pytest.raises(ConnectionError):
            reader.call("GET", "a")
        assert none.call("AUTH", "reader", secret_of("reader")).startswith("-WRONGPASS ")
        assert none.call("AUTH", "writer", "another secret") == b"OK"
    assert node.running


@pytest.mark.parametrize("broken", ["writer", "writer write secret", ""])
def test_a_broken_file_leaves_the_users_as_they_were_and_is_told(guarded: Guarded, broken: str) -> None:
    node = guarded.secondary()
    with rpc(node, "writer") as writer:
        since = len(node.log)
        guarded.file.write_text(f"{broken}\n")
        node.signal(signal.SIGHUP)
        line = node.wait_for_log("the users stay as they were", since=since)
        assert str(guarded.file) in line
        assert writer.call("PUT", "a", "1") is True
        with rpc(node, "boss") as boss:
            assert boss.call("PING") == "PONG"


def test_a_file_that_others_may_read_is_refused_at_sighup_too(guarded: Guarded) -> None:
    node = guarded.secondary()
    guarded.file.chmod(0o644)
    since = len(node.log)
    node.signal(signal.SIGHUP)
    node.wait_for_log("others may read or change it", since=since)


@pytest.mark.parametrize(
    ("text", "why"),
    [("writer write", ":1: not a user"), ("", ": no users in it"), ("x y z", ":1: no hash of a secret")],
)
def test_a_broken_file_at_the_start_is_one_line_and_exit_code_2(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "users"
    path.touch(0o600)
    path.write_text(text)
    result = run_ckv("secondary", f"--users={path}", "127.0.0.1:1", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"ckv: --users: {path}{why}")
    assert result.stderr.count("\n") == 1


# --- those who ask ---------------------------------------------------------------------------------------------------


def test_the_python_client_logs_in_on_each_connection(guarded: Guarded) -> None:
    node = guarded.secondary()
    url = f"ckv://writer:{secret_of('writer')}@127.0.0.1:{node.port}"
    with Client(url) as client:
        client.put("a", "1")
        assert client.get("a") == "1"
        assert secret_of("writer") not in repr(client)
        assert client.get_many(["a", "none"]) == {"a": "1"}
    for wrong, error in (
        (url.replace("the-secret", "not-it"), LoginFailed),
        (f"ckv://127.0.0.1:{node.port}", LoginNeeded),
    ):
        with Client(wrong) as client, pytest.raises(error) as caught:
            client.get("a")
        assert caught.value.written == "no"
        assert "not-it" not in str(caught.value)


def test_the_roles_that_ask_log_in(guarded: Guarded, tmp_path: Path) -> None:
    node = guarded.cluster().primary
    place = ("127.0.0.1", str(node.port))
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secret_of("boss") + "\n")
    as_boss = ("--user=boss", f"--password-file={secret}")
    shell = run_ckv("shell", *as_boss, *place, "PUT", "a", "1")
    assert (shell.returncode, shell.stderr) == (0, "")
    assert "used_memory" in run_ckv("status", *as_boss, *place).stdout
    assert run_ckv("ping", *as_boss, "--ready", *place).returncode == 0
    assert run_ckv("ping", *place).returncode == 0, "who asks for a login is alive"
    assert run_ckv("ping", "--ready", *place).stderr.endswith("is not ready: LoginNeeded: log in first (AUTH)\n")
    wrong = run_ckv("ping", "--user=boss", *place, env={"CKV_PASSWORD": "wrong"})
    assert (wrong.returncode, "LoginFailed" in wrong.stderr) == (1, True)
    assert "LoginNeeded" in run_ckv("shell", *place, "GET", "a").stderr
    assert "LoginNeeded" in run_ckv("status", *place).stderr


def test_what_a_user_waits_for_is_in_the_slow_log(guarded: Guarded, mariadb: MariaDB) -> None:
    node = guarded.secondary("--slow-time=0", "--write-mode=through", persistent=mariadb.address)
    with rpc(node, "orders") as client, rpc(node, "boss") as boss:
        assert client.call("PUT", "orders:1", "v") is True
        (entry,) = boss.call("SLOWLOG", 10)
        assert entry[3] == ["PUT", "orders:1", "... (1 more arguments)"]


def test_who_logged_in_and_who_was_refused_is_in_the_log(guarded: Guarded) -> None:
    node = guarded.secondary()
    with rpc(node, "writer") as client:
        host, port = client.socket.getsockname()
        node.wait_for_log(f"login of writer (write) from {host}:{port}")
    with Resp(node) as other:
        host, port = other.socket.getsockname()
        other.call("AUTH", "writer", "wrong")
        node.wait_for_log(f"login as writer from {host}:{port} refused")


def test_what_operators_do_is_in_the_log(guarded: Guarded) -> None:
    node = guarded.secondary("--allow-flush")
    with rpc(node, "boss") as boss, Resp(node, "boss") as other:
        since = len(node.log)
        boss.call("RETRY")
        boss.call("PEEK", "a")
        boss.call("BATCH", "AUDIT", [0, 1])
        assert other.call("FLUSHALL") == b"OK"
        other.call("CLIENT", "LIST")
        other.call("CONFIG", "GET", "save")
        boss.call("INFO")
        for name in ("RETRY", "PEEK", "AUDIT", "flushall", "client|list", "config"):
            node.wait_for_log(f"{name} by boss from 127.", since=since)
        info = boss.call("INFO")
    assert (info["users"], info["users_connections"], info["logins"], info["login_failures"]) == (6, 2, 2, 0)
    assert not [line for line in node.log[since:] if "INFO by" in line]


def test_a_password_that_somebody_has_chosen(guarded: Guarded) -> None:
    password = "correct horse battery"
    assert run_ckv("user", "add", str(guarded.file), "default", "--chosen", stdin=f"{password}\n").returncode == 0
    node = guarded.secondary()
    with Resp(node) as client, Resp(node) as other:
        for _ in range(3):
            other.send(("AUTH", "wrong password"))
        assert client.call("AUTH", password) == b"OK"
        assert client.call("SET", "a", "1") == b"OK"
        assert [other.read() for _ in range(3)] == [
            "-WRONGPASS invalid username-password pair or user is disabled."
        ] * 3
