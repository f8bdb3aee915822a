"""Large values that arrive in pieces: they are put where they stay, and nobody can tell."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path
from typing import cast

import pytest

from ckv import core
from tests.core.nodes import LIMITS, Node, packed
from tests.core.test_serve import check_same, served
from tests.support.line import Nowhere

pytestmark = pytest.mark.skipif(not core.COMPILED, reason="there is no compiled core")

VALUE = bytes(number % 251 for number in range(100_000))
PUT = packed([[0, 1, "PUT", ["a", VALUE]]])
GET = packed([[0, 2, "GET", ["a"]]])
CUTS = [len(PUT) - len(VALUE), len(PUT) - len(VALUE) + 1, 4_096, 65_536, len(PUT) - 1]
SANITIZED = "ASAN_OPTIONS" in os.environ


def arriving(node: Node) -> bool:
    """Whether compiled code reads the rest of a message."""
    reading = cast(Nowhere, node.session.line).reading is not None
    assert reading == (node.session.arriving is not None)
    return reading


def read(node: Node, fd: int, size: int) -> bytes:
    """Has it read, as a connection does."""
    reading = cast(Nowhere, node.session.line).reading
    assert reading is not None
    return reading(fd, size)


@pytest.mark.parametrize("policy", ["lru", "fifo", "lfu", "s3fifo"])
@pytest.mark.parametrize("before", [[], [[0, 3, "PUT", ["a", "old"]], [0, 4, "GET", ["a"]]]], ids=["new", "again"])
@pytest.mark.parametrize("tier", [False, True], ids=["alone", "tier"])
def test_a_large_value_may_be_cut_anywhere(policy: str, before: list[object], tier: bool) -> None:
    start = packed(before)
    for cut in CUTS:
        quick, plain = served(
            start + PUT + GET + PUT + GET, [len(start) + cut, len(start) + len(PUT + GET) + cut], policy, tier=tier
        )
        assert repr([1, 2, None, [True, VALUE]]) in plain.answers()
        assert quick.left == 0
        check_same(quick, plain)


def test_it_does_not_go_through_the_session() -> None:
    """Else all tests here could pass without any of it."""
    node = Node("lru", quick=True, tier=False)
    node.received(PUT[:5_000])
    assert arriving(node)
    assert not node.session.ended()
    assert not node.session.rest()
    for start in range(5_000, len(PUT), 10_000):
        assert arriving(node)
        node.received(PUT[start : start + 10_000])
    assert not arriving(node)
    assert node.session.ended()
    assert node.session._unpacker is None, "not even one was made"


def test_what_leaves_for_it_is_saved() -> None:
    fill = packed([[0, number, "PUT", [f"k{number}", f"v{number}"]] for number in range(4)])
    quick, plain = served(fill + PUT, [len(fill) + 50_000], tier=True)
    assert quick.store.unsaved == plain.store.unsaved == 1
    check_same(quick, plain)


def test_a_value_that_the_store_has_to_decide_on_is_the_sessions() -> None:
    quick, plain = Node("lru", quick=True, tier=True), Node("lru", quick=False, tier=True)
    for node in (quick, plain):
        node.received(PUT[:50_000])
        node.received(PUT[50_000:90_000])
        node.store.memory.may_put = False
        node.received(PUT[90_000:] + GET)
    check_same(quick, plain)


def test_a_key_that_is_being_loaded_is_not_overwritten_by_the_load() -> None:
    quick, plain = Node("lru", quick=True, tier=True), Node("lru", quick=False, tier=True)
    for node in (quick, plain):
        node.received(packed([[0, 3, "GET", ["a"]]]) + PUT[:50_000])
        assert node.tiers is not None
        query = node.tiers.load_begin()
        assert query is not None
        node.received(PUT[50_000:])
        node.tiers.load_end(query, {"a": "old"})
        node.received(GET)
    assert repr([1, 2, None, [True, VALUE]]) in plain.answers()
    check_same(quick, plain)


def test_what_arrives_while_the_line_is_held_is_kept() -> None:
    quick, plain = Node("lru", quick=True, tier=False), Node("lru", quick=False, tier=False)
    for node in (quick, plain):
        node.received(PUT[:50_000])
        node.session.feed(PUT[50_000:70_000])  # as a connection does that is held
        node.received(PUT[70_000:] + GET)
    check_same(quick, plain)


def test_it_is_read_to_its_place() -> None:
    """As a connection does it: by the descriptor, and what is behind it by whoever read before."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        node = Node("lru", quick=True, tier=False)
        node.received(PUT[:5_000])
        with pytest.raises(BlockingIOError):
            read(node, ours.fileno(), 100)
        for start in range(5_000, len(PUT), 40_000):
            theirs.sendall(PUT[start : start + 40_000])
            node.received(read(node, ours.fileno(), 100))
        assert not arriving(node)
        theirs.sendall(GET + PUT[:5_000])
        node.received(os.read(ours.fileno(), 100_000))
        assert repr([1, 2, None, [True, VALUE]]) in node.answers()
        theirs.close()
        assert read(node, ours.fileno(), 100) == b"", "the end of input"
    assert node.store.memory.get("a") == VALUE


def test_what_was_read_to_its_place_may_still_be_the_sessions() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        quick, plain = Node("lru", quick=True, tier=True), Node("lru", quick=False, tier=True)
        for node in (quick, plain):
            node.received(PUT[:5_000])
            node.store.memory.may_put = False
        theirs.sendall(PUT[5_000:])
        quick.received(read(quick, ours.fileno(), 100))
        plain.received(PUT[5_000:])
        assert not arriving(quick)
    check_same(quick, plain)


def test_what_was_read_to_its_place_is_kept_when_the_line_is_held() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        quick, plain = Node("lru", quick=True, tier=False), Node("lru", quick=False, tier=False)
        for node in (quick, plain):
            node.received(PUT[:5_000])
        theirs.sendall(PUT[5_000:20_000])
        quick.session.feed(read(quick, ours.fileno(), 100))
        plain.session.feed(PUT[5_000:20_000])
        assert not arriving(quick)
        for node in (quick, plain):
            node.received(PUT[20_000:] + GET)
    check_same(quick, plain)


@pytest.mark.parametrize(
    "size", [16 * 1024 - 1, 16 * 1024, 64 * 1024, 64 * 1024 + 1, LIMITS.max_value_bytes, LIMITS.max_value_bytes + 1]
)
def test_values_at_the_bounds(size: int) -> None:
    data = packed([[0, 1, "PUT", ["a", b"x" * size]], [0, 2, "GET", ["a"]]])
    check_same(*served(data, [9_000]))


def test_a_length_that_is_only_claimed() -> None:
    head = b"\x94\x00\x01\xa3PUT\x92\xa1a"
    for length in (b"\xc6\xff\xff\xff\xff", b"\xc6\x00\x03\x00\x00", b"\xdb\x00\x02\x00\x00"):
        check_same(*served(head + length + b"x" * 50, [12]))


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps what was freed for a while")
def test_what_does_not_arrive_gives_its_memory_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def begin() -> None:
        node = Node("lru", quick=True, tier=False)
        node.received(PUT[:90_000])
        node.session.close()
        assert node.session.arriving is None

    begin()
    gc.collect()
    before = resident()
    for _ in range(2_000):
        begin()
    gc.collect()
    assert resident() - before < 50_000_000
