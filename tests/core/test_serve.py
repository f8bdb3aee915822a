"""The serve loop beside its twin: whatever arrives, however it is cut, both answer the same and store the same."""

from __future__ import annotations

import random
from collections.abc import Iterable
from io import BytesIO

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ckv import core
from ckv.protocol.batch import BATCH_REQUESTS
from ckv.protocol.quick import QuickSession
from tests.core.messages import requests
from tests.core.nodes import CAPACITY, LIMITS, Node, packed, pieces

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")


def served(data: bytes, cuts: Iterable[int], policy: str = "lru", *, tier: bool = False) -> tuple[Node, Node]:
    """A node with the serve loop and one without, which have been sent the same."""
    quick, plain = Node(policy, quick=True, tier=tier), Node(policy, quick=False, tier=tier)
    for piece in pieces(data, cuts):
        quick.received(piece)
        plain.received(piece)
    return quick, plain


def check_same(quick: Node, plain: Node) -> None:
    assert quick.answers() == plain.answers()
    assert bool(quick.session.failed) == bool(plain.session.failed)
    assert quick.session.in_flight == plain.session.in_flight
    if not plain.session.failed:
        assert quick.session.ended() == plain.session.ended()
    quick.store.check()
    assert quick.records() == plain.records()


@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
def test_a_request_may_be_cut_anywhere(tier: bool) -> None:
    sent = [
        [0, 1, "PUT", ["a", "v" * 40]],
        [0, 300, "GET", ["a"]],
        [0, 70_000, "BATCH", ["GET", ["a"], "PUT", ["b", b"w" * 300], "DEL", ["a"], "GET", ["a"]]],
        [0, 2**32, "PING", []],
        [0, 2, "GET", ["b"]],
    ]
    data = packed(sent)
    for cut in range(len(data)):
        check_same(*served(data, [cut], tier=tier))
    check_same(*served(data, range(len(data)), tier=tier))


def test_what_memory_decides_is_not_left_to_the_session() -> None:
    """Else all tests here could pass without the serve loop."""
    sent = [[0, 1, "PUT", ["a", "v"]], [0, 2, "GET", ["a"]], [0, 3, "GET", ["none"]], [0, 4, "DEL", ["a"]]]
    sent += [[0, 5, "BATCH", ["PUT", ["b", "w"], "GET", ["b"]]], [0, 6, "PUT", ["b", "x" * LIMITS.max_value_bytes]]]
    sent += [[0, 7, "EXISTS", ["b"]], [0, 8, "EXISTS", ["none"]], [0, 9, "BATCH", ["EXISTS", ["b"], "EXISTS", ["a"]]]]
    quick, plain = served(packed(sent), [])
    assert quick.left == 0
    check_same(quick, plain)


def test_a_long_request_that_arrives_in_pieces_is_served_once() -> None:
    data = packed([[0, 1, "PUT", ["a", "x" * LIMITS.max_value_bytes]], [0, 2, "GET", ["a"]]])
    quick, plain = served(data, range(0, len(data), 1000))
    assert len(quick.answers()) == 2
    check_same(quick, plain)


def test_a_value_that_is_too_large_is_refused() -> None:
    values = ["v", "v" * LIMITS.max_value_bytes, "v" * (LIMITS.max_value_bytes + 1)]
    sent = [[0, msgid, "PUT", ["a", value]] for msgid, value in enumerate(values)]
    quick, plain = served(packed(sent), [])
    assert any("ValueTooLarge" in answer for answer in quick.answers())
    check_same(quick, plain)


def test_victims_that_are_not_saved_go_to_pending() -> None:
    sent = [[0, number, "PUT", [f"k{number}", f"v{number}"]] for number in range(3 * CAPACITY)]
    quick, plain = served(packed(sent), [], tier=True)
    assert quick.store.unsaved == plain.store.unsaved == 2 * CAPACITY
    check_same(quick, plain)


def test_puts_that_memory_may_not_take_are_handed_over_together(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = (Node("lru", quick=quick, tier=True, pending_max=2) for quick in (True, False))
    asked: list[bytes] = []
    ask = QuickSession.ask

    def noted(self: QuickSession, message: bytes) -> tuple[bytes, bool]:
        asked.append(message)
        return ask(self, message)

    monkeypatch.setattr(QuickSession, "ask", noted)
    puts = [[0, number, "PUT", [f"k{number}", "v"]] for number in range(60)]
    full = CAPACITY + 3  # the last of them waits for room, and from then on memory takes none by itself
    sent = [*puts[:full], [0, 100, "GET", ["k6"]], *puts[full:50], [0, 101, "DEL", ["k9"]], *puts[50:]]
    for node in (quick, plain):
        node.received(packed(sent))
        assert node.tiers is not None
        assert len(node.tiers.room) == 60 - full + 2  # with the one that filled it, and the DEL
    assert [len(list(msgpack.Unpacker(BytesIO(message)))) for message in asked] == [1, 1, 1, 1, 32, 11, 1, 10]
    for node in (quick, plain):
        assert node.tiers is not None
        while node.tiers.room:
            node.tiers.flush_end(node.tiers.flush_begin())
            node.tiers.admit()
            node.take()
    check_same(quick, plain)


def test_a_record_that_is_being_loaded_is_not_overwritten_by_the_load() -> None:
    quick, plain = served(
        packed([[0, 1, "GET", ["a"]], [0, 2, "PUT", ["a", "new"]], [0, 3, "PUT", ["b", "b"]]]), [], tier=True
    )
    for node in (quick, plain):
        assert node.tiers is not None
        query = node.tiers.load_begin()
        assert query is not None
        node.tiers.load_end(query, {"a": "old"})
        node.received(packed([[0, 4, "GET", ["a"]]]))
    assert repr([1, 4, None, [True, "new"]]) in plain.answers()
    check_same(quick, plain)


def test_an_update_that_waits_for_its_load_is_not_overtaken() -> None:
    """Not by what compiled code may answer, either, also when it turned out to be another tier."""
    quick, plain = served(
        packed(
            [[0, 1, "INCRBY", ["a", 1]], [0, 2, "PUT", ["a", "5"]], [0, 3, "GET", ["a"]], [0, 4, "INCRBY", ["a", 1]]]
        ),
        [],
        tier=True,
    )
    for node in (quick, plain):
        assert node.tiers is not None
        node.received(packed([[0, 5, "PUT", ["b", "1"]], [0, 6, "GET", ["b"]]]))
        node.tiers.distrust()
        node.received(packed([[0, 7, "PUT", ["a", "7"]], [0, 8, "INCRBY", ["a", 1]]]))
        while (query := node.tiers.load_begin()) is not None:
            node.tiers.load_end(query, {"a": "40"})
        node.received(packed([[0, 9, "GET", ["a"]]]))
    found = plain.answers()
    for answer in ([1, 41], [2, True], [3, [True, "5"]], [4, 6], [7, True], [8, 8], [9, [True, "8"]]):
        assert repr([1, answer[0], None, answer[1]]) in found
    check_same(quick, plain)


@pytest.mark.parametrize("large", [17_000, 16_000])
def test_what_a_batch_puts_off_comes_before_what_is_behind_the_batch(large: int) -> None:
    batch = ["PUT", ["a", "x" * large], *(["GET", ["a"]] * 4), "PUT", ["a", "new"], "PUT", ["b", "new"]]
    sent = [[0, 1, "BATCH", batch], [0, 20, "GET", ["a"]], [0, 21, "GET", ["b"]], [0, 22, "PUT", ["a", "last"]]]
    quick, plain = served(packed(sent), [])
    assert repr([1, 20, None, [True, "new"]]) in plain.answers()
    check_same(quick, plain)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 33, BATCH_REQUESTS, BATCH_REQUESTS + 1])
def test_a_batch_of_any_length(count: int) -> None:
    batch = [part for number in range(count) for part in ("PUT", [f"k{number % 4}", f"{number}"])]
    check_same(*served(packed([[0, 9, "BATCH", batch], [0, 1, "GET", ["k3"]]]), []))


def test_more_answers_than_are_given_at_once() -> None:
    values = "x" * 16_000
    sent: list[object] = [[0, 0, "PUT", ["a", values]], *([0, number, "GET", ["a"]] for number in range(1, 100))]
    quick, plain = served(packed(sent), [])
    assert quick.rounds > 3
    assert quick.left == 0
    check_same(quick, plain)


def test_other_encodings_of_the_same_request() -> None:
    """A string may have a longer head than it needs, and a number too."""
    texts = [b"\xa1a", b"\xd9\x01a", b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a", b"\xc4\x01a", b"\xc5\x00\x01a"]
    numbers = [
        b"\x07",
        b"\xcc\x07",
        b"\xcd\x00\x07",
        b"\xce\x00\x00\x00\x07",
        b"\xcf" + bytes(7) + b"\x07",
        b"\xd0\x07",
    ]
    rng = random.Random(1)
    data = b"".join(
        b"\x94\x00" + rng.choice(numbers) + b"\xa3PUT\x92" + key + value + b"\x94\x00" + number + b"\xa3GET\x91" + key
        for key in texts
        for value in texts
        for number in numbers
    )
    check_same(*served(data, []))


def test_the_beginning_of_a_request_is_kept_when_nobody_asks_compiled_code_any_more() -> None:
    """A node that drains asks the sessions alone, and compiled code may have left one the half of a request."""
    node = Node("lru", quick=False, tier=False)
    message = packed([[0, 1, "PING", []]])
    node.received(message)  # so that there is an Unpacker
    assert node.session.go_on(message[:3], True) == b""
    node.received(message[3:])
    assert node.answers() == [repr([1, 1, None, "PONG"])] * 2


@pytest.mark.parametrize("quick", [False, True])
def test_a_row_that_was_read_through_a_batch_is_as_large_as_it_was(quick: bool) -> None:
    """Whoever packs a str that is not ASCII may leave its UTF-8 with it, which takes memory that nobody counted."""
    node = Node("lru", quick=quick, tier=True)
    value = "ü" * 20_000
    node.received(packed([[0, 1, "PUT", ["a", value]]]))
    node.received(packed([[0, number, "PUT", [f"k{number}", "v"]] for number in range(2, 2 + CAPACITY)]))
    assert node.tiers is not None
    row = node.tiers.pending.find("a")
    assert row is not None
    node.received(packed([[0, 20, "BATCH", ["GET", ["a"], "GET", ["k5"]]]]))
    assert repr([1, 21, None, [True, value]]) in node.answers()
    node.store.check()


# The last one, for the others are quicker and say more when something is broken.
@pytest.mark.parametrize("policy", ["lru", "fifo", "lfu", "s3fifo"])
@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
@settings(max_examples=100, deadline=None)
@given(
    sent=st.lists(requests, max_size=30),
    cuts=st.lists(st.integers(min_value=0), max_size=6),
    damage=st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), max_size=2),
)
@example(
    sent=[[0, 1, "PUT", ["a", "x" * 17_000]], [0, 2, "BATCH", ["GET", ["a"], "GET", ["b"], "PUT", ["b", 1]]]],
    cuts=[],
    damage=[],
)
def test_both_answer_and_store_the_same(
    policy: str, tier: bool, sent: list[object], cuts: list[int], damage: list[tuple[int, int]]
) -> None:
    data = bytearray(packed(sent))
    for place, byte in damage:
        if data:
            data[place % len(data)] = byte
    check_same(*served(bytes(data), cuts, policy, tier=tier))
