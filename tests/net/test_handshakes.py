"""How much of the loop handshakes may have, and who of those that wait is next."""

from __future__ import annotations

import os
import select
from itertools import chain
from pathlib import Path

import pytest

from ckv.net.handshakes import STEPS_PER_TURN
from ckv.net.tls import Seal
from tests.net.conftest import World, interpreted, until
from tests.net.sealed import Sealed


@pytest.fixture
def sealed(world: World, tmp_path: Path) -> Sealed:
    return Sealed(world, tmp_path)


@interpreted
def test_only_some_handshakes_are_carried_on_in_a_turn(sealed: Sealed, world: World) -> None:
    hello = sealed.hello()
    many = [sealed.plain() for _ in range(4 * STEPS_PER_TURN)]
    until(lambda: sealed.server.connections == len(many), "all are connected")
    shaken: list[int] = []
    shake_hands = Seal.shake_hands
    in_turn = [0]

    def counted(seal: Seal) -> bool:
        in_turn[0] += 1
        return shake_hands(seal)

    turn = world.poller.turn

    def counting_turn() -> None:
        in_turn[0] = 0
        turn()
        shaken.append(in_turn[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Seal, "shake_hands", counted)
        patch.setattr(world.poller, "turn", counting_turn)
        for sock in many:
            os.write(sock.fileno(), hello)  # without a turn of the loop
        until(lambda: sum(shaken) >= len(many), "each had its turn")
    assert max(shaken) == STEPS_PER_TURN
    for sock in many:
        assert sock.recv(5)[0] == 0x16
        sock.close()


@interpreted
def test_who_waits_for_its_turn_is_overtaken_by_nobody(sealed: Sealed, world: World) -> None:
    hello = sealed.hello()
    batches = [[sealed.plain() for _ in range(2 * STEPS_PER_TURN)] for _ in range(12)]
    first, waiting = sealed.plain(), sealed.plain()
    until(lambda: sealed.server.connections == 2 + sum(map(len, batches)), "all are connected")
    left = iter([batches[0], [*batches[1], waiting], *batches[2:]])
    came = before = 0
    steps_left: list[int] = []
    turn = world.poller.turn

    def turn_with_more() -> None:
        nonlocal came, before
        for sock in next(left, ()):
            os.write(sock.fileno(), hello)
            came += 1
        turn()
        steps_left.append(sealed.handshakes._left)
        if not before and select.select([waiting], [], [], 0)[0]:
            before = came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.poller, "turn", turn_with_more)
        os.write(first.fileno(), hello)
        assert waiting.recv(5)[0] == 0x16
    # In front of it were four turns of others, in each of which others came.
    assert 4 * STEPS_PER_TURN < before < 16 * STEPS_PER_TURN
    assert min(steps_left) == 0
    for sock in [first, waiting, *chain(*batches)]:
        sock.close()


@interpreted
def test_who_is_closed_when_it_has_its_turn_keeps_nobody_waiting(sealed: Sealed) -> None:
    hello = sealed.hello()
    many = [sealed.plain() for _ in range(4 * STEPS_PER_TURN)]
    until(lambda: sealed.server.connections == len(many), "all are connected")
    closed = 0
    next_turn = sealed.handshakes._next_turn

    def next_turn_that_closes() -> None:
        nonlocal closed
        next_turn()
        if len(sealed.handshakes._let) == STEPS_PER_TURN and not closed:
            for transport in list(sealed.handshakes._let):
                transport.owner.close("")
                closed += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed.handshakes, "_next_turn", next_turn_that_closes)
        for sock in many:
            os.write(sock.fileno(), hello)
        assert sum(sock.recv(5) != b"" for sock in many) == len(many) - STEPS_PER_TURN
    for sock in many:
        sock.close()
