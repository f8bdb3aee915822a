"""The route loop beside its twin: whatever arrives, however it is cut, both ask the nodes and answer the same."""

from __future__ import annotations

from array import array
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckv import core
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.lanes import RouteLoop
from ckv.protocol.batch import BATCH_REQUESTS
from ckv.values import to_bytes, to_text
from tests.core.messages import requests
from tests.core.nodes import LIMITS, OF_A_SMALLER_NODE, Primary, packed, pieces

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")


def passed_on(data: bytes, cuts: list[int], back: list[int]) -> tuple[Primary, Primary]:
    """A primary with the route loop and one without, which have been sent the same."""
    quick, plain = Primary(quick=True), Primary(quick=False)
    for piece in pieces(data, cuts):
        quick.received(piece, back)
        plain.received(piece, back)
    return quick, plain


def check_same(quick: Primary, plain: Primary) -> None:
    assert quick.client.answers() == plain.client.answers()
    assert bool(quick.client.session.failed) == bool(plain.client.session.failed)
    assert quick.client.session.in_flight == plain.client.session.in_flight == 0
    if not plain.client.session.failed:
        assert quick.client.session.ended() == plain.client.session.ended()
    for one, other in zip(quick.peers, plain.peers, strict=True):
        assert not one.session.failed
        assert one.session.unanswered == other.session.unanswered == 0
        assert one.node.records() == other.node.records()


def test_messages_may_be_cut_anywhere() -> None:
    sent = [
        [0, 1, "PUT", ["a", "v" * 40]],
        [0, 300, "GET", ["a"]],
        [0, 70_000, "DEL", ["none"]],
        [0, 2**32, "PING", []],
        [0, 2, "GET", ["b"]],
    ]
    data = packed(sent)
    for cut in range(len(data)):
        check_same(*passed_on(data, [cut], []))
        check_same(*passed_on(data, [], [cut]))
    everywhere = list(range(len(data)))
    check_same(*passed_on(data, everywhere, everywhere))


def test_ordinary_requests_are_not_left_to_the_session() -> None:
    """Else all tests here could pass without the route loop."""
    sent = [[0, number, "PUT", [f"k{number}", "v"]] for number in range(3 * BATCH_REQUESTS)]
    sent += [[0, number, "GET", [f"k{number}"]] for number in range(100)] + [[0, 9, "DEL", ["k1"]]]
    quick, plain = passed_on(packed(sent[:200]), [], [])
    assert quick.client.left == 0
    check_same(quick, plain)
    quick, plain = passed_on(packed(sent), list(range(0, 40_000, 3_000)), [])
    check_same(quick, plain)


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, LIMITS.max_value_bytes])
def test_large_values_stay_in_their_order(size: int) -> None:
    sent = [
        [0, 1, "PUT", ["a", "first"]],
        [0, 2, "PUT", ["a", "x" * size]],
        [0, 3, "PUT", ["b", "x"]],
        [0, 4, "PUT", ["a", "last"]],
        [0, 5, "GET", ["a"]],
        [0, 6, "PUT", ["b", "y" * size]],
        [0, 7, "GET", ["b"]],
    ]
    quick, plain = passed_on(packed(sent), [], [])
    assert repr([1, 5, None, [True, "last"]]) in plain.client.answers()
    check_same(quick, plain)


def test_each_answer_goes_to_whoever_asked() -> None:
    quick = Primary(quick=True)
    clients = [quick.client, *(quick.new_client() for _ in range(3))]
    for turn in range(2):
        for number, client in enumerate(clients):
            client.received(packed([0, 100 * number + call, "PUT", [f"k{call}", "v"]] for call in range(20)))
        quick.carry([7 * turn])
    for number, client in enumerate(clients):
        client.take()
        expected = [repr([1, 100 * number + call, None, True]) for call in range(20)]
        assert client.answers() == sorted(2 * expected)
        assert client.session.in_flight == 0


def test_an_error_of_a_node_is_passed_on() -> None:
    sent = [[0, number, "PUT", [f"k{number}", "x" * (OF_A_SMALLER_NODE + number % 2)]] for number in range(20)]
    quick, plain = passed_on(packed(sent), [], [])
    assert sum("ValueTooLarge" in answer for answer in plain.client.answers()) == 10
    assert quick.client.left == 0
    check_same(quick, plain)


def test_requests_for_both_come_in_one_turn() -> None:
    """An answer that only the session reads may be in front of those that the route loop knows."""
    sent = [
        [0, 1, "PUT", ["a", "first"]],
        [0, 2, "PUT", ["a", "x" * 17_000]],
        [0, 3, "GET", ["a"]],
        [0, 4, "GET", ["b"]],
    ]
    sent += [[0, 5, "PEEK", ["a"]], [0, 6, "PUT", ["a", "last"]], [0, 7, "GET", ["a"]]]
    quick, plain = Primary(quick=True), Primary(quick=False)
    for primary in (quick, plain):
        for request in sent:
            primary.client.received(packed([request]))
        primary.carry([])
    assert repr([1, 7, None, [True, "last"]]) in plain.client.answers()
    check_same(quick, plain)


@given(st.text(alphabet="{}ab\udc80ü", max_size=12))
def test_a_key_has_the_same_slot_in_both(key: str) -> None:
    from ckv.core.route import slot_of_bytes

    assert slot_of_bytes(to_bytes(key)) == slot_of(to_text(to_bytes(key)))


def test_what_was_collected_fails_with_the_node() -> None:
    quick = Primary(quick=True)
    quick.client.received(packed([[0, 1, "GET", ["a"]], [0, 2, "GET", ["b"]]]))
    assert quick.client.session.in_flight == 2
    from ckv import errors

    for peer in quick.peers:
        peer.session.fail_all(errors.NodeLost("gone"))
    quick.client.take()
    assert quick.client.answers() == [repr([1, number, "NodeLost: gone", None]) for number in (1, 2)]
    assert quick.client.session.in_flight == 0


# The last one, for the others are quicker and say more when something is broken.
@settings(max_examples=150, deadline=None)
@given(
    sent=st.lists(requests, max_size=30),
    cuts=st.lists(st.integers(min_value=0), max_size=6),
    back=st.lists(st.integers(min_value=0), max_size=3),
    damage=st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), max_size=2),
)
def test_both_pass_on_the_same(
    sent: list[object], cuts: list[int], back: list[int], damage: list[tuple[int, int]]
) -> None:
    data = bytearray(packed(sent))
    for place, byte in damage:
        if data:
            data[place % len(data)] = byte
    check_same(*passed_on(bytes(data), cuts, back))


WAYS = ("PUT", "GET", "DEL", "GET")
CALLS_OF_MANY = [(method, key, ["v" * 40] if method == "PUT" else []) for key in "abcdefgh" for method in WAYS]


def test_what_is_another_nodes_comes_back_and_the_rest_is_answered() -> None:
    sent: list[list[Any]] = [
        [0, number, method, [key, *value]] for number, (method, key, value) in enumerate(CALLS_OF_MANY)
    ]
    quick, plain = Primary(quick=True), Primary(quick=False)
    for primary in (quick, plain):
        for peer in primary.peers:
            peer.node.elsewhere.update(("b", "d"))
        primary.received(packed(sent), [])
    expected = {number for number, (_, key, _) in enumerate(CALLS_OF_MANY) if key in ("b", "d")}
    for primary in (quick, plain):
        came_back = [each for peer in primary.peers for each in peer.came_back]
        assert {msgid for _, msgids in came_back for msgid in msgids} == expected
        for (method, params), (msgid,) in came_back:
            assert [method, *params] == [sent[msgid][2], *sent[msgid][3]]
        answered = {message[1]: message[2:] for message in primary.client.messages()}
        assert answered.keys() == set(range(len(sent))) - expected
        assert all(error is None for error, _ in answered.values())
        assert primary.client.session.in_flight == len(expected)
    assert quick.client.answers() == plain.client.answers()


def test_slots_without_a_node_are_left_to_the_session() -> None:
    primary = Primary(quick=True)
    core = primary.cores.rpc
    assert isinstance(core, RouteLoop)
    here, parked, gone = "a", "b", "c"
    assert len({slot_of(key) for key in (here, parked, gone)}) == 3
    targets = array("H", [1]) * SLOTS
    targets[slot_of(parked)] = 0xFFFE
    targets[slot_of(gone)] = 0
    core.route_by(targets, cast(Any, {1: primary.peers[1]}), {1: primary.peers[1].lane})
    first, *others = [packed([[0, number, "PUT", [key, "v"]]]) for number, key in enumerate((here, parked, gone))]
    primary.client.received(first)
    assert primary.client.left == 0
    assert primary.peers[1].lane.count == 1
    for number, other in enumerate(others, 1):
        primary.client.received(other)
        assert primary.client.left == number * len(other)
    with pytest.raises(ValueError, match="an owner for each slot"):
        core.route_by(array("H", [0]), {}, {})
