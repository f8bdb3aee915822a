"""Which keys are noted that were asked for: compiled code and the handlers together note what the handlers alone do."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import accumulate, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv import core
from ckv.node.hotkeys import HotKeys
from ckv.protocol.latencies import Latencies
from ckv.store import Records
from tests.core.messages import requests
from tests.core.nodes import CAPACITY, Node, packed, pieces
from tests.core.resp import RespNode
from tests.core.resp import requests as resp_requests

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")


class Noting(HotKeys):
    """Notes each key, or one after so many others."""

    def __init__(self, to_skip: int = 0) -> None:
        self._fixed = to_skip
        super().__init__(lambda: 0.0, Latencies())
        self.keys: list[bytes] = []

    def sample(self, key: bytes) -> int:
        self.keys.append(key)
        return self._fixed

    def _to_skip(self) -> int:
        return self._fixed


def noted(data: bytes, make: Callable[[HotKeys, bool], Node | RespNode], cuts: Iterable[int] = ()) -> list[list[bytes]]:
    """The keys that a node with compiled code notes, and one without."""
    found = []
    for quick in (True, False):
        hot = Noting()
        node = make(hot, quick)
        for piece in pieces(data, cuts):
            node.received(piece)
        found.append(hot.keys)
    return found


class Deleting(Noting):
    """Deletes the record whose key it notes, and has others take its memory: so could a finalizer, of any object, that
    the garbage collector calls meanwhile."""

    store: Records | None = None
    """None while it does not."""

    def sample(self, key: bytes) -> int:
        if self.store is not None:
            value = self.store.memory.get(key.decode())
            assert value is not None
            self.store.delete(key.decode())
            for number in range(20):
                self.store.put(f"other {number}", "-" * len(value))
        return super().sample(key)


def rpc(hot: HotKeys, quick: bool) -> Node:
    return Node("lru", quick=quick, tier=True, hot=hot)


def resp(hot: HotKeys, quick: bool) -> RespNode:
    return RespNode(quick=quick, tier=False, hot=hot)


@pytest.mark.parametrize("batch", [False, True])
def test_each_key_is_noted_once_whoever_answers(batch: bool) -> None:
    calls: list[tuple[str, list[object]]] = [
        ("PUT", ["a", "v"]),
        ("GET", ["a"]),
        ("GET", [b"none"]),  # which waits for the database
        ("EXISTS", ["a"]),
        ("INCRBY", ["n", 1]),
        ("PUT", ["large", "x" * 17_000]),
        ("GET", ["large"]),
        ("DEL", ["a"]),
    ]
    if batch:
        sent: list[object] = [[0, 1, "BATCH", [part for call in calls for part in call]]]
    else:
        sent = [[0, number, *call] for number, call in enumerate(calls)]
    quick, plain = noted(packed(sent), rpc)
    assert quick == plain == [b"a", b"a", b"none", b"a", b"n", b"large", b"large", b"a"]
    # Each by itself, so that it is looked at beside those of other clients.
    assert noted(packed(sent), rpc, accumulate(len(packed([message])) for message in sent)) == [quick, plain]


def test_of_a_batch_what_compiled_code_asks_for_is_noted_once() -> None:
    calls: list[object] = ["PUT", ["a", "v"], "GET", ["none"], "GET", ["a"], "EXISTS", ["other"], "GET", ["a"]]
    quick, plain = noted(packed([[0, 1, "BATCH", calls]]), rpc)
    assert Counter(quick) == Counter(plain) == {b"a": 3, b"none": 1, b"other": 1}


def test_a_large_value_that_arrives_in_pieces_is_noted_once() -> None:
    data = packed([[0, 1, "PUT", ["a", b"y" * 100_000]], [0, 2, "GET", ["a"]]])
    assert noted(data, rpc, range(0, len(data), 10_000)) == [[b"a", b"a"]] * 2


def test_clients_of_redis() -> None:
    sent = [("SET", "a", "1"), ("PING",), ("GET", "a"), ("MGET", "a", "b", "c"), ("INCR", "a"), ("EXISTS", "a")]
    sent += [("SET", "x", "1", "EX", "9"), ("MSET", "m", "1", "n", "2"), ("DEL", "a"), ("DEL", "m", "n"), ("GET", "ü")]
    quick, plain = noted(resp_requests(sent), resp)
    assert Counter(quick) == Counter(plain)
    assert Counter(quick)[b"a"] == 6
    assert Counter(quick)["ü".encode()] == 1
    assert b"PING" not in quick


@pytest.mark.parametrize("to_skip", [0, 1, 2, 31, 40])
def test_compiled_code_passes_over_as_many_as_it_is_told(to_skip: int) -> None:
    hot = Noting(to_skip)
    node = Node("lru", quick=True, tier=False, hot=hot)
    keys = [f"{number}" for number in range(200)]
    sent: list[object] = [[0, number, "GET", [key]] for number, key in enumerate(keys[:100])]
    sent += [[0, 200, "BATCH", [part for key in keys[100:] for part in ("GET", [key])]]]
    node.received(packed(sent))
    assert hot.keys == [key.encode() for key in keys[to_skip :: to_skip + 1]]


def test_what_noting_raises_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    # The type alone: what was raised holds the frames that hold the node, to the end of the process.
    monkeypatch.setattr(sys, "unraisablehook", lambda told: raised.append(told.exc_type))

    class Broken(Noting):
        def sample(self, key: bytes) -> int:
            raise MemoryError

    node = Node("lru", quick=True, tier=False, hot=Broken())
    node.received(packed([[0, 1, "PUT", ["a", "v"]], [0, 2, "GET", ["a"]]]))
    assert node.messages() == [[1, 1, None, True], [1, 2, None, [True, "v"]]]
    assert raised == [MemoryError] * 2


@pytest.mark.parametrize(
    ("way", "size"),
    [*product(["alone", "together"], [100, 17_000]), ("as one", 100)],  # a BATCH puts long values off
)
def test_a_record_that_is_deleted_by_noting_is_answered_as_it_was(way: str, size: int) -> None:
    values = {f"k{number}": letter * size for number, letter in enumerate("abc")}

    hot = Deleting()
    node = Node("lru", quick=True, tier=False, capacity=100, hot=hot)
    node.received(packed([0, number, "PUT", list(record)] for number, record in enumerate(values.items())))
    node.sent()
    hot.store = node.store
    calls: list[object] = [[0, number, "GET", [key]] for number, key in enumerate(values)]
    if way == "as one":
        calls = [[0, 9, "BATCH", [part for key in values for part in ("GET", [key])]]]
    for piece in [[call] for call in calls] if way == "alone" else [calls]:
        node.received(packed(piece))
    found = [[True, value] for value in values.values()]
    if way == "as one":
        assert node.messages() == [[1, 9, None, found]]
    else:
        assert node.messages() == [[1, number, None, each] for number, each in enumerate(found)]
    assert not node.left

    hot = Deleting()
    resp_node = RespNode(quick=True, tier=False, capacity=100, hot=hot)
    resp_node.received(resp_requests([("SET", *record) for record in values.items()]))
    resp_node.sent = b""
    hot.store = resp_node.store
    commands = [("MGET", *values)] if way == "as one" else [("GET", key) for key in values]
    for some in [[command] for command in commands] if way == "alone" else [commands]:
        resp_node.received(resp_requests(some))
    head = b"*3\r\n" if way == "as one" else b""
    assert resp_node.sent == head + b"".join(b"$%d\r\n%b\r\n" % (size, value.encode()) for value in values.values())
    assert not resp_node.left


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(requests, max_size=30), cuts=st.lists(st.integers(min_value=0), max_size=6), tier=st.booleans())
def test_both_note_the_same(sent: list[object], cuts: list[int], tier: bool) -> None:
    def make(hot: HotKeys, quick: bool) -> Node:
        return Node("lru", quick=quick, tier=tier, capacity=CAPACITY, hot=hot)

    quick, plain = noted(packed(sent), make, cuts)
    assert Counter(quick) == Counter(plain)
