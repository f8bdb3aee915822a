"""The route loop of RESP where something is lost, gone, full or slow: clients are told the same as by its twin."""

from __future__ import annotations

import pytest

from ckv import core, errors
from tests.core.nodes import LIMITS, receive_all
from tests.core.resp import RespPrimary, request, requests
from tests.core.test_route_resp import ALL_KINDS, FIRST, SECOND, both, check_same

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")


@pytest.mark.parametrize("lost", [0, 1])
def test_what_was_asked_of_a_lost_node_has_an_unknown_outcome(lost: int) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("SET", key, "v") for key in (FIRST, SECOND) * 3] + [("GET", FIRST), ("PING",)]))
        for number, peer in enumerate(primary.peers):
            if number == lost:
                peer.asked([])
                peer.session.fail_all(errors.NodeLost("gone"))
                peer.connect()
        primary.carry()
        gone, well = b"-ERR UNKNOWN NodeLost: gone\r\n", b"+OK\r\n"
        value = gone if lost == 0 else b"$1\r\nv\r\n"
        assert primary.sent == (gone + well if lost == 0 else well + gone) * 3 + value + b"+PONG\r\n"
    check_same(quick, plain)


def test_what_was_collected_fails_with_the_node() -> None:
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(requests([("GET", FIRST), ("SET", FIRST, "v")]))
        assert primary.session.in_flight == 2
        primary.peers[0].session.fail_all(errors.NodeLost("gone"))
        primary.take()
        assert primary.sent == b"-ERR UNKNOWN NodeLost: gone\r\n" * 2
    check_same(quick, plain)


def test_a_client_that_is_gone_is_told_nothing() -> None:
    quick, plain = both()
    for primary in (quick, plain):
        other = primary.new_client()
        sent = requests([("SET", FIRST, "v"), ("GET", SECOND), ("GET", FIRST), ("PING",)])
        receive_all(primary.core, [(primary, sent), (other, sent)])
        primary.session.close()
        primary.carry()
        assert primary.sent == b""
        assert not primary.session.waiting
        assert other.sent == b"+OK\r\n$-1\r\n$1\r\nv\r\n+PONG\r\n"
        assert other.session.in_flight == 0
    assert [peer.node.records() for peer in quick.peers] == [peer.node.records() for peer in plain.peers]


def test_a_client_that_is_gone_is_told_nothing_of_a_lost_node() -> None:
    quick, _ = both()
    quick.received(requests([("SET", FIRST, "v"), ("GET", SECOND)]))
    quick.session.close()
    for peer in quick.peers:
        peer.asked([])
        peer.session.fail_all(errors.NodeLost("gone"))
    assert not quick.session.waiting
    assert not quick.session._replies


def test_so_many_may_be_in_flight() -> None:
    quick, plain = both()
    most = LIMITS.max_answers_in_flight
    for primary in (quick, plain):
        primary.received(requests([("SET", FIRST, f"{number}") for number in range(2 * most + 10)]))
        assert primary.session.in_flight == most
        assert is_held(primary)
        primary.end()
        assert primary.sent == b"+OK\r\n" * (2 * most + 10)
        assert not is_held(primary)
    check_same(quick, plain)


def is_held(primary: RespPrimary) -> bool:
    return primary.session.line.held


def test_early_answers_are_bounded() -> None:
    """A client whose first answer does not come, and all others do, is not read."""
    quick, plain = both()
    for primary in (quick, plain):
        primary.received(request("SET", SECOND, "x" * 9000))
        primary.carry()
        assert 9000 * 200 > LIMITS.soft_unsent_bytes > 9000 * 50
        primary.received(requests([("GET", FIRST), *[("GET", SECOND)] * 50]))
        peer = primary.peers[1]
        peer.answered(peer.asked([]), [])
        assert not is_held(primary)
        primary.received(requests([("GET", SECOND)] * 150))
        peer = primary.peers[1]
        peer.answered(peer.asked([]), [])
        assert is_held(primary)
        primary.end()
        assert not is_held(primary)
        assert primary.session._early_bytes == 0
        assert primary.sent.startswith(b"+OK\r\n$-1\r\n$9000\r\n")
    check_same(quick, plain)


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1)])
def test_what_a_node_does_not_take_goes_through_python(closed: tuple[int, ...]) -> None:
    quick, plain = both()
    for primary in (quick, plain):
        for number in closed:
            primary.peers[number].collects = False
        primary.received(requests([*ALL_KINDS, ("MGET", FIRST, SECOND), *ALL_KINDS]))
        primary.carry()
    assert quick.left == 0
    check_same(quick, plain)
