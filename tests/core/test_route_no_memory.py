"""The route loops without memory, or where who is to be told cannot be: no answer is for another request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import hiredis
import pytest

from ckv import core, errors
from ckv.protocol.batch import BATCH_REQUESTS
from ckv.protocol.quick import QuickSession
from ckv.protocol.resp.gather import Gather
from ckv.protocol.resp.quick import QuickRespSession
from tests.core.nodes import packed
from tests.core.resp import RespClient, RespPrimary, request, requests
from tests.core.test_route_resp import FIRST, SECOND

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

GONE = errors.NodeLost("gone")
LOST = "ERR UNKNOWN NodeLost: gone"

KEYS = [f"{{{(FIRST, SECOND)[number % 2]}}}{number}" for number in range(12)]
VALUES = [f"v{key}".encode() for key in KEYS]


def raises_without_memory(number: int, call: Callable[[], object]) -> bool:
    """Whether it raises MemoryError when Python refuses the memory that is asked for after ``number`` other pieces."""
    testcapi = pytest.importorskip("_testcapi")
    try:
        testcapi.set_nomemory(number, number + 1)
        try:
            call()
        finally:
            testcapi.remove_mem_hooks()
    except MemoryError:
        return True
    return False


def replies(client: RespClient) -> list[Any]:
    """What it was answered, an error as its text."""
    reader = hiredis.Reader()
    reader.feed(client.sent)
    found = []
    while (answer := reader.gets()) is not False:
        found.append(str(answer) if isinstance(answer, Exception) else answer)
    return found


def with_values() -> tuple[RespPrimary, RespClient]:
    """A primary whose nodes have all keys, and a second client of it."""
    primary = RespPrimary(quick=True, capacity=1000)
    primary.received(requests(("SET", key, value) for key, value in zip(KEYS, VALUES, strict=True)))
    primary.end()
    primary.sent = b""
    return primary, primary.new_client()


@pytest.mark.parametrize("first", [0, 1])
def test_whatever_memory_is_refused_no_answer_is_for_another_request(first: int) -> None:
    """Whoever may have been told something, but not all of it, hears no more at all."""
    expected = [*VALUES, VALUES[:4], *VALUES[:2]]
    closed = 0
    for number in range(300):
        primary, other = with_values()
        clients = (primary, other)
        for client in clients:
            client.received(requests([*(("GET", key) for key in KEYS), ("MGET", *KEYS[:4])]))
        peers = primary.peers[first], primary.peers[1 - first]
        answers = [peer.asked([]) for peer in peers]
        peers[0].answered(answers[0], [])  # These have to wait for some of the others.
        peer = peers[1]
        if raises_without_memory(number, partial(peer.session.received, answers[1])):
            peer.session.fail_all(GONE)
            peer.connect()
        for client in clients:
            client.take()
            if not client.line.closed:
                client.received(requests(("GET", key) for key in KEYS[:2]))
        primary.carry()
        for client in clients:
            got = replies(client)
            assert all(answer in (right, LOST) for answer, right in zip(got, expected, strict=False)), (number, got)
            if client.line.closed:
                closed += 1
            else:
                assert len(got) == len(expected), (number, got)
                assert client.session.in_flight == 0
                assert not client.session.early
    assert closed


def cannot(*_: object) -> None:
    raise ValueError("a defect")


@pytest.mark.parametrize(("name", "asked"), [("answered", ("GET", FIRST)), ("gathered", ("MGET", FIRST))])
def test_whoever_cannot_be_told_is_told_nothing_more(
    name: str, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, other = with_values()
    third = primary.new_client()
    for client in (primary, other):
        client.received(request(*asked))
    peer = primary.peers[0]
    answers = peer.asked([])
    with monkeypatch.context() as patched, pytest.raises(ValueError, match="a defect"):
        patched.setattr(QuickRespSession if name == "answered" else Gather, name, cannot)
        peer.session.received(answers)
    peer.session.fail_all(GONE)
    peer.connect()
    third.received(requests([("GET", KEYS[0]), asked]))
    primary.carry()
    assert primary.line.closed == other.line.closed == "nobody knows which of its requests were answered"
    assert primary.sent == other.sent == b""
    assert replies(third) == [VALUES[0], [None] if name == "gathered" else None]


def test_nor_is_whoever_speaks_msgpack_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, _ = with_values()
    rpc, third = primary.primary.client, primary.primary.new_client()
    rpc.received(packed([[0, 1, "GET", [FIRST]]]))
    peer = primary.peers[0]
    answers = peer.asked([])
    with monkeypatch.context() as patched, pytest.raises(ValueError, match="a defect"):
        patched.setattr(QuickSession, "answered", cannot)
        peer.session.received(answers)
    peer.session.fail_all(GONE)
    peer.connect()
    third.received(packed([[0, 2, "EXISTS", [KEYS[0]]], [0, 3, "EXISTS", [FIRST]]]))
    primary.carry()
    third.take()
    assert rpc.line.closed
    rpc.take()
    assert rpc.sent() == b""
    assert third.messages() == [[1, 2, None, True], [1, 3, None, False]]


def half_told(primary: RespPrimary, other: RespClient, patched: pytest.MonkeyPatch) -> bytes:
    """Has the first node's answers reach an MGET, of which another node has a key, and then nobody else; the answers of
    the other node, which are still to come."""
    primary.received(request("MGET", KEYS[0], KEYS[2], KEYS[1]))
    other.received(request("GET", KEYS[4]))
    ours, others = (peer.asked([]) for peer in primary.peers)
    patched.setattr(QuickRespSession, "answered", cannot)
    with pytest.raises(ValueError, match="a defect"):
        primary.peers[0].session.received(ours)
    return others


def test_whoever_was_told_is_not_told_again_that_the_node_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value for MGET has its place in a list, which is gone once all have come: none may come after that."""
    primary, other = with_values()
    told: list[int] = []
    gathered = Gather.gathered

    def count(gather: Gather, number: int, size: int) -> None:
        told.append(number)
        gathered(gather, number, size)

    monkeypatch.setattr(Gather, "gathered", count)
    with monkeypatch.context() as patched:
        answers = half_told(primary, other, patched)
    primary.peers[0].session.fail_all(GONE)
    assert told == [2]
    primary.peers[1].session.received(answers)
    assert told == [2, 1]
    assert primary.line.closed
    assert other.line.closed
    assert primary.sent == other.sent == b""


def test_a_value_for_which_there_is_no_place_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, other = with_values()
    third = primary.new_client()
    gathers: list[Gather] = []
    gathered = Gather.gathered

    def keep(gather: Gather, number: int, size: int) -> None:
        gathers.append(gather)
        gathered(gather, number, size)

    monkeypatch.setattr(Gather, "gathered", keep)
    with monkeypatch.context() as patched:
        answers = half_told(primary, other, patched)
    gathers[0].elements.clear()
    third.received(request("GET", KEYS[1]))
    primary.peers[1].session.received(answers)
    primary.carry()
    assert gathers[0].elements == []
    assert replies(third) == [VALUES[1]]


def test_what_was_collected_leaves_when_another_cannot_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, other = with_values()
    asked_to_flush: list[object] = []
    for peer in primary.peers:
        monkeypatch.setattr(peer, "flush_later", partial(asked_to_flush.append, peer))
    assert primary.core is not None
    with monkeypatch.context() as patched, pytest.raises(ValueError, match="a defect"):
        patched.setattr(QuickRespSession, "ask_ahead", cannot)
        primary.core.serve_all([(other.session, request("GET", KEYS[1])), (primary.session, request("STRLEN", "a"))])
    assert asked_to_flush == [primary.peers[1]]
    primary.session.close()
    primary.carry()
    assert replies(other) == [VALUES[1]]


def test_whatever_memory_is_refused_what_was_collected_leaves() -> None:
    """Also when that comes where a message is full, and another one is begun."""
    keys = [f"{{{FIRST}}}{number}" for number in range(BATCH_REQUESTS)]
    for number in range(60):
        primary = RespPrimary(quick=True, capacity=1000)
        others = [primary.new_client() for _ in range(2)]
        for client, part in zip(others, (keys[::2], keys[1::2]), strict=True):
            client.received(requests(("SET", key, key) for key in part))
        loop: Any = primary.core
        asked = [(primary.session, request("GET", keys[0]))]
        if raises_without_memory(number, partial(loop.serve_all, asked)):
            primary.session.close()
        primary.carry()
        for client in others:
            assert replies(client) == [b"OK"] * (BATCH_REQUESTS // 2), number
            assert client.session.in_flight == 0


def test_whatever_memory_is_refused_what_was_not_packed_leaves_later() -> None:
    """Neither twice nor never, and each is answered, also when the connection is lost instead."""
    failures = 0
    for number in range(20):
        for is_lost in (False, True):
            primary = RespPrimary(quick=True, capacity=1000)
            clients = (primary, primary.new_client())
            for client in clients:
                client.received(requests([("DEL", FIRST)] * BATCH_REQUESTS))
            session = primary.peers[0].session
            failed = raises_without_memory(number, session.pack_new)
            failures += failed
            assert session.unanswered == 2 * BATCH_REQUESTS, (number, is_lost)
            if failed and is_lost:
                session.fail_all(GONE)
            primary.carry()
            assert session.unanswered == 0
            for client in clients:
                expected = [LOST if failed and is_lost else 0] * BATCH_REQUESTS
                assert replies(client) == expected, (number, is_lost)
    assert failures
