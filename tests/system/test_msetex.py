"""MSETEX as redis-py sends it to real nodes, whose records are mostly in files by the time that they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.commands.core import DataPersistOptions

from tests.support.nodes import Nodes

PAST = 1_000
"""A time of the epoch that is over, in seconds as in milliseconds."""

NX, XX = DataPersistOptions.NX, DataPersistOptions.XX


@pytest.fixture(params=["primary", "secondary"])
def client(request: pytest.FixtureRequest, nodes: Nodes, tmp_path: Path) -> Iterator[redis.Redis]:
    secondaries = [
        nodes.start_secondary(persistent=f"sqlite:{tmp_path}/{name}.db", capacity=2, name=name)
        for name in ("one", "two")
    ]
    asked = secondaries[0]
    if request.param == "primary":
        asked = nodes.start_primary(*secondaries)
        for secondary in secondaries:
            asked.wait_peer(secondary.address)
    with redis.Redis(port=asked.port, socket_timeout=20) as client:
        yield client


def test_many_keys_of_several_nodes(client: redis.Redis) -> None:
    records = {f"key {number}": f"value {number}" for number in range(100)}
    assert client.msetex(records, ex=100) == 1
    assert client.mget(records) == [value.encode() for value in records.values()]
    assert all(90 < client.ttl(key) <= 100 for key in records)
    records = dict.fromkeys(records, "new")
    assert client.msetex(records, keepttl=True) == 1
    assert client.mget(records) == [b"new"] * 100
    assert all(90 < client.ttl(key) <= 100 for key in records)
    assert client.msetex(records) == 1
    assert all(client.ttl(key) == -1 for key in records)
    assert client.msetex(records, exat=PAST) == 1
    assert client.exists(*records) == 0


@pytest.mark.parametrize("options", [{}, {"px": 100_000}])
def test_all_or_none_of_the_keys_of_one_node(client: redis.Redis, options: dict[str, Any]) -> None:
    first = {f"{{tag}}{number}": "first" for number in range(20)}
    second = dict.fromkeys(first, "second")
    more = {**second, "{tag}more": "second"}
    ends = range(90_000, 100_001) if options else range(-1, 0)

    assert client.msetex(first, XX, **options) == 0
    assert client.mget(first) == [None] * 20
    assert client.msetex(first, NX, **options) == 1
    for condition in (NX, XX):
        assert client.msetex(more, condition, **options) == 0, "all but one are there"
    assert client.mget(more) == [*[b"first"] * 20, None]
    assert client.msetex(second, XX, **options) == 1
    assert client.mget(second) == [b"second"] * 20
    assert all(client.pttl(key) in ends for key in second)
    client.pexpireat("{tag}7", PAST)
    assert client.msetex(first, XX, **options) == 0, "one has expired"
    assert client.get("{tag}8") == b"second"


def test_a_condition_over_several_nodes(client: redis.Redis, request: pytest.FixtureRequest) -> None:
    records = {f"key {number}": "value" for number in range(20)}
    if "secondary" in request.node.name:
        assert client.msetex(records, NX) == 1, "it has all keys itself"
        return
    for condition in (NX, XX):
        with pytest.raises(redis.RedisError, match=r"CrossNode: .* are on several nodes"):
            client.msetex(records, condition)
    assert client.exists(*records) == 0
