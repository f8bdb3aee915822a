"""The route loop of RESP beside its twin: whatever arrives, and whoever is first, both answer the same in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv import core
from ckv.cluster.slots import slot_of
from ckv.protocol.resp.session import RespSession
from tests.core.nodes import LIMITS, OF_A_SMALLER_NODE, packed, pieces, receive_all
from tests.core.resp import RespClient, RespPrimary, request, requests
from tests.core.test_resp import HEADS, calls
from tests.fuzz.route import load
from tests.support.line import Nowhere

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

FIRST, SECOND = (next(key for key in "abcdefgh" if slot_of(key) // 8192 == number) for number in range(2))
"""A key of each node."""


def both(*, capacity: int = 1000, tier: bool = False) -> tuple[RespPrimary, RespPrimary]:
    """A primary with the route loop and one without."""
    return RespPrimary(quick=True, capacity=capacity, tier=tier), RespPrimary(quick=False, capacity=capacity, tier=tier)


def passed_on(
    data: bytes, cuts: Iterable[int] = (), back: Iterable[int] = (), *, carries: bool = True
) -> tuple[RespPrimary, RespPrimary]:
    """Both, which have been sent the same. ``carries``: each read has a turn of its own."""
    primaries = both()
    for primary in primaries:
        for piece in pieces(data, cuts):
            primary.received(piece)
            if carries:
                primary.carry(back)
        primary.end()
    return primaries


def check_same(quick: RespPrimary, plain: RespPrimary) -> None:
    assert quick.sent == plain.sent
    assert bool(quick.session.failed) == bool(plain.session.failed)
    assert quick.session.in_flight == plain.session.in_flight == 0
    assert not quick.session.early
    assert not quick.session._replies
    if not plain.session.failed:
        assert quick.session.ended() == plain.session.ended()
    for one, other in zip(quick.peers, plain.peers, strict=True):
        assert not one.session.failed
        assert one.session.unanswered == other.session.unanswered == 0
        assert one.node.records() == other.node.records()


def not_in_python(monkeypatch: pytest.MonkeyPatch, client: RespClient, data: bytes) -> None:
    """Sends what the session must not see."""
    with monkeypatch.context() as patched:
        patched.setattr(RespSession, "received", None)
        client.received(data)


ALL_KINDS: list[tuple[bytes | str, ...]] = [
    ("SET", FIRST, "v" * 40),
    ("set", SECOND, ""),
    ("GET", FIRST),
    ("GET", "none"),
    ("Exists", SECOND),
    ("EXISTS", "none"),
    ("DEL", FIRST),
    ("DEL", FIRST),
    ("GET", SECOND),
]


def test_requests_and_results_may_be_cut_anywhere() -> None:
    data = requests([*ALL_KINDS, ("MGET", FIRST, SECOND), ("PING",), ("GET", SECOND)])
    for cut in range(len(data)):
        check_same(*passed_on(data, [cut], [cut], carries=cut % 2 == 0))
    everywhere = range(len(data))
    check_same(*passed_on(data, everywhere, everywhere))


def test_ordinary_requests_are_not_left_to_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are their answers: else all tests here could pass without the route loop."""
    quick, plain = both()
    data = requests([("PING",), *ALL_KINDS])
    not_in_python(monkeypatch, quick, data)
    assert quick.sent == b"+PONG\r\n"
    with monkeypatch.context() as patched:
        patched.setattr(RespSession, "respond", None)
        patched.setattr(RespSession, "answer", None)
        quick.carry()
    plain.received(data)
    plain.carry()
    assert quick.left == 0
    assert quick.sent.endswith(b"$0\r\n\r\n")
    check_same(quick, plain)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_answers_leave_in_order_whichever_node_is_first(order: tuple[int, int]) -> None:
    quick, plain = both()
    sent: list[tuple[str, ...]] = [
        ("SET", key, f"{key}{number}") for number in range(20) for key in (FIRST, SECOND, SECOND, FIRST)
    ]
    sent += [("GET", FIRST), ("GET", SECOND)] * 5
    for primary in (quick, plain):
        primary.received(requests(sent))
        for number in order:
            peer = primary.peers[number]
            peer.answered(peer.asked([]), [])
            primary.take()
            if number == order[0]:
                assert primary.sent == (b"+OK\r\n" if number == 0 else b"")
        assert primary.sent.startswith(b"+OK\r\n" * 80)
        assert primary.sent.count(f"{SECOND}19".encode()) == 5
    assert quick.left == 0
    check_same(quick, plain)


def test_requests_may_follow_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        for number in range(10):
            data = requests([("SET", FIRST, f"{number}"), ("GET", SECOND), ("GET", FIRST)])
            if primary is quick:
                not_in_python(monkeypatch, primary, data)
            else:
                primary.received(data)
            peer = primary.peers[number % 2]
            peer.answered(peer.asked([]), [])
        primary.take()
        primary.end()
    check_same(quick, plain)


def test_what_python_answers_stands_in_its_place() -> None:
    """And stops nothing; requests of one key, by either way, are carried out in their order."""
    sent = [("SET", FIRST, "5"), ("INCR", FIRST), ("GET", FIRST), ("PING",), ("SET", FIRST, "7"), ("ECHO", "e")]
    sent += [("APPEND", FIRST, "!"), ("GET", FIRST), ("GET", "none"), ("NONE",), ("STRLEN", FIRST)]
    quick, plain = passed_on(requests(sent))
    assert quick.left == 0
    assert quick.sent.startswith(b"+OK\r\n:6\r\n$1\r\n6\r\n+PONG\r\n+OK\r\n$1\r\ne\r\n:2\r\n$2\r\n7!\r\n")
    assert b"$-1\r\n-ERR unknown command" in quick.sent
    check_same(quick, plain)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_version_of_the_protocol_counts_for_what_is_behind_it(order: tuple[int, int]) -> None:
    """And not for what was asked before it and has no answer yet."""
    none = [("GET", FIRST), ("GET", SECOND)]
    sent = [*none, ("HELLO", "3"), *none, ("RESET",), *none, ("PING",), ("HELLO", "3"), ("GET", SECOND)]
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests(sent))
        assert primary.session.in_flight == 2, "what is behind waits"
        for number in order:
            peer = primary.peers[number]
            peer.answered(peer.asked([]), [])
            primary.take()
            assert b"%7" not in primary.sent
        primary.carry()
        primary.end()
        assert primary.sent.startswith(b"$-1\r\n$-1\r\n%7\r\n")
        assert b"_\r\n_\r\n+RESET\r\n$-1\r\n$-1\r\n+PONG\r\n%7\r\n" in primary.sent
        assert primary.sent.endswith(b"_\r\n")
    check_same(quick, plain)


def test_a_ping_is_answered_behind_what_waits() -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("PING",), ("GET", FIRST), ("PING",)]))
        primary.received(request("PING"))
        assert primary.sent == b"+PONG\r\n"
        peer = primary.peers[0]
        peer.answered(peer.asked([]), [])
        assert primary.session.waiting
        primary.received(request("PING"))  # before the others have left
        primary.take()
        assert primary.sent == b"+PONG\r\n$-1\r\n" + 3 * b"+PONG\r\n"
    check_same(quick, plain)


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, LIMITS.max_value_bytes, LIMITS.max_value_bytes + 1])
def test_large_values_stay_in_their_order(size: int) -> None:
    sent = [("SET", FIRST, "first"), ("SET", FIRST, "x" * size), ("SET", SECOND, "s"), ("GET", FIRST)]
    sent += [("SET", FIRST, "last"), ("GET", FIRST), ("GET", SECOND)]
    for cuts in ([], [size // 2]):
        check_same(*passed_on(requests(sent), cuts))


@pytest.mark.parametrize("size", [1024, 1025])
def test_a_key_that_is_too_long_is_refused(size: int) -> None:
    sent = [("SET", "k" * size, "v"), ("GET", "k" * size), ("EXISTS", "k" * size), ("DEL", "k" * size), ("PING",)]
    quick, plain = passed_on(requests(sent))
    assert (b"KeyTooLong" in quick.sent) == (size > 1024)
    check_same(quick, plain)


def test_keys_and_values_are_bytes() -> None:
    keys = [b"\xff\xc3", "ü".encode(), b"\xed\xb2\x80", b"\0", b"", b"a\r\nb", b"k" * 32, b"k" * 255, b"k" * 256]
    values = [b"\xff", b"\r\n", b"", b"x" * 255, b"x" * 256, b"$1\r\n"]
    sent: list[tuple[bytes | str, ...]] = [("SET", key, value) for key in keys for value in values]
    sent += [("GET", key) for key in keys] + [("DEL", key) for key in keys] + [("EXISTS", key) for key in keys]
    quick, plain = passed_on(requests(sent))
    assert quick.left == 0
    assert quick.sent.endswith(b":1\r\n" * len(keys) + b":0\r\n" * len(keys))
    check_same(quick, plain)


def test_an_error_of_a_node_is_passed_on() -> None:
    sent = [("SET", f"k{number}", "x" * (OF_A_SMALLER_NODE + number % 2)) for number in range(20)]
    quick, plain = passed_on(requests(sent))
    assert plain.sent.count(b"-ERR ValueTooLarge") == 10
    check_same(quick, plain)


def test_what_a_node_answers_later_leaves_in_its_place() -> None:
    quick, plain = both(tier=True)
    sent = [
        ("GET", "a"),
        ("GET", "bb"),
        ("EXISTS", "ccc"),
        ("SET", FIRST, "v"),
        ("GET", FIRST),
        ("DEL", "e"),
        ("PING",),
    ]
    for primary in (quick, plain):
        primary.received(requests(sent))
        primary.carry()
        assert primary.sent == b""
        for peer in primary.peers:
            load(peer)
        primary.end()
        assert primary.sent == b"$6\r\nloaded\r\n$-1\r\n:1\r\n+OK\r\n$1\r\nv\r\n:1\r\n+PONG\r\n"
    check_same(quick, plain)


def test_nothing_is_passed_on_in_a_transaction() -> None:
    sent = [("SET", FIRST, "v"), ("MULTI",), ("SET", FIRST, "w"), ("GET", FIRST), ("EXEC",), ("GET", FIRST)]
    sent += [("MULTI",), ("DEL", FIRST), ("DISCARD",), ("EXISTS", FIRST), ("EXEC",), ("GET", FIRST)]
    data = requests(sent)
    for cuts in (range(0), range(0, len(data), 20)):
        quick, plain = passed_on(data, cuts)
        assert b"*2\r\n+OK\r\n$1\r\nw\r\n$1\r\nw\r\n" in quick.sent
        check_same(quick, plain)


def test_nothing_behind_quit_is_carried_out() -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("SET", FIRST, "v"), ("QUIT",), ("SET", FIRST, "w")]))
        assert cast(Nowhere, primary.session.line).finished
        primary.carry()
        assert primary.sent == b"+OK\r\n" * 2
    check_same(quick, plain)


def test_clients_of_both_protocols_share_a_message() -> None:
    primary = RespPrimary(quick=True)
    rpc, other = primary.primary.client, primary.new_client()
    for turn in range(2):
        rpc.received(packed([[0, 70_000 + turn, "PUT", ["a", "t"]], [0, 1, "EXISTS", ["a"]], [0, 2, "GET", ["b"]]]))
        receive_all(
            primary.core, [(primary, requests([("GET", "a"), ("SET", "b", "w")])), (other, request("GET", "b"))]
        )
        rpc.received(packed([[0, 3, "GET", ["b"]]]))
        primary.carry([5 * turn])
        # All were collected before the first left, so that each node was asked once.
        assert all(peer.requests.count(b"BATCH") <= 1 for peer in primary.peers)
    expected = [[1, 70_000, None, True], [1, 1, None, True], [1, 2, None, [False, ""]], [1, 3, None, [True, b"w"]]]
    expected += [[1, 70_001, None, True], [1, 1, None, True], [1, 2, None, [True, b"w"]], [1, 3, None, [True, b"w"]]]
    assert rpc.answers() == sorted(map(repr, expected))
    assert primary.sent == b"$1\r\nt\r\n+OK\r\n" * 2
    assert other.sent == b"$1\r\nw\r\n" * 2
    assert rpc.left == primary.left == other.left == 0


def test_many_clients_in_one_turn_each_get_their_own() -> None:
    primary = RespPrimary(quick=True, capacity=1000)
    clients = [primary, *(primary.new_client() for _ in range(69))]
    for turn in range(2):
        sent = [(("SET", f"k{number}", f"v{number}"), ("GET", f"k{number}"))[turn] for number in range(70)]
        receive_all(primary.core, [(client, request(*one)) for client, one in zip(clients, sent, strict=True)])
        primary.carry([7 * turn])
    for number, client in enumerate(clients):
        assert client.sent == b"+OK\r\n$%d\r\nv%d\r\n" % (1 + len(str(number)), number)
        assert client.session.in_flight == 0


def test_more_answers_of_python_than_are_given_at_once() -> None:
    quick, plain = passed_on(requests([("ECHO", "x" * 15_000), ("PING",)] * 40 + [("GET", FIRST), ("PING",)]))
    assert quick.rounds > 1
    check_same(quick, plain)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_what_is_wrong_or_unusual_is_as_wrong_as_for_the_session(head: bytes) -> None:
    data = request("GET", FIRST) + head + request("PING")
    for cuts in ([], [8], range(len(data)) if len(data) < 100 else []):
        check_same(*passed_on(data, cuts))


# The last one, for the others are quicker and say more when something is broken.
@settings(max_examples=150, deadline=None)
@given(
    sent=st.lists(calls.map(lambda call: request(*call)), max_size=40),
    wrong=st.lists(st.tuples(st.integers(min_value=0), st.sampled_from(HEADS)), max_size=1),
    cuts=st.lists(st.integers(min_value=0), max_size=6),
    back=st.lists(st.integers(min_value=0), max_size=3),
    damage=st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), max_size=2),
    carries=st.booleans(),
)
def test_both_pass_on_the_same(
    sent: list[bytes],
    wrong: list[tuple[int, bytes]],
    cuts: list[int],
    back: list[int],
    damage: list[tuple[int, int]],
    carries: bool,
) -> None:
    for place, head in wrong:
        sent.insert(place % (len(sent) + 1), head)
    data = bytearray(b"".join(sent))
    for place, byte in damage:
        if data:
            data[place % len(data)] = byte
    check_same(*passed_on(bytes(data), cuts, back, carries=carries))
