"""Without compiled code: a client that cannot be told its answer hears no more, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest

from ckv.protocol.msgpackrpc import RpcSession
from ckv.protocol.resp.session import RespSession
from ckv.redis.many import Many
from tests.core.nodes import packed
from tests.core.resp import RespPrimary, request, requests
from tests.core.test_route_resp import FIRST, SECOND

CLOSED = "nobody knows which of its requests were answered"


def break_one(patched: pytest.MonkeyPatch, session: Any, of: type[Any], name: str) -> None:
    """Has a method of one session raise."""
    whole = getattr(of, name)

    def broken(self: Any, *arguments: Any) -> Any:
        if self is session:
            raise ValueError("a defect")
        return whole(self, *arguments)

    patched.setattr(of, name, broken)


@pytest.mark.parametrize("first", [0, 1])
def test_a_client_of_redis(first: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    primary = RespPrimary(quick=False)
    other = primary.new_client()
    for client in (primary, other, primary):
        client.received(requests([("GET", FIRST), ("GET", SECOND)]))
    with monkeypatch.context() as patched:
        break_one(patched, primary.session, RespSession, ("_go_ahead_to", "_count_early")[first])
        for number in (first, 1 - first):
            peer = primary.peers[number]
            peer.answered(peer.asked([]), [])
            assert not peer.session.failed
        other.take()
    assert primary.line.closed == CLOSED
    assert caplog.text.count("unexpected error while answering nobody") == 1
    assert other.sent == b"$-1\r\n" * 2
    other.received(request("GET", FIRST))
    primary.carry()
    assert primary.sent == b""
    assert other.sent == b"$-1\r\n" * 3


def test_one_of_msgpack_rpc(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    primary = RespPrimary(quick=False).primary
    clients = [primary.new_client() for _ in range(3)]
    for client in clients:
        client.received(packed([[0, 1, "EXISTS", [FIRST]], [0, 2, "EXISTS", [FIRST]]]))
    with monkeypatch.context() as patched:
        break_one(patched, clients[1].session, RpcSession, "collect")
        primary.carry([])
    assert [client.line.closed for client in clients] == ["", CLOSED, ""]
    assert not primary.peers[0].session.failed
    assert caplog.text.count("unexpected error while answering nobody") == 1 + 1
    for client in clients[::2]:
        client.take()
        assert client.messages() == [[1, 1, None, False], [1, 2, None, False]]


def test_a_part_of_a_request_of_redis(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    primary = RespPrimary(quick=False)
    other = primary.new_client()
    for client in (primary, other):
        client.received(request("MGET", FIRST, SECOND))

    take = Many._take

    def broken(self: Any, index: int, error: object, result: Any) -> None:
        if self._session is primary.session:
            raise ValueError("a defect")
        take(self, index, error, result)

    with monkeypatch.context() as patched:
        patched.setattr(Many, "_take", broken)
        primary.carry()
    assert not any(peer.session.failed for peer in primary.peers)
    assert primary.line.closed == CLOSED
    assert caplog.text.count("unexpected error while answering nobody") == 1
    assert primary.sent == b""
    assert other.sent == b"*2\r\n$-1\r\n$-1\r\n"
