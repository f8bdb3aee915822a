"""Commands that read before they write, through a primary to real nodes, by hand and by the Python client."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import cast

import pytest

from ckv import Client, NotANumber, ValueTooLarge
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Cluster, Nodes
from tests.support.wire import RawClient, RemoteError, pack

MODES = ("evict", "behind", "through")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Nodes() as nodes:
        yield nodes.start_cluster(2)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client("127.0.0.1", cluster.primary.port) as client:
        yield client


def test_the_methods_of_the_client(client: Client) -> None:
    assert client.incr("number") == 1
    assert client.incr("number", 41) == 42
    assert client.decr("number", 2) == 40
    assert client.get("number") == "40"
    assert client.incr_float("number", 0.5) == 40.5
    assert client.incr_float("number", Decimal("0.25")) == 40.75
    with pytest.raises(NotANumber):
        client.incr("number")
    assert client.length("number") == 5
    assert client.append("number", b"!") == 6
    assert client.add("number", "x") is False
    assert client.replace("number", "x") is True
    assert client.compare_and_put("number", "y", "z") is False
    assert client.compare_and_put("number", b"x", "z") is True
    assert client.get_and_put("number", b"last") == "z"
    assert client.delete_if("number", "z") is False
    assert client.pop("number") == b"last"
    assert client.pop("number") is None
    assert client.pop("number", 5) == 5
    assert client.exists("number") is False
    assert client.length("number") == 0
    assert client.get_and_put("number", "1", default="none") == "none"
    assert client.replace("no such", "x") is False
    assert client.add("new", b"x") is True
    assert client.delete_if("new", "x") is True
    assert client.delete_if("new", "x") is False


def test_many_keys(client: Client) -> None:
    records = {f"many {number}": str(number) for number in range(300)}
    client.put_many(records)
    assert client.get_many([*records, "no such", "many 1"]) == records
    assert client.get_many([]) == {}
    client.put_many({})
    with pytest.raises(ValueTooLarge):
        client.put_many({"many 1": "again", "too long": "x" * (2**20 + 1)})
    assert client.get("many 1") == "again"


def test_what_expires(client: Client) -> None:
    client.put("expires", "1", expire=100)
    assert 90 < cast(float, client.ttl("expires")) <= 100
    assert client.incr("expires") == 2
    assert client.ttl("expires") != math.inf
    assert client.persist("expires") is True
    assert client.persist("expires") is False
    assert client.ttl("expires") == math.inf
    assert client.expire("expires", 1000) is True
    assert 990 < cast(float, client.ttl("expires")) <= 1000
    client.put("expires", "2")
    assert client.ttl("expires") == math.inf
    assert client.compare_and_put("expires", "2", "3", expire=200) is True
    assert 190 < cast(float, client.ttl("expires")) <= 200
    assert client.replace("expires", "4", expire=300) is True
    assert 290 < cast(float, client.ttl("expires")) <= 300
    client.delete("expires")
    assert client.ttl("expires") is None
    assert client.expire("expires", 5) is False
    assert client.add("expires", "5", expire=0.001) is True
    eventually(lambda: client.get("expires") is None)
    client.put_many({"expires": "6", "expires too": "7"}, expire=400)
    assert all(390 < cast(float, client.ttl(key)) <= 400 for key in ("expires", "expires too"))


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 1e20])
def test_a_time_that_is_none(client: Client, seconds: float) -> None:
    store: list[Callable[..., object]] = [client.put, client.add, client.replace, client.pipeline().put]
    for method in store:
        with pytest.raises(ValueError, match="allowed is a number of seconds above 0"):
            method("no time", "v", expire=seconds)
    with pytest.raises(ValueError, match="allowed is a number of seconds above 0"):
        client.expire("no time", seconds)
    assert client.get("no time") is None


def test_a_pipeline_on_one_key_is_carried_out_in_its_order(cluster: Cluster) -> None:
    """Also where compiled code passes some of the requests on, and Python the others."""
    with RawClient(cluster.primary.address) as raw:
        requests: list[tuple[str, list[object]]] = []
        for _ in range(40):
            requests += [
                ("PUT", ["k", "1"]), ("INCRBY", ["k", 1]), ("GET", ["k"]), ("APPEND", ["k", "0"]), ("GET", ["k"]),
                ("SET", ["k", "5", 0, "IFEQ", "20", "GET"]), ("DEL", ["k"]), ("EXISTS", ["k"]),
            ]  # fmt: skip
        raw.send(b"".join(pack([0, 1000 + msgid, *request]) for msgid, request in enumerate(requests)))
        found = dict(raw.recv_response()[:3:2] for _ in requests)
        results = [found[1000 + msgid] for msgid in range(len(requests))]
    once = [True, 2, [True, "2"], 2, [True, "20"], [True, True, "20"], True, False]
    assert results == 40 * once


def test_the_primary_names_what_is_wrong(cluster: Cluster) -> None:
    with RawClient(cluster.primary.address) as raw:
        for params, named in (
            (["k", "1"], "2 arguments; it is SET key value"),
            (["k", "1", 0, ["NX"], "", ""], "condition must be a number, a str or a bin, not tuple"),
            (["k", "x" * (2**20 + 1), 0, "", "", ""], "ValueTooLarge"),
            (["k", "x", 0, "IFEQ", "x" * (2**20 + 1), ""], "ValueTooLarge"),
            (["k", "x", 0, "x" * 6000, "", ""], "ValueTooLarge"),
            ([["k"], "x", 0, "", "", ""], "a key must be"),
        ):
            with pytest.raises(RemoteError, match=named):
                raw.call("SET", *params)
        assert raw.call("EXISTS", "k") is False


@pytest.mark.parametrize("mode", MODES)
def test_values_that_only_the_database_has(mariadb: MariaDB, nodes: Nodes, mode: str) -> None:

    cluster = nodes.start_cluster(
        1, persistent=mariadb.address, capacity=2, secondary_options=[f"--write-mode={mode}", "--write-delay=20ms"]
    )
    with Client("127.0.0.1", cluster.primary.port) as client:
        keys = [f"key {number}" for number in range(40)]
        for rounds in range(1, 4):
            assert [client.incr(key) for key in keys] == len(keys) * [rounds]
        with client.pipeline() as calls:
            for key in keys:
                calls.call("INCRBY", key, 1)
                calls.call("INCRBY", key, 1)
                calls.get(key)
            results = calls.execute()
        assert results[::3] == len(keys) * [4]
        assert results[1::3] == len(keys) * [5]
        assert set(results[2::3]) <= ({"5"} if mode != "through" else {"3", "4", "5"})
        assert [client.pop(key) for key in keys] == len(keys) * ["5"]
        assert client.get_many(keys) == {}
    for node in cluster.secondaries:
        assert node.terminate() == 0
    assert mariadb.rows() == {}
