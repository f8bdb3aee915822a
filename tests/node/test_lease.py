"""What a secondary of a registered cluster has answered does not leave once its lease is over."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from tests.net.conftest import World, until
from tests.node.guarded import LARGE, Rig, ask, is_turned_away, serve, wait_for


@pytest.fixture
def rig() -> Iterator[Rig]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        yield Rig(world)


@pytest.mark.parametrize("value", ["small", LARGE])
@pytest.mark.parametrize("behind_epoch", [False, True])
def test_what_is_answered_after_the_end_of_the_lease_does_not_leave(
    rig: Rig, value: str | bytes, behind_epoch: bool
) -> None:
    """The process stood still in the middle of a turn: what it tells may have been changed by somebody else."""
    declared, other = rig.connect(), rig.connect()
    rig.store.put("k", value)
    rig.declare(declared, 1, 1)
    assert ask(other, "PING") == (None, "PONG")
    rig.at_ping = rig.lose_lease
    behind = [[0, 2, "PING", []], [0, 3, "GET", ["k"]]]
    if behind_epoch:
        declared.send([0, 1, "EPOCH", [[1, 1]]], *behind)
        assert declared.answer() == [1, None, 0]
    else:
        declared.send(*behind)
    assert declared.answer() == []
    assert is_turned_away(ask(rig.connect(), "GET", "k"))


def test_nor_to_others_of_that_turn(rig: Rig) -> None:
    first, second = rig.connect(), rig.connect()
    for asker in (first, second):
        rig.declare(asker, 1, 1)
    rig.store.put("large", LARGE)
    rig.at_ping = rig.lose_lease
    first.send([0, 1, "GET", ["k"]], [0, 2, "PING", []])
    second.send([0, 1, "GET", ["large"]])
    assert first.answer() == second.answer() == []


@pytest.mark.parametrize("value", ["small", LARGE])
def test_nor_to_a_client_of_redis(rig: Rig, value: str | bytes) -> None:
    redis = rig.connect()
    rig.store.put("k", value)
    redis.socket.sendall(b"EXISTS k\r\n")
    assert redis.socket.recv(100) == b":1\r\n"
    rig.at_ping = rig.lose_lease
    redis.socket.sendall(b"DBSIZE\r\nGET k\r\n")
    assert redis.socket.recv(100) == b""


def test_nor_what_was_answered_between_two_turns(rig: Rig) -> None:
    asker, other = rig.connect(), rig.connect()
    wait_for(rig, "k")
    asker.send([0, 1, "PUT", ["k", "w"]])
    assert ask(other, "PING") == (None, "PONG")
    until(lambda: rig.guard._waiting)
    serve(rig, "k")
    rig.lose_lease()
    rig.guard.tick()  # which finds that out first
    assert asker.answer() == []
    assert ask(other, "PING") == (None, "PONG")
