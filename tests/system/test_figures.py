"""The figures of INFO after known scripts, in each write mode and while the database is away; ``ckv status``; RETRY."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from ckv import Client, __version__, errors
from ckv.node.figures import FIGURES
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port
from tests.system.refusing import accept_up_to


@contextmanager
def client_of(node: Node) -> Iterator[Client]:
    with Client("127.0.0.1", node.port) as client:
        yield client


def figures(client: Client) -> dict[str, Any]:
    info = client.call("INFO")
    assert isinstance(info, dict)
    return info


def wait_for(client: Client, **wanted: object) -> dict[str, Any]:
    """Waits until the figures are these; all figures."""

    def reached() -> dict[str, Any]:
        info = figures(client)
        assert {name: info[name] for name in wanted} == wanted
        return info

    return eventually(reached, what="the figures")


def fail_once(client: Client) -> None:
    """An error, as a code has no figure before it was met."""
    with pytest.raises(errors.UnknownMethod):
        client.call("NONE")


def check_names(info: Mapping[str, object], role: str) -> None:
    shown = {re.sub(r"^peer_\S+:\d+_", "peer_ADDRESS_", re.sub(r"^errors_\w+", "errors_CODE", name)) for name in info}
    assert shown == {figure.name for figure in FIGURES if role in figure.roles and figure.kind != "histogram"}
    for figure in FIGURES:
        if figure.name in info:
            assert isinstance(info[figure.name], str if "(text)" in figure.help else (int, float)), figure.name
            assert not isinstance(info[figure.name], bool)


def test_the_table_has_all_figures_that_nodes_answer_and_no_others(mariadb: MariaDB, nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address)
    alone = nodes.start_secondary()
    with client_of(cluster.primary) as client:
        fail_once(client)
        check_names(figures(client), "primary")
    for node in (cluster.secondaries[0], alone):
        with client_of(node) as client:
            fail_once(client)
            check_names(figures(client), "secondary")


def test_every_name_is_in_the_table_once_with_one_sentence() -> None:
    names = [figure.name for figure in FIGURES]
    assert len(set(names)) == len(names)
    for figure in FIGURES:
        assert re.fullmatch(r"[a-z_]+", figure.name.replace(figure.wildcard, ""))
        assert figure.help.endswith(".")
        assert "\n" not in figure.help
        assert "|" not in figure.help


def test_what_a_node_says_of_itself(nodes: Nodes) -> None:
    node = nodes.start_secondary(capacity=7, policy="lfu", options=["--max-connections=9"])
    with client_of(node) as client, client_of(node) as other:
        other.ping()
        info = figures(client)
        assert (info["ckv_version"], info["role"], info["process_id"]) == (__version__, "secondary", node.pid)
        assert (info["tcp_port"], info["connected_clients"], info["maxclients"]) == (node.port, 2, 9)
        assert (info["capacity"], info["policy"], info["write_mode"]) == (7, "lfu", "evict")
        assert info["persistent_node"] == "-"
        assert abs(info["used_memory_rss"] - node.rss_bytes()) < 20_000_000
        eventually(lambda: figures(client)["uptime_in_seconds"] >= 1, what="a second")
        assert info["used_cpu_sys"] >= 0
        assert 0 < info["used_cpu_user"] <= figures(client)["used_cpu_user"] < 60
        assert figures(client)["uptime_in_seconds"] < 60
        with pytest.raises(errors.BadArguments):
            client.call("INFO", "memory")


def test_without_a_persistent_node(nodes: Nodes) -> None:
    node = nodes.start_secondary(capacity=2)
    with client_of(node) as client:
        for key in "abc":
            client.put(key, "x")
        assert [client.get(key) for key in "abc"] == [None, "x", "x"]
        info = figures(client)
    assert (info["records"], info["records_clean"]) == (2, 0)
    assert (info["evicted_keys"], info["dropped_records"]) == (1, 1)
    assert (info["hits_memory"], info["misses"], info["keyspace_misses"]) == (2, 1, 1)
    assert (info["database_connected"], info["pending_records"]) == (0, 0)


@pytest.mark.parametrize(
    ("mode", "written", "clean"),
    [
        ("evict", 2, 1),  # the two victims; what came back is clean
        ("behind", 3, 2),
        ("through", 3, 2),
    ],
)
def test_a_known_script(mariadb: MariaDB, nodes: Nodes, mode: str, written: int, clean: int) -> None:
    node = nodes.start_secondary(
        persistent=mariadb.address, capacity=2, options=[f"--write-mode={mode}", "--write-delay=0"]
    )
    with client_of(node) as client:
        wait_for(client, database_connected=1)
        for key in "abc":
            client.put(key, "x")
        wait_for(client, pending_records=0, evicted_keys=1)
        assert client.get("c") == "x"
        assert client.get("a") == "x"
        pipeline = client.pipeline()
        for _ in range(3):
            pipeline.get("nobody")
        assert pipeline.execute() == [None] * 3
        assert client.get("nobody") is None
        info = wait_for(client, pending_records=0)
        assert {name: info[name] for name in info if name in EXPECTED} == EXPECTED
        assert (info["flushed_rows"], info["records_clean"]) == (written, clean)
        assert 1 <= info["flushes"] <= written
        assert 0 < info["flush_seconds_max"] <= info["flush_seconds_total"] < 60
        assert info["persistent_node"] == f"mysql://root@{mariadb.address}/celonis"
        assert client.delete("a") is True
        wait_for(client, flushed_rows=written + 1, records=1, records_clean=clean - 1, absent_keys=2)


EXPECTED = {
    "records": 2,
    "evicted_keys": 2,
    "dropped_records": 0,
    "keyspace_hits": 2,
    "hits_memory": 1,
    "hits_pending": 0,
    "hits_persistent": 1,
    "keyspace_misses": 4,
    "misses": 3,
    "absent_hits": 1,
    "absent_keys": 1,
    "loads": 2,
    "loads_shared": 2,
    "loads_queued": 0,
    "load_queries": 2,
    "load_failures": 0,
    "load_locks": 0,
    "load_refusals": 0,
    "load_timeouts": 0,
    "commit_timeouts": 0,
    "flush_failures": 0,
    "pending_records": 0,
    "pending_bytes": 0,
    "pending_oldest_seconds": 0,
    "parked_records": 0,
    "writes_waiting_for_room": 0,
    "refused_for_room": 0,
    "database_connected": 1,
    "database_state": "up",
    "database_reason": "-",
    "database_lost_count": 0,
    "retries": 0,
}


def test_an_outage(private_mariadb: MariaDB, nodes: Nodes) -> None:
    options = ["--write-mode=behind", "--write-delay=0", "--load-timeout=200ms", "--pending-max=3"]
    node = nodes.start_secondary(
        persistent=private_mariadb.address, capacity=1, options=[*options, "--pending-wait=200ms"]
    )
    with client_of(node) as client:
        wait_for(client, database_connected=1)
        private_mariadb.kill()
        client.put("a", "x")
        client.put("b", "x")
        client.delete("b")
        assert client.get("a") == "x"
        assert client.get("b") is None
        with pytest.raises(errors.TierUnavailable):
            client.get("nobody")
        client.put("c", "x")
        with pytest.raises(errors.NoRoom):
            client.put("d", "x")
        info = wait_for(client, database_connected=0, database_lost_count=1, database_state="down")
        assert info["load_timeouts"] + info["load_refusals"] == 1
        assert (info["hits_pending"], info["absent_hits"], info["misses"]) == (1, 1, 0)
        assert (info["pending_records"], info["pending_max_records"]) == (3, 3)
        assert 600 < info["pending_bytes"] < 3000
        assert info["refused_for_room"] == 1
        assert info["retries"] >= 1
        assert info["flush_failures"] + info["load_failures"] >= 1
        eventually(lambda: figures(client)["pending_oldest_seconds"] > 0.5, what="the age of the oldest row")
        private_mariadb.start()
        info = wait_for(client, database_connected=1, pending_records=0, pending_bytes=0, pending_oldest_seconds=0)
        assert (info["database_lost_count"], info["flushed_rows"]) == (1, 3)
        # Nobody waits for the load any more, so it is dropped and not asked for.
        info = wait_for(client, loads_queued=0)
        assert info["load_queries"] == info["load_failures"]


OURS = "SELECT id FROM information_schema.processlist WHERE db = 'celonis'"


def test_what_is_in_flight_and_what_waits_are_seen(private_mariadb: MariaDB, nodes: Nodes) -> None:
    options = ["--write-mode=behind", "--write-delay=0", "--load-timeout=200ms"]
    node = nodes.start_secondary(
        persistent=private_mariadb.address,
        pool_size=2,
        options=[*options, "--pending-max=1", "--pending-wait=1m"],
    )
    with client_of(node) as client, client_of(node) as writer:
        # Until all workers are connected: two that read, two that write; and the fence.
        eventually(lambda: len(private_mariadb.query(OURS)) == 5, what="five connections")
        wait_for(client, database_connected=1)
        private_mariadb.pause()
        with pytest.raises(errors.TierUnavailable):
            client.get("nobody")
        client.put("a", "x")
        # Nothing is queued, and the only row is on its way: it has an age all the same.
        eventually(lambda: figures(client)["pending_oldest_seconds"] > 0.3, what="the age of the row in flight")
        writer.timeout = 0.2
        with pytest.raises(errors.CallTimeout):
            writer.put("b", "x")
        wait_for(client, writes_waiting_for_room=1, refused_for_room=0)
        private_mariadb.resume()
        wait_for(client, writes_waiting_for_room=0, pending_records=0, flushed_rows=2)
        # The GET was answered with an error, so what its load finds later is neither a hit nor a miss.
        wait_for(client, absent_keys=1, load_queries=1, load_timeouts=1, misses=0, hits_persistent=0)


def test_parked_rows_are_retried_on_demand(mariadb: MariaDB, nodes: Nodes) -> None:
    node = nodes.start_secondary(persistent=mariadb.address, options=["--write-mode=behind", "--write-delay=0"])
    with client_of(node) as client:
        wait_for(client, database_connected=1)
        assert client.call("RETRY") == 0
        accept_up_to(mariadb, 10)
        client.put("long", "x" * 11)
        client.put("longer", "x" * 12)
        info = wait_for(client, parked_records=2, pending_records=2, pending_oldest_seconds=0)
        assert (info["flushed_rows"], info["retries"], info["database_connected"]) == (0, 0, 1)
        accept_up_to(mariadb, 11)
        assert client.call("RETRY") == 2
        wait_for(client, parked_records=1, pending_records=1, flushed_rows=1)
        node.wait_for_log("retry: 2 parked rows are queued again")
        accept_up_to(mariadb, 12)
        assert run_ckv("shell", "127.0.0.1", str(node.port), stdin="RETRY\n").stdout == "1\n"
        wait_for(client, parked_records=0, pending_records=0)
        with pytest.raises(errors.BadArguments):
            client.call("RETRY", "long")
    assert mariadb.rows() == {b"long": b"x" * 11, b"longer": b"x" * 12}


def test_a_primary(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2)
    one, two = cluster.secondaries
    with client_of(cluster.primary) as client:
        info = figures(client)
        assert (info["role"], info["peers"], info["peers_connected"]) == ("primary", 2, 2)
        assert info["tcp_port"] == cluster.primary.port
        # Each secondary asks once whether it has to join, and goes when it hears that the primary has a list.
        wait_for(client, connected_clients=1)
        one.kill()
        wait_for(client, **{"peers_connected": 1, f"peer_{one.address}_connected": 0})
        assert figures(client)[f"peer_{two.address}_connected"] == 1
        # A secondary that hangs has requests in flight.
        two.pause()
        with client_of(cluster.primary) as other:
            other.timeout = 0.2
            key = next(str(n) for n in range(100) if _owner_is_up(client, str(n)))
            with pytest.raises(errors.CallTimeout):
                other.get(key)
        assert figures(client)[f"peer_{two.address}_in_flight"] >= 1
        two.resume()
        wait_for(client, **{f"peer_{two.address}_in_flight": 0})
        for method, arguments in (("RETRY", ()), ("AUDIT", (0, 10))):
            with pytest.raises(errors.Refused, match="a primary keeps no records; ask the secondary"):
                client.call(method, *arguments)
        assert client.call("PEEK", key) == ["elsewhere", b""]


def _owner_is_up(client: Client, key: str) -> bool:
    """Whether a request for the key is on its way to a secondary, instead of being refused."""
    timeout, client.timeout = client.timeout, 0.2
    try:
        client.get(key)
    except errors.NodeDown:
        return False
    except errors.CallTimeout:
        return True
    finally:
        client.timeout = timeout
    raise AssertionError("a node that is paused answered")


# --- ckv status and the shell ----------------------------------------------------------------------------------------


def status(node: Node, *options: str) -> str:
    run = run_ckv("status", "127.0.0.1", str(node.port), *options)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_status_for_people_and_for_programs(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1)
    secondary = cluster.secondaries[0]
    for node, role in ((cluster.primary, "primary"), (secondary, "secondary")):
        with client_of(node) as client:
            fail_once(client)
        info = json.loads(status(node, "--format=json"))
        assert ("secondaries" in info) == (role == "primary")
        info.pop("secondaries", None)
        check_names(info, role)
        text, _, others = status(node).partition("\n# Problems\n")[0].partition("\n# Secondaries\n")
        assert (secondary.address in others) == (role == "primary")
        groups = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
        assert groups == list(
            dict.fromkeys(figure.group for figure in FIGURES if role in figure.roles and figure.kind != "histogram")
        )
        shown = dict(line.split(" ") for line in text.splitlines() if line and not line.startswith("# "))
        assert set(shown) == set(info)
        assert shown["tcp_port"] == str(node.port)
    shell = run_ckv("shell", "127.0.0.1", str(secondary.port), stdin="INFO\n")
    assert shell.stdout.startswith("# Server\nckv_version ")
    assert "\nrecords 0\n" in shell.stdout


def test_status_of_a_node_that_does_not_answer_is_one_line_and_exit_code_1(nodes: Nodes) -> None:
    port = free_port()
    run = run_ckv("status", "127.0.0.1", str(port))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"ckv: Unreachable: 127.0.0.1:{port} cannot be reached: ")
    assert run.stderr.count("\n") == 1
    node = nodes.start_secondary()
    node.pause()
    run = run_ckv("status", "127.0.0.1", str(node.port), "--timeout=200ms", "--format=json")
    node.resume()
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == f"ckv: CallTimeout: 127.0.0.1:{node.port} did not answer within 0.2 s\n"
