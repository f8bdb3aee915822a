"""How long compiled code says that requests took: each that it answers counts once, with the time of its batch."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import core
from ckv.node.hotkeys import HotKeys
from ckv.protocol.latencies import BOUNDS, KINDS, Latencies
from tests.core.nodes import OF_A_SMALLER_NODE, Node, Primary, packed
from tests.core.resp import RespNode, requests

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")


def counted(node: Any) -> dict[str, int]:
    """The calls that the node's compiled code has timed, by method."""
    core: Any = node._core if isinstance(node, Node) else node.core
    found = {}
    for name, (counts, seconds) in zip(KINDS, core.told_times(), strict=True):
        assert len(counts) == len(BOUNDS) + 1
        assert (seconds > 0) == any(counts)
        assert seconds < 1
        found[name] = sum(counts)
    return found


def test_msgpack_rpc() -> None:
    latencies = Latencies()
    node = Node("lru", quick=True, tier=False, hot=HotKeys(lambda: 0.0, latencies))
    sent: list[object] = [
        [0, 1, "PUT", ["a", "v"]],
        [0, 2, "GET", ["a"]],
        [0, 3, "PING", []],
        [0, 4, "INCRBY", ["n", 1]],
    ]
    node.received(packed(sent))
    node.received(packed([[0, 5, "BATCH", ["GET", ["a"], "EXISTS", ["a"], "DEL", ["a"], "GET", ["a"]]]]))
    assert counted(node) == {"GET": 3, "PUT": 1, "DEL": 1, "EXISTS": 1}
    told = {name: sum(histogram.counts) for name, histogram in latencies.told().items()}
    assert told == {"GET": 3, "PUT": 1, "DEL": 1, "EXISTS": 1, "INCRBY": 1}


def test_clients_of_redis() -> None:
    node = RespNode(quick=True, tier=False, hot=HotKeys(lambda: 0.0, Latencies()))
    node.received(
        requests([("SET", "a", "1"), ("GET", "a"), ("MGET", "a", "b"), ("PING",), ("EXISTS", "a"), ("DEL", "a")])
    )
    assert counted(node) == {"GET": 3, "PUT": 1, "DEL": 1, "EXISTS": 1}


def test_a_primary_times_each_call_that_it_passes_on() -> None:
    """Also those whose answers come by themselves, or are no ordinary ones."""
    keys = ["{x}a", "{x}b", "{x}large", "other"]
    values = dict.fromkeys(keys, "v") | {"{x}large": "x" * 9_000}
    calls: list[tuple[str, list[object]]] = [("PUT", [key, value]) for key, value in values.items()]
    calls += [("GET", [key]) for key in [*keys, "none"]]
    calls += [("EXISTS", ["{x}a"]), ("DEL", ["{x}b"])]
    calls += [("PUT", ["{x}c", "z" * (OF_A_SMALLER_NODE + 1)]), ("GET", [keys[0]])]
    calls += [("GET", ["{x}large"])] * 8  # more than one answer to a BATCH has room for
    told = []
    for quick in (True, False):
        primary = Primary(quick=quick)
        primary.received(packed([[0, number, *call] for number, call in enumerate(calls)]), [])
        assert len(primary.client.messages()) == len(calls)
        latencies = primary.slow.latencies.told()
        told.append({name: sum(histogram.counts) for name, histogram in latencies.items()})
        assert all(0 < histogram.seconds < 10 for histogram in latencies.values())
    assert told == [{"DEL": 1, "EXISTS": 1, "GET": 14, "PUT": 5}] * 2


def test_errors_that_a_primary_passes_on_are_counted() -> None:
    """In a message of several, where compiled code copies them, and by themselves."""
    too_large = [0, 7, "PUT", ["{x}b", "z" * (OF_A_SMALLER_NODE + 1)]]
    for quick in (True, False):
        primary = Primary(quick=quick)
        primary.received(packed([[0, 1, "PUT", ["{x}a", "v"]], too_large, [0, 2, "GET", ["{x}a"]]]), [])
        assert primary.slow.errors.by_code == {"ValueTooLarge": 1}
        primary.received(packed([too_large]), [])
        assert primary.slow.errors.by_code == {"ValueTooLarge": 2}
        assert [message[2] is None for message in primary.client.messages()] == [True, False, True, False]


def test_all_of_a_batch_took_as_long() -> None:
    node = Node("lru", quick=True, tier=False, hot=HotKeys(lambda: 0.0, Latencies()))
    node.received(packed([[0, number, "GET", ["a"]] for number in range(1000)]))
    ((counts, seconds), *_) = node._core.told_times()  # type: ignore[union-attr]
    assert max(counts) == sum(counts) == 1000
    bucket = counts.index(1000)
    assert (0.0, *BOUNDS)[bucket] < seconds / 1000 <= BOUNDS[bucket]
