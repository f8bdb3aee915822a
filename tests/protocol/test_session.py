"""A session without a socket: what it answers at once, and that it says when it has left something."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import KIB, SPARE_BUFFER_BYTES, Limits
from ckv.protocol.msgpackrpc import RpcMethods, RpcSession
from tests.support.line import Nowhere
from tests.support.wire import pack

LIMITS = Limits(soft_unsent_bytes=64 * KIB)


@pytest.fixture
def line() -> Nowhere:
    return Nowhere()


@pytest.fixture
def session(line: Nowhere) -> RpcSession:
    """One that was asked before, as the first bytes take another way."""

    def value(_caller: Caller, _msgid: int, params: tuple[Any, ...]) -> object:
        return (True, "x" * params[0])

    methods = RpcMethods({"GET": value, "LATER": lambda _caller, _msgid, _params: LATER}, LIMITS)
    session = RpcSession(line, methods)
    assert answers(session.received(pack([0, 0, "GET", [1]]))) == [[1, 0, None, [True, "x"]]]
    assert not session.attention
    return session


def answers(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(max_buffer_size=2**30)
    unpacker.feed(data)
    return list(unpacker)


def test_a_batch_with_a_large_result_leaves_what_is_behind_it(session: RpcSession, line: Nowhere) -> None:
    got = answers(session.received(pack([0, 1, "BATCH", ["GET", [20_000], "GET", [2]]])))
    assert got == [[1, 1, None, [None, None]], [1, 2, None, [True, "x" * 20_000]]]
    assert line.paused
    assert session.attention
    line.paused = False
    assert answers(session.more()) == [[1, 3, None, [True, "xx"]]]
    assert not session.attention


def test_many_bytes_of_answers_are_to_be_sent_before_the_rest_is_served(session: RpcSession) -> None:
    asked = b"".join(pack([0, msgid, "GET", [10_000]]) for msgid in range(100))
    got = answers(session.received(asked))
    assert len(got) < 100
    while session.attention:
        more = answers(session.more())
        assert more
        got += more
    assert [answer[1] for answer in got] == list(range(100))


@pytest.mark.parametrize("size", [SPARE_BUFFER_BYTES - 100, SPARE_BUFFER_BYTES])
def test_a_large_answer_does_not_wait_for_the_end_of_the_turn(session: RpcSession, size: int) -> None:
    data = session.received(pack([0, 1, "GET", [size]]))
    assert session.attention == (len(data) > SPARE_BUFFER_BYTES) == (size == SPARE_BUFFER_BYTES)


def test_answers_that_come_later_are_taken_once(session: RpcSession, line: Nowhere) -> None:
    assert session.received(pack([0, 1, "LATER", []]) + pack([0, 2, "LATER", []])) == b""
    assert session.in_flight == 2
    session.respond(2, None, "b")
    session.respond(1, None, "a\udcff")
    assert (line.woken, session.waiting, session.in_flight) == (1, True, 0)
    assert session.take() == pack([1, 2, None, "b"]) + pack([1, 1, None, "a\udcff"])
    assert not session.waiting
    assert session.take() == b""


def test_the_end_is_between_two_messages_or_not(session: RpcSession) -> None:
    session.received(pack([0, 1, "GET", [1]])[:-1])
    assert not session.ended()
