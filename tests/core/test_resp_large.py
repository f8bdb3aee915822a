"""Large answers that Python made, among those of compiled code: in their place, and copied no more than need be."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import core
from ckv.protocol.resp.quick import QuickRespSession
from tests.core.resp import RespClient, RespNode, RespPrimary, request, requests
from tests.core.test_route_resp import FIRST, SECOND, both, check_same

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

SIZES = [100, 16_000, 17_000, 70_000, 300_000]


def client_of(kind: str, *, quick: bool) -> RespClient:
    return RespNode(quick=quick, tier=False) if kind == "secondary" else RespPrimary(quick=quick)


@pytest.mark.parametrize("kind", ["secondary", "primary"])
@pytest.mark.parametrize("size", SIZES)
def test_one_that_is_alone_is_handed_on_as_it_is(kind: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = client_of(kind, quick=True)
    name = "ask" if kind == "secondary" else "ask_ahead"
    ask = getattr(QuickRespSession, name)
    told: list[bytes] = []

    def noted(session: QuickRespSession, data: bytes) -> tuple[bytes, bool]:
        answers, going_on = ask(session, data)
        told.append(answers)
        return answers, going_on

    monkeypatch.setattr(QuickRespSession, name, noted)
    (outcome,) = client.core.serve_all([(client.session, request("ECHO", "x" * size))])
    assert len(told) == 1
    assert outcome is told[0]


@pytest.mark.parametrize("kind", ["secondary", "primary"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("times", [1, 3, 30])
def test_they_stand_in_their_place(kind: str, size: int, times: int) -> None:
    large, small = ("ECHO", "x" * size), ("PING",)
    for sent in ([small, large], [large, small], [small, large, small], [large, large], [small, small, large, large]):
        quick, plain = (client_of(kind, quick=quick) for quick in (True, False))
        for client in (quick, plain):
            client.received(requests(sent * times))
        assert quick.sent == plain.sent
        assert quick.sent.count(b"$%d\r\n" % size) == sent.count(large) * times


@pytest.mark.parametrize("size", SIZES)
def test_one_that_has_waited_leaves_as_it_is(size: int) -> None:
    quick, plain = both()
    large = ("ECHO", "x" * size)
    for primary in (quick, plain):
        primary.received(requests([("SET", FIRST, "v"), large, ("PING",), large, large, ("GET", SECOND), large]))
        early = primary.session.early[1]
        for peer in primary.peers:
            peer.answered(peer.asked([]), [])
            if peer is primary.peers[0]:
                assert any(part is early for part in primary.session._out) or size < 16_384
                assert primary.session._early_bytes == len(early)
        primary.take()
        assert primary.session._early_bytes == 0
        assert primary.sent.count(b"$%d\r\n" % size) == 4
    check_same(quick, plain)
