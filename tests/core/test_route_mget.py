"""MGET through the route loop beside its twin: its keys go to their nodes, and one answer comes of all values."""

from __future__ import annotations

from array import array
from typing import Any, cast

import pytest

from ckv import core, errors
from ckv.cluster.slots import SLOTS, slot_of
from ckv.node.lanes import RouteLoop
from ckv.protocol.limits import Limits
from ckv.protocol.resp.session import RespSession
from ckv.redis.many import Many
from tests.core import resp
from tests.core.nodes import LIMITS, OF_A_SMALLER_NODE, packed
from tests.core.resp import RespPrimary, request, requests
from tests.core.test_route_resp import FIRST, SECOND, both, check_same, not_in_python, passed_on
from tests.fuzz.route import load

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

KEYS = [f"k{number}" for number in range(100)]
MOST = LIMITS.max_answers_in_flight
STORED = [("SET", key, f"v{key}") for key in KEYS[::2]]


def test_it_is_not_left_to_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all tests here could pass without the route loop."""
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests(STORED))
        primary.carry()
        with monkeypatch.context() as patched:
            if primary is quick:
                patched.setattr(RespSession, "received", None)
                patched.setattr(Many, "carry_out", None)
            primary.received(requests([("MGET", *KEYS), ("mget", FIRST), ("GET", "k2")]))
        assert primary.session.in_flight == 102
        primary.carry()
    assert quick.left == 0
    assert quick.sent.count(b"$-1\r\n") == 51
    assert quick.sent.endswith(b"*1\r\n$-1\r\n$3\r\nvk2\r\n")
    check_same(quick, plain)


def test_its_keys_are_counted() -> None:
    quick, _plain = both()
    quick.received(requests([("MGET", *KEYS), ("MGET", FIRST), ("GET", FIRST), ("MGET", FIRST, SECOND)]))
    assert quick.core is not None
    assert quick.core.more_keys == len(KEYS) - 1 + 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nothing_leaves_before_all_values_are_there(order: tuple[int, int]) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("MGET", FIRST, SECOND, FIRST), ("GET", FIRST), ("PING",)]))
        for number in order:
            assert primary.sent == b""
            primary.peers[number].answered(primary.peers[number].asked([]), [])
            primary.take()
        assert primary.sent == b"*3\r\n" + b"$-1\r\n" * 4 + b"+PONG\r\n"
    check_same(quick, plain)


def test_it_may_be_cut_anywhere() -> None:
    data = requests([("SET", FIRST, "a\r\nb"), ("MGET", FIRST, SECOND, "c"), ("PING",)])
    for cut in range(len(data)):
        check_same(*passed_on(data, [cut]))
        check_same(*passed_on(data, [cut], carries=False))
        check_same(*passed_on(data, [], [cut]))


def test_no_value_is_told_in_the_version_that_was_spoken_when_it_was_asked_for() -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("MGET", FIRST, SECOND), ("HELLO", "3"), ("MGET", FIRST)]))
        primary.end()
        assert primary.sent.startswith(b"*2\r\n$-1\r\n$-1\r\n%7\r\n")
        assert primary.sent.endswith(b"*1\r\n_\r\n")
    check_same(quick, plain)


@pytest.mark.parametrize("count", [MOST - 1, MOST, MOST + 1, 3 * MOST])
def test_it_may_have_more_keys_than_may_be_in_flight(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else hardly any of 100 keys would be for compiled code where values may be large."""
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests(STORED))
        primary.carry()
    data = request("MGET", *[f"k{number}" for number in range(count)])
    not_in_python(monkeypatch, quick, data)
    plain.received(data)
    assert quick.session.in_flight == count
    for primary in (quick, plain):
        assert primary.session.line.held is (count >= MOST)
        primary.received(request("PING"))
        primary.end()
        assert b"*%d\r\n" % count in primary.sent
        assert primary.sent.endswith(b"$-1\r\n+PONG\r\n")
    check_same(quick, plain)


@pytest.mark.parametrize("count", [MOST - 2, MOST - 1, MOST, 3 * MOST])
def test_more_keys_than_may_be_in_flight_behind_a_request_are_for_python(count: int) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        keys = [f"k{number}" for number in range(count)]
        primary.received(requests([("SET", "k0", "v"), ("MGET", *keys), ("PING",)]))
        assert primary.session.in_flight == min(count + 2, MOST)
        primary.end()
        assert b"*%d\r\n$1\r\nv\r\n" % count in primary.sent
    check_same(quick, plain)


def test_requests_behind_it_count_its_keys() -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("MGET", *KEYS), *[("GET", FIRST)] * MOST]))
        assert primary.session.in_flight == MOST
        assert primary.session.line.held
        primary.end()
        assert primary.session.in_flight == 0
    check_same(quick, plain)


@pytest.mark.parametrize("key", ["k" * 1025, ""])
def test_a_key_of_any_length(key: str) -> None:
    quick, plain = passed_on(requests([("SET", FIRST, "v"), ("MGET", FIRST, key, SECOND), ("PING",)]))
    assert (b"-ERR KeyTooLong" in quick.sent) is (len(key) > 1024)
    check_same(quick, plain)


def test_a_value_may_come_later_and_be_large() -> None:
    quick, plain = both(tier=True)
    for primary in (quick, plain):
        primary.received(
            requests([("SET", FIRST, "x" * OF_A_SMALLER_NODE), ("MGET", "a", "bb", FIRST, "ccc"), ("PING",)])
        )
        primary.carry()
        for peer in primary.peers:
            load(peer)
        primary.end()
        assert primary.sent.startswith(b"+OK\r\n*4\r\n$6\r\nloaded\r\n$-1\r\n$10000\r\n") or FIRST == "a"
    check_same(quick, plain)


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 1)])
def test_a_lost_node_makes_the_answer_an_error(lost: tuple[int, ...]) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("MGET", FIRST, SECOND, FIRST), ("PING",), ("MGET", SECOND)]))
        for number in lost:
            primary.peers[number].asked([])
            primary.peers[number].session.fail_all(errors.NodeLost("gone"))
            primary.peers[number].connect()
        primary.carry()
        assert primary.sent.startswith(b"-ERR UNKNOWN NodeLost: gone\r\n+PONG\r\n")
        assert primary.session.in_flight == 0
    check_same(quick, plain)


class Narrow(Limits):
    """Little room for the values of one answer."""

    @property
    def max_queued_bytes(self) -> int:
        return 2500

    @property
    def max_answers_in_flight(self) -> int:
        return LIMITS.max_answers_in_flight


@pytest.mark.parametrize("value", ["x" * 1000, "ü" * 500])
def test_values_are_bounded_in_all(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "LIMITS", Narrow(LIMITS.max_value_bytes))
    quick, plain = both()
    for primary in (quick, plain):
        primary.primary.client.received(packed([[0, 1, "PUT", [FIRST, value]]]))
        primary.carry()
        for count in (2, 3, 2):
            primary.received(requests([("MGET", *[FIRST] * count), ("PING",)]))
            primary.carry()
        answers = primary.sent.split(b"+PONG\r\n")
        error = b"-ERR BadArguments: the values that were asked for are too many bytes for one answer\r\n"
        assert [answer == error for answer in answers] == [False, True, False, False]
    check_same(quick, plain)


@pytest.mark.parametrize("result", [7, None, True, [True, 7], [True], [], [True, True, "v"], [False, None]], ids=repr)
@pytest.mark.parametrize("error", [None, "NoRoom: a", "NodeLost: a"])
def test_a_node_of_another_version_may_answer_anything(error: str | None, result: object) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("MGET", FIRST, SECOND), ("PING",)]))
        for peer in primary.peers:
            peer.asked([])
        primary.peers[0].answered(packed([[1, 0, None, result]]), [])
        primary.peers[1].answered(packed([[1, 0, error, None if error else [True, "v"]]]), [])
        primary.take()
        assert (b"$1\r\nv\r\n" in primary.sent) is (not error and result == [False, None])
    check_same(quick, plain)


def test_a_client_that_is_gone_is_told_nothing() -> None:
    quick = RespPrimary(quick=True)
    other = quick.new_client()
    other.received(request("MGET", FIRST, SECOND))
    quick.received(request("MGET", FIRST, SECOND))
    quick.session.close()
    quick.carry()
    assert quick.sent == b""
    assert other.sent == b"*2\r\n$-1\r\n$-1\r\n"


@pytest.mark.parametrize("closed", [0, 1])
def test_a_node_that_takes_no_calls_leaves_it_to_python(closed: int) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.peers[closed].collects = False
        primary.received(requests([("SET", FIRST, "v"), ("MGET", FIRST, SECOND), ("GET", FIRST)]))
        primary.carry()
    check_same(quick, plain)


def test_one_of_a_slot_that_has_no_node_now_is_left_to_the_session() -> None:
    quick, _ = both()
    loop = quick.primary.cores.resp
    assert isinstance(loop, RouteLoop)
    targets = array("H", [0]) * SLOTS
    targets[slot_of(SECOND)] = 0xFFFE
    loop.route_by(targets, cast(Any, {0: quick.peers[0]}), {0: quick.peers[0].lane})
    quick.received(requests([("MGET", FIRST, FIRST)]))
    assert quick.left == 0
    assert quick.peers[0].lane.count == 2
    quick.received(requests([("MGET", FIRST, SECOND)]))
    quick.peers[1].asked([])
    assert SECOND.encode() in quick.peers[1].requests, "as the session knows no better here"
