"""The serve loop and records that expire: it tells them while they last, and leaves what is over to the store."""

from __future__ import annotations

import pytest

from ckv import core
from ckv.protocol.quick import QuickSession
from tests.core.nodes import Node, packed
from tests.core.test_serve import check_same

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

LARGE = "x" * 20_000
"""Longer than what is copied twice: its GET has a way of its own."""


def both(now: list[int], *, tier: bool) -> tuple[Node, Node]:
    """A node with the serve loop and one without, which have the same records. All but one expire at 2000."""
    nodes = Node("lru", quick=True, tier=tier), Node("lru", quick=False, tier=tier)
    for node in nodes:
        node.store.memory.now_ms = lambda: now[0]
        node.store.put("a", "v", 2000)
        node.store.put("large", LARGE, 2000)
        node.store.put("for ever", "v")
    return nodes


@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
@pytest.mark.parametrize("method", ["GET", "BATCH"])
@pytest.mark.parametrize("key", ["a", "large", "for ever"])
def test_they_are_told_until_they_expire(key: str, method: str, tier: bool) -> None:
    now = [1999]
    quick, plain = both(now, tier=tier)
    for msgid in (1, 2):
        request = [0, msgid, "GET", [key]] if method == "GET" else [0, 10 * msgid, "BATCH", ["GET", [key]]]
        for node in (quick, plain):
            left = node.left
            node.received(packed([request]))
            if msgid == 1 or key == "for ever":
                assert node is plain or node.left == left, "memory did not decide it"
        now[0] += 1
    answers = repr(quick.messages()[-1])
    assert ("True" in answers) == (key == "for ever")
    assert quick.store.memory.hits == plain.store.memory.hits == (2 if key == "for ever" else 1)
    check_same(quick, plain)


@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
@pytest.mark.parametrize("at", [1000, 2000])
@pytest.mark.parametrize("value", ["", "v", "w" * 7, "w" * 8, "w" * 30_000])
def test_a_put_ends_their_expiry(value: str, at: int, tier: bool) -> None:
    quick, plain = both([at], tier=tier)
    for node in (quick, plain):
        node.received(packed([[0, 1, "PUT", ["a", value]], [0, 2, "GET", ["a"]]]))
        assert node.store.memory.expires_of("a") == 0
        assert node.store.memory.expiring == 1
        node.store.check()
    assert quick.left == 0
    check_same(quick, plain)


@pytest.mark.parametrize("at", [1000, 2000])
def test_a_deletion_of_them_is_left_to_the_store(at: int) -> None:
    quick, plain = both([at], tier=False)
    for node in (quick, plain):
        node.received(packed([[0, 1, "DEL", ["a"]], [0, 2, "DEL", ["for ever"]]]))
        assert [answer[3] for answer in node.messages()] == [at < 2000, True]
    check_same(quick, plain)


def test_the_time_is_asked_once_a_call() -> None:
    """Asking for it is a call of Python, and would be most of what a GET of such a record costs."""
    asked = 0

    def now_ms() -> int:
        nonlocal asked
        asked += 1
        return 1999

    quick, _ = both([1999], tier=False)
    quick.store.memory.now_ms = now_ms
    for times in (1, 2):
        quick.received(packed([[0, number, "GET", ["a"]] for number in range(100)]))
        assert asked == times
    for times in (3, 4):
        assert quick.store.memory.get("a") == "v"
        assert asked == times
    assert quick.left == 0


def no_memory(*_: object) -> None:
    raise MemoryError


def test_the_time_is_asked_anew_after_a_call_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1999]
    quick, _ = both(now, tier=False)
    monkeypatch.setattr(QuickSession, "ask", no_memory)
    with pytest.raises(MemoryError):
        quick.received(packed([[0, 1, "GET", ["a"]], [0, 2, "DEL", ["a"]]]))
    now[0] = 2000
    assert quick.store.memory.peek("a") is None


def test_one_that_expires_leaves_as_any_other_does() -> None:
    now = [1000]
    quick, plain = both(now, tier=False)
    for number in range(200):
        request = [0, number, "PUT", [f"key {number}", "v" * number]]
        for node in (quick, plain):
            node.received(packed([request]))
        now[0] += 10
    assert quick.store.memory.evicted == plain.store.memory.evicted > 0
    assert quick.store.memory.expiring == plain.store.memory.expiring
    check_same(quick, plain)
