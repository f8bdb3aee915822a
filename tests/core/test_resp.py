"""The serve loop of RESP beside its twin: whatever arrives, however it is cut, both give the same answers in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ckv import core
from ckv.address import Address
from ckv.cluster.slots import slot_of
from ckv.cluster.view import of_list
from ckv.node.secondary import serve_loops
from ckv.protocol.limits import RECV_BYTES_OF_LARGE
from ckv.protocol.resp.quick import QuickRespSession
from ckv.protocol.resp.session import RespSession
from ckv.store.modes import EvictStore
from tests.core.nodes import CAPACITY, LIMITS, Node, pieces, receive_all
from tests.core.nodes import packed as packed_rpc
from tests.core.resp import RespClient, RespNode, request, requests, resp_methods
from tests.support.line import Nowhere

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

KEYS = [b"a", b"b", b"key", b"", "ü".encode(), b"\xff", b"k" * 1024, b"k" * 1025, b"a\r\nb"]
VALUES = [b"", b"v", b"\r\n", b"x" * 300, b"y" * 17_000, b"z" * 70_000, b"w" * 200_000, b"w" * 200_001]
NAMES = [
    "GET",
    "get",
    "gEt",
    "SET",
    "set",
    "DEL",
    "Del",
    "EXISTS",
    "exists",
    "PING",
    "ping",
    "GE\x54",
    "G\x05T",
    "NONE",
]

keys = st.sampled_from(KEYS) | st.binary(max_size=3)
values = st.sampled_from(VALUES)
calls = st.one_of(
    st.tuples(st.sampled_from(["GET", "get", "DEL", "EXISTS", "TYPE", "STRLEN"]), keys),
    st.tuples(st.sampled_from(["SET", "set"]), keys, values),
    st.sampled_from([("PING",), ("PING", "x"), ("HELLO", "3"), ("HELLO", "2"), ("NONE", "a")]),
    st.lists(keys, max_size=3).map(lambda many: ("MGET", *many)),
    st.tuples(st.sampled_from(NAMES), keys),
    st.tuples(st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(NAMES), keys, keys),
)
HEADS = [b"*1\r\n", b"*01\r\n", b"*+1\r\n", b"*-1\r\n", b"*0\r\n", b"$-1\r\n", b"*4294967299\r\n", b"*99999999999\r\n"]
HEADS += [
    b"*2\r\n$3\r\nGET\r\n$4294967297\r\na\r\n",
    b"*2\r\n$3\r\nGET\r\n$9999999999\r\n",
    b"*2\r\n$3\r\nGET\r\n$65536\r\n",
]
# These are 2 and 1 to whoever counts in 64 bits.
HEADS += [b"*18446744073709551618\r\n$3\r\nGET\r\n$1\r\na\r\n", b"*2\r\n$3\r\nGET\r\n$18446744073709551617\r\na\r\n"]
HEADS += [b"*2\r\n$3\r\nGET\r\n$18446744073709551615\r\n", b"*2\r\n$03\r\nGET\r\n$1\r\na\r\n", b"GET a\r\n", b"\r\n"]
HEADS += [
    b"*2\r\n$3\r\nGET\r\n$1\r\nab\r\n",
    b"*2\r\n$3\r\nGET\n\r$1\r\na\r\n",
    b"*3\n$",
    b"*1025\r\n" + b"$1\r\na\r\n" * 1025,
]


def served(data: bytes, cuts: Iterable[int], policy: str = "lru", *, tier: bool = False) -> tuple[RespNode, RespNode]:
    """A node with the serve loop and one without, which have been sent the same."""
    quick, plain = RespNode(policy, quick=True, tier=tier), RespNode(policy, quick=False, tier=tier)
    for piece in pieces(data, cuts):
        quick.received(piece)
        plain.received(piece)
    return quick, plain


def figures(node: RespNode) -> dict[str, object]:
    """What is counted, but for bytes, which malloc may round up."""
    found = asdict(node.store.measured())
    return {name: figure for name, figure in found.items() if not name.endswith("_bytes")}


def check_same(quick: RespNode, plain: RespNode) -> None:
    assert quick.sent == plain.sent
    assert bool(quick.session.failed) == bool(plain.session.failed)
    assert quick.session.in_flight == plain.session.in_flight
    if not plain.session.failed:
        assert quick.session.ended() == plain.session.ended()
    quick.store.check()
    assert figures(quick) == figures(plain)
    assert quick.store.memory.new_version() == plain.store.memory.new_version()
    assert quick.records() == plain.records()


@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
def test_a_request_may_be_cut_anywhere(tier: bool) -> None:
    sent = [
        ("SET", "a", "v" * 40),
        ("get", "a"),
        ("MGET", "a", "b"),
        ("PING",),
        ("Exists", "a"),
        ("DEL", "a"),
        ("GET", "a"),
    ]
    data = requests(sent)
    for cut in range(len(data)):
        check_same(*served(data, [cut], tier=tier))
    check_same(*served(data, range(len(data)), tier=tier))


def test_what_memory_decides_is_not_left_to_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all tests here could pass without the serve loop."""
    sent = [
        ("SET", "a", "v"),
        ("GET", "a"),
        ("set", "b", "x" * LIMITS.max_value_bytes),
        ("gEt", "none"),
        ("EXISTS", "a"),
    ]
    sent += [("EXISTS", "none"), ("DEL", "a"), ("DEL", "a"), ("PING",), ("GET", "b"), ("SET", "", "")]
    data = requests(sent)
    quick, plain = RespNode(quick=True, tier=False), RespNode(quick=False, tier=False)
    plain.received(data)
    with monkeypatch.context() as patched:
        patched.setattr(RespSession, "received", None)
        quick.received(data)
    assert quick.left == 0
    check_same(quick, plain)


@pytest.mark.parametrize("lone", [False, True])
def test_what_is_another_nodes_is_left_to_the_session(lone: bool) -> None:
    """Also where the table has it, from before the node was told, and also where the value is large."""
    view = of_list([Address("a", 1), Address("b", 2)], 1)
    here, there, large = "key", "b", "a{b}"
    before = requests([("SET", there, "old"), ("SET", large, "z" * 70_000)])
    asked = [("GET", here), ("GET", there), ("GET", large), ("SET", here, "v"), ("SET", there, "v"), ("PING",),
             ("DEL", there), ("EXISTS", there), ("EXISTS", here), ("GET", "{b}c"), ("GET", here)]  # fmt: skip
    nodes = [RespNode(quick=quick, tier=False) for quick in (True, False)]
    for node in nodes:
        node.received(before)
        node.sent = b""
        node.tell(view)
        for data in [request(*words) for words in asked] if lone else [requests(asked)]:
            node.received(data)
    quick, plain = nodes
    assert quick.store.memory.peek(here) == b"v"
    assert quick.store.memory.peek(there) == b"old"
    check_same(quick, plain)
    moved = b"-MOVED %d a:1\r\n" % slot_of(there)
    assert quick.sent.count(moved) == 6
    assert quick.sent.count(b"+OK") == 1


def test_what_is_cut_is_served_by_compiled_code_once_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = requests([("SET", "a", "v" * 5_000), ("GET", "a")]) * 40
    quick, plain = RespNode(quick=True, tier=False), RespNode(quick=False, tier=False)
    for piece in pieces(data, range(0, len(data), 4096)):
        plain.received(piece)
        with monkeypatch.context() as patched:
            patched.setattr(RespSession, "received", None)
            quick.received(piece)
    check_same(quick, plain)


def test_what_python_answers_at_once_stops_nothing() -> None:
    """A command that compiled code does not know leaves it what is behind."""
    sent = [("SET", "a", "v"), ("STRLEN", "a"), ("MGET", "a", "b"), ("GET", "a"), ("HELLO", "3"), ("GET", "none")]
    quick, plain = served(requests(sent), [])
    assert quick.left == 0
    assert quick.sent.endswith(b"_\r\n")
    check_same(quick, plain)


def test_answers_behind_one_that_waits_leave_behind_it() -> None:
    sent = [("SET", "b", "b"), ("GET", "a"), ("GET", "b"), ("PING",), ("SET", "c", "c"), ("GET", "c")]
    quick, plain = served(requests(sent), [], tier=True)
    for node in (quick, plain):
        assert node.sent == b"+OK\r\n"
        node.received(request("GET", "b"))
        assert node.sent == b"+OK\r\n"
        store = cast(EvictStore, node.store)
        query = store.load_begin()
        assert query is not None
        store.load_end(query, {"a": "of the database"})
        node.take()
    assert plain.sent == b"+OK\r\n$15\r\nof the database\r\n$1\r\nb\r\n+PONG\r\n+OK\r\n$1\r\nc\r\n$1\r\nb\r\n"
    quick.received(request("GET", "b"))
    plain.received(request("GET", "b"))
    check_same(quick, plain)


def test_a_record_that_may_be_elsewhere_is_not_told_to_be_missing() -> None:
    for command in ("GET", "EXISTS", "DEL"):
        quick, plain = served(request(command, "a"), [], tier=True)
        assert quick.session.in_flight == 1
        check_same(quick, plain)


def test_what_is_known_to_be_nowhere_needs_no_database() -> None:
    quick, plain = served(request("GET", "a"), [], tier=True)
    for node in (quick, plain):
        store = cast(EvictStore, node.store)
        query = store.load_begin()
        assert query is not None
        store.load_end(query, {})
        node.take()
        node.received(requests([("GET", "a"), ("EXISTS", "a")]))
        assert node.sent == b"$-1\r\n$-1\r\n:0\r\n"
    check_same(quick, plain)


def test_victims_that_are_not_saved_go_to_pending() -> None:
    sent = [("SET", f"k{number}", f"v{number}") for number in range(3 * CAPACITY)]
    quick, plain = served(requests(sent), [], tier=True)
    assert quick.store.unsaved == plain.store.unsaved == 2 * CAPACITY
    check_same(quick, plain)


def test_sets_that_memory_may_not_take_are_handed_over_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    ask = QuickRespSession.ask

    def noted(self: QuickRespSession, data: bytes) -> tuple[bytes, bool]:
        asked.append(data)
        return ask(self, data)

    monkeypatch.setattr(QuickRespSession, "ask", noted)
    sent = requests([("PING",), *[("SET", f"k{number % 3}", f"{number}") for number in range(40)], ("GET", "k2")])
    quick, plain = (RespNode(quick=quick, tier=True, mode="behind") for quick in (True, False))
    for node in (quick, plain):
        node.received(sent)
        assert node.store.unsaved == 3
    assert [data.count(b"SET") for data in asked] == [32, 8]
    check_same(quick, plain)


def test_a_record_that_is_being_loaded_is_not_overwritten_by_the_load() -> None:
    quick, plain = RespNode(quick=True, tier=True), RespNode(quick=False, tier=True)
    for node in (quick, plain):
        node.received(request("GET", "a"))
        second = RespClient(resp_methods(node.store), node.core)
        second.received(requests([("SET", "a", "new"), ("SET", "b", "b")]))
        store = cast(EvictStore, node.store)
        query = store.load_begin()
        assert query is not None
        store.load_end(query, {"a": "old"})
        node.take()
        node.received(request("GET", "a"))
        second.received(request("GET", "a"))
        assert second.sent == b"+OK\r\n+OK\r\n$3\r\nnew\r\n"
    check_same(quick, plain)


@pytest.mark.parametrize("command", ["GET", "EXISTS", "DEL"])
@pytest.mark.parametrize("size", [1, 17_000], ids=["small", "large"])
@pytest.mark.parametrize(("time", "found"), [(1999, True), (2000, False)])
def test_a_record_that_is_over_is_not_there(command: str, size: int, time: int, found: bool) -> None:
    quick, plain = RespNode(quick=True, tier=False), RespNode(quick=False, tier=False)
    for node in (quick, plain):
        node.store.memory.now_ms = lambda: time
        for key in "ab":
            node.store.put(key, b"v" * size, 2000)
        node.received(request(command, "a"))
        node.received(request("PING") + request(command, "b"))
        assert (node.sent.count(b":0\r\n") + node.sent.count(b"$-1\r\n") == 0) is found
    check_same(quick, plain)


def test_a_set_ends_what_was_to_end_the_record() -> None:
    quick, plain = RespNode(quick=True, tier=False), RespNode(quick=False, tier=False)
    for node in (quick, plain):
        node.store.put("a", b"v", 2000)
        node.received(request("SET", "a", "w"))
        assert node.store.memory.expires_of("a") == 0
    assert quick.left == 0
    check_same(quick, plain)


def test_a_value_that_is_too_large_is_refused() -> None:
    sent = [("SET", "a", b"v" * size) for size in (1, LIMITS.max_value_bytes, LIMITS.max_value_bytes + 1)]
    quick, plain = served(requests([*sent, ("GET", "a")]), [])
    assert b"ValueTooLarge" in quick.sent
    check_same(quick, plain)


@pytest.mark.parametrize("size", [1024, 1025])
def test_a_key_that_is_too_long_is_refused(size: int) -> None:
    sent = [("SET", "k" * size, "v"), ("GET", "k" * size), ("EXISTS", "k" * size), ("DEL", "k" * size), ("PING",)]
    quick, plain = served(requests(sent), [])
    assert (b"KeyTooLong" in quick.sent) == (size > 1024)
    check_same(quick, plain)


@pytest.mark.parametrize("cut", [100, 70_000, RECV_BYTES_OF_LARGE, RECV_BYTES_OF_LARGE + 1000])
def test_a_long_request_that_arrives_in_pieces(cut: int) -> None:
    many = ["MSET", *(part for number in range(300) for part in (f"k{number}", "v" * 1000))]
    for one in (("SET", "a", "v" * 190_000), many):
        data = requests([("PING",), one, ("GET", "a"), ("PING",)])
        check_same(*served(data, [cut, cut + 1]))


def test_more_answers_than_are_given_at_once() -> None:
    quick, plain = served(requests([("SET", "a", "x" * 16_000), *([("GET", "a")] * 100)]), [])
    assert quick.rounds > 3
    assert quick.left == 0
    check_same(quick, plain)


def test_nothing_behind_quit_is_carried_out() -> None:
    quick, plain = served(requests([("SET", "a", "v"), ("QUIT",), ("SET", "a", "w")]), [])
    assert quick.sent == b"+OK\r\n" * 2
    assert cast(Nowhere, quick.session.line).finished
    check_same(quick, plain)


@pytest.mark.parametrize("value", ["text ü", b"\xff bytes"])
def test_values_of_both_protocols_are_the_same_ones(value: str | bytes) -> None:
    node = Node("lru", quick=True, tier=False)
    client = RespClient(resp_methods(node.store), serve_loops(node.store, LIMITS.max_value_bytes).resp)
    node.received(packed_rpc([[0, 1, "PUT", ["a", value]]]))
    client.received(requests([("GET", "a"), ("SET", "b", b"v\xff"), ("EXISTS", "a")]))
    node.received(packed_rpc([[0, 2, "GET", ["b"]]]))
    data = value.encode() if isinstance(value, str) else value
    assert client.sent == b"$%d\r\n%b\r\n+OK\r\n:1\r\n" % (len(data), data)
    assert repr([1, 2, None, [True, b"v\xff"]]) in node.answers()
    assert client.left == node.left == 0


def test_many_clients_in_one_turn_each_get_their_own() -> None:
    for quick in (True, False):
        node = RespNode(quick=quick, tier=False, capacity=1000)
        clients = [RespClient(resp_methods(node.store), node.core) for _ in range(70)]
        for turn in range(2):
            sent = [(("SET", f"k{number}", f"v{number}"), ("GET", f"k{number}"))[turn] for number in range(70)]
            receive_all(node.core, [(client, request(*one)) for client, one in zip(clients, sent, strict=True)])
        for number, client in enumerate(clients):
            assert client.sent == b"+OK\r\n$%d\r\nv%d\r\n" % (1 + len(str(number)), number)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_what_is_wrong_or_unusual_is_as_wrong_as_for_the_session(head: bytes) -> None:
    data = request("PING") + head + request("PING")
    for cuts in ([], [8], range(len(data)) if len(data) < 100 else []):
        check_same(*served(data, cuts))


# The last one, for the others are quicker and say more when something is broken.
@pytest.mark.parametrize("policy", ["lru", "fifo", "lfu", "s3fifo"])
@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
@settings(max_examples=100, deadline=None)
@given(
    sent=st.lists(calls.map(lambda call: request(*call)), max_size=40),
    wrong=st.lists(st.tuples(st.integers(min_value=0), st.sampled_from(HEADS)), max_size=1),
    cuts=st.lists(st.integers(min_value=0), max_size=6),
    damage=st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), max_size=2),
)
@example(sent=[request("SET", "a", b"x" * 70_000), request("GET", "a")], wrong=[], cuts=[9], damage=[])
def test_both_answer_and_store_the_same(
    policy: str,
    tier: bool,
    sent: list[bytes],
    wrong: list[tuple[int, bytes]],
    cuts: list[int],
    damage: list[tuple[int, int]],
) -> None:
    for place, head in wrong:
        sent.insert(place % (len(sent) + 1), head)
    data = bytearray(b"".join(sent))
    for place, byte in damage:
        if data:
            data[place % len(data)] = byte
    check_same(*served(bytes(data), cuts, policy, tier=tier))
