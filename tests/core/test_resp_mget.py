"""MGET in the serve loop beside its twin: answered where memory decides all of it, else left to the session."""

from __future__ import annotations

import pytest

from ckv import core
from ckv.address import Address
from ckv.cluster.view import of_list
from ckv.protocol.resp.quick import QuickRespSession
from ckv.protocol.resp.session import RespSession
from tests.core.resp import RespNode, request, requests
from tests.core.test_resp import check_same

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

KEYS = [f"k{number}" for number in range(100)]
"""More than a window has."""

BEFORE = requests([("SET", key, f"value {key}\r\n") for key in KEYS])


def both(*, tier: bool = False) -> tuple[RespNode, RespNode]:
    """A node with the serve loop and one without, which have the same records."""
    quick, plain = (RespNode(quick=quick, tier=tier, capacity=2 * len(KEYS)) for quick in (True, False))
    for node in (quick, plain):
        node.received(BEFORE)
        node.sent = b""
    return quick, plain


ANSWERED = [
    ("MGET", "k1"),
    ("mget", "none"),
    ("MGET", "k1", "none", "k1", "", "k2"),
    ("MGET", *KEYS),
    ("MGET", *reversed(KEYS), *["none"] * 500),
]


@pytest.mark.parametrize("at_once", [False, True])
def test_it_is_answered_where_memory_decides_all_of_it(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = both()
    for data in [requests(ANSWERED)] if at_once else [request(*words) for words in ANSWERED]:
        plain.received(data)
        with monkeypatch.context() as patched:
            patched.setattr(RespSession, "received", None)
            quick.received(data)
    assert quick.left == 0
    check_same(quick, plain)


def test_its_keys_are_counted() -> None:
    quick, _plain = both()
    quick.received(requests([*ANSWERED, ("GET", "k1"), ("SET", "k1", "v")]))
    assert quick.core is not None
    assert quick.core.more_keys == sum(len(words) - 2 for words in ANSWERED)


def test_with_the_third_version_what_is_not_there_looks_otherwise() -> None:
    quick, plain = both()
    for node in (quick, plain):
        node.received(requests([("HELLO", "3"), ("MGET", "k1", "none"), ("PING",)]))
    assert quick.sent.endswith(b"*2\r\n$10\r\nvalue k1\r\n\r\n_\r\n+PONG\r\n")
    check_same(quick, plain)


@pytest.mark.parametrize(
    "keys",
    [["k1", "k" * 1025], ["k1", *["large"] * 9], ["k1"] * 1024, ["k1", "over", "k2"], []],
    ids=["a long key", "many bytes", "many keys", "one has expired", "no key"],
)
def test_what_is_more_to_it_is_left_to_the_session(keys: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was seen of it by then was not counted."""
    quick, plain = both()
    asked: list[bytes] = []
    ask = QuickRespSession.ask

    def asking(session: QuickRespSession, data: bytes) -> tuple[bytes, bool]:
        asked.append(data)
        return ask(session, data)

    monkeypatch.setattr(QuickRespSession, "ask", asking)
    for node in (quick, plain):
        node.store.memory.now_ms = lambda: 2000
        node.store.put("over", "v", 2000)
        node.store.put("large", "x" * 30_000)
        node.received(requests([("PING",), ("MGET", *keys), ("MGET", "k1", "k2")]))
    assert asked or quick.left
    check_same(quick, plain)


def test_a_key_that_has_to_be_loaded_holds_what_is_behind() -> None:
    quick, plain = both(tier=True)
    for node in (quick, plain):
        node.received(requests([("MGET", "k1", "elsewhere"), ("MGET", "k1", "k2"), ("PING",)]))
        assert node.sent == b""
    check_same(quick, plain)


def test_one_of_several_keys_may_be_another_nodes() -> None:
    quick, plain = both()
    for node in (quick, plain):
        node.tell(of_list([Address("a", 1), Address("b", 2)], 1))
        node.received(requests([("MGET", "key"), ("MGET", "b"), ("MGET", "{key}1", "key"), ("MGET", "key", "b")]))
    assert b"-MOVED " in quick.sent
    assert b"-CROSSSLOT " in quick.sent
    check_same(quick, plain)
