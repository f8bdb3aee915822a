"""``--http``: metrics as another parser reads them, health checks, and bounds on clients, of real nodes."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from ckv import Client, errors
from ckv.node.figures import FIGURES
from ckv.node.overview import TIMED
from ckv.protocol.latencies import BOUNDS
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port
from tests.system.registered import Joined


def address_of(node: Node) -> tuple[str, int]:
    found = re.search(r"http://(\S+):(\d+)", node.wait_for_log("health checks are at"))
    assert found
    return found[1], int(found[2])


def ask(node: Node, path: str, method: str = "GET") -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(*address_of(node), timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def samples(node: Node) -> Iterator[tuple[str, dict[str, str], float]]:
    answer, text = ask(node, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            yield sample.name, dict(sample.labels), sample.value


def test_every_figure_is_a_metric_of_a_primary_or_a_secondary(nodes: Nodes) -> None:
    cluster = nodes.start_cluster(1, secondary_options=["--http=0"], primary_options=["--http=127.0.0.1:0"])
    address = cluster.secondaries[0].address
    for node, role in ((cluster.primary, "primary"), (cluster.secondaries[0], "secondary")):
        with Client("127.0.0.1", node.port) as client, pytest.raises(errors.UnknownMethod):
            client.call("NONE")
        found = list(samples(node))
        (info,) = [labels for name, labels, _ in found if name == "ckv_info"]
        for figure in FIGURES:
            if role not in figure.roles or figure.kind in ("text", "histogram"):
                continue
            if figure.kind == "label":
                assert figure.metric in info
                continue
            varying = {"": dict(figure.labels[:1]), "ADDRESS": {"peer": address}, "CODE": {"code": "UnknownMethod"}}
            wanted = varying[figure.wildcard]
            assert [name for name, labels, _ in found if name == figure.metric and labels == wanted], figure.name
        assert info["role"] == role
        assert len({(name, *sorted(labels.items())) for name, labels, _ in found}) == len(found)


def test_metrics_count(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--http=0"])
    with Client("127.0.0.1", node.port) as client:
        client.put("a", "x")
        assert [client.get(key) for key in ("a", "a", "b")] == ["x", "x", None]
    found = {(name, labels.get("tier")): value for name, labels, value in samples(node)}
    assert (found["ckv_hits_total", "memory"], found["ckv_hits_total", "pending"]) == (2, 0)
    assert (found["ckv_records", None], found["ckv_keyspace_misses_total", None]) == (1, 1)


def test_errors_are_counted_by_code(nodes: Nodes) -> None:
    """At a node, and at the primary that passes them on."""
    cluster = nodes.start_cluster(1, secondary_options=["--http=0"], primary_options=["--http=0"])
    (node,) = cluster.secondaries

    def counted(asked: Node) -> Counter[str]:
        found = {labels["code"]: int(value) for name, labels, value in samples(asked) if name == "ckv_errors_total"}
        (total,) = [value for name, _, value in samples(asked) if name == "ckv_error_replies_total"]
        assert total == sum(found.values())
        return Counter(found)

    for asked in (node, cluster.primary):
        with Client("127.0.0.1", asked.port) as client, redis.Redis(port=asked.port) as other:
            other.ping()  # what it asks at first, which ckv may not have
            before, of_node = counted(asked), counted(node)
            client.put("a", "text")
            for _ in range(2):
                with pytest.raises(errors.NotANumber):
                    client.incr("a")
            with pytest.raises(redis.ResponseError):
                other.incr("a")
            with pytest.raises(redis.ResponseError):
                other.execute_command("PUT", "a", "b")
            assert counted(asked) - before == {"NotANumber": 2, "ERR": 2}
            assert counted(node) - of_node == ({"NotANumber": 2, "ERR": 2} if asked is node else {"NotANumber": 3})
            assert other.info("errorstats")["errorstat_ERR"]["count"] == counted(asked).total()
            assert other.info("commandstats")["cmdstat_set"]["calls"] == 1


def test_latencies_are_histograms(nodes: Nodes, mariadb: MariaDB) -> None:
    """As Prometheus reads them: of all calls, those that memory decides, that handlers do, and that wait."""
    cluster = nodes.start_cluster(
        1, secondary_options=["--http=0"], primary_options=["--http=0"], persistent=mariadb.address
    )
    (node,) = cluster.secondaries
    with Client("127.0.0.1", cluster.primary.port) as client, redis.Redis(port=node.port) as other:
        client.put_many({f"key {number}": "v" for number in range(50)})
        for _ in range(3):
            client.get("key 1")
        client.get("none")  # waits for the database
        other.set("x", 1)
        other.set("y", 1, nx=True)
        other.incr("x")
        other.mget("key 1", "x")
        other.ping()
    for asked, calls in ((node, {"GET": 6, "INCRBY": 1, "PUT": 52}), (cluster.primary, {"GET": 4, "PUT": 50})):
        _, text = ask(asked, "/metrics")
        (family,) = [each for each in text_string_to_metric_families(text) if each.name == "ckv_call_seconds"]
        assert family.type == "histogram"
        by_kind: dict[str, dict[str, list[float]]] = {}
        for sample in family.samples:
            of_kind = by_kind.setdefault(sample.name.removeprefix("ckv_call_seconds_"), {})
            of_kind.setdefault(sample.labels["method"], []).append(sample.value)
        assert by_kind["count"] == {method: [count] for method, count in calls.items()}
        assert all(0 < seconds < 10 for (seconds,) in by_kind["sum"].values())
        assert all(len(buckets) == len(BOUNDS) + 1 for buckets in by_kind["bucket"].values())
        assert all(buckets == sorted(buckets) for buckets in by_kind["bucket"].values())
        assert {method: [buckets[-1]] for method, buckets in by_kind["bucket"].items()} == by_kind["count"]


def test_health(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start_secondary(persistent=f"sqlite:{tmp_path}/ckv.db", options=["--http=0"])
    assert ask(node, "/livez")[1] == "ok\n"
    answer, text = ask(node, "/readyz")
    assert answer.status == 503
    assert "[-]part failed: no primary" in text
    assert ask(node, "/readyz?exclude=part")[0].status == ask(node, "/readyz/database")[0].status == 200
    assert ask(node, "/readyz?exclude=parts")[0].status == 400
    primary = nodes.start_primary(node, options=["--http=0"])
    eventually(lambda: ask(node, "/readyz")[0].status == 200, what="a primary")
    eventually(lambda: ask(primary, "/readyz")[0].status == 200, what="a secondary, of which it may hear later")
    assert node.terminate() == 0, node.tail()
    eventually(lambda: ask(primary, "/readyz/secondaries")[0].status == 503, what="the loss")


def test_a_secondary_without_slots_is_not_ready(nodes: Nodes, mariadb: MariaDB) -> None:
    cluster = Joined(nodes, mariadb, "evict", "--http=0")
    cluster.add("a")
    cluster.wait_level("a")
    eventually(lambda: ask(cluster.secondaries["a"], "/readyz")[0].status == 200, what="it has heard of its slots")
    port = str(cluster.primary.port)
    assert run_ckv("rebalance", "127.0.0.1", port, "off").returncode == 0
    cluster.add("b")
    other = cluster.secondaries["b"]
    eventually(lambda: "[-]part failed: it owns no slots" in ask(other, "/readyz")[1], what="it has joined")
    assert ask(other, "/readyz")[0].status == 503
    assert run_ckv("rebalance", "127.0.0.1", port, "on").returncode == 0
    eventually(lambda: ask(other, "/readyz")[0].status == 200, 30.0, "slots")


def test_the_figure_ready_is_what_readyz_says(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--http=0"])

    def ready() -> tuple[int, object]:
        with Client("127.0.0.1", node.port) as client:
            info = client.call("INFO")
        assert isinstance(info, dict)
        return ask(node, "/readyz")[0].status, info["ready"]

    assert ready() == (503, 0)
    nodes.start_primary(node)
    eventually(lambda: ready() == (200, 1), what="a primary")


def test_status_is_what_info_says_and_more(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--http=0"])
    with Client("127.0.0.1", node.port) as client:
        info = client.call("INFO")
    assert isinstance(info, dict)
    more = {"now", "problems", "cluster", "slow_latest", *TIMED}
    assert not more & info.keys()
    assert json.loads(ask(node, "/status.json")[1]).keys() == info.keys() | more


def test_what_is_not_served(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--http=0"])
    assert ask(node, "/nothing")[0].status == 404
    answer, _ = ask(node, "/metrics", "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert ask(node, "/metrics", "HEAD")[1] == ""


def test_a_large_head_and_a_slow_client_are_cut_off(nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--http=0"])
    with socket.create_connection(address_of(node), timeout=20) as large:
        large.sendall(b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 3000)
        assert b" 400 " in large.recv(100)
    slow = [socket.create_connection(address_of(node), timeout=20) for _ in range(40)]  # more than there are places
    for one in slow:
        one.sendall(b"GET /li")
    assert ask(node, "/livez")[0].status == 200
    for one in slow:
        assert one.recv(1) == b""
        one.close()


@pytest.mark.parametrize("taken", ["http", "main"])
def test_a_port_that_is_taken(nodes: Nodes, taken: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        main, http = (0, port) if taken == "http" else (port, 0)
        node = nodes.start(["primary", f"--http={http}", str(main), "127.0.0.1:1"], 2, wait=False)
        assert node.wait() == 4
        assert any(f"cannot listen on 127.0.0.1:{port}" in line for line in node.log), node.tail()
