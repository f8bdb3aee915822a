"""EXEC at a primary: what each owner is asked, and where the answers go."""

from __future__ import annotations

from typing import Any

import pytest

from ckv import errors
from ckv.cluster.slots import SlotMap
from ckv.node.parts import exec_at_owners
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import BULKY_BYTES
from ckv.protocol.steps import Asked, answers_of, packed_answers, packed_requests, requests_of
from tests.node.test_steps import Client

MOST = 100_000


class Peer:
    """A node that notes what it is asked."""

    def __init__(self, name: str) -> None:
        self.address = name
        self.calls: list[tuple[list[Asked], bool]] = []
        self.callers: list[tuple[Caller, int]] = []
        self.raises: errors.CkvError | None = None

    def call(self, method: str, params: tuple[Any, ...], caller: Caller, msgid: int, *, large: bool = False) -> None:
        assert method == "EXEC"
        if self.raises is not None:
            raise self.raises
        self.calls.append((requests_of(*params), large))
        self.callers.append((caller, msgid))

    def answer(self, *answers: object, error: str | None = None, is_done: bool = True) -> None:
        caller, msgid = self.callers.pop(0)
        told = packed_answers([(answer, None) if isinstance(answer, str) else (None, answer) for answer in answers])
        caller.respond(msgid, error, None if error else (is_done, told if is_done else b""))


class Primary:
    def __init__(self) -> None:
        self.peers = [Peer("one"), Peer("two")]
        self.one, self.two = self.peers
        slots: Any = SlotMap(self.peers)
        self.keys = {peer.address: [] for peer in self.peers}  # type: ignore[var-annotated]
        for number in range(20):
            self.keys[slots.owner(f"k{number}").address].append(f"k{number}")
        self.exec = exec_at_owners(slots, MOST)
        self.client = Client()

    def ask(self, *requests: Asked) -> object:
        return self.exec(self.client, 5, (list(requests),))

    def told(self) -> Any:
        ((msgid, error, result),) = self.client.answers
        assert msgid == 5
        self.client.answers.clear()
        assert not self.client.is_held()
        return error or result


@pytest.fixture
def primary() -> Primary:
    return Primary()


def test_each_owner_has_one_request_with_its_own_in_their_order(primary: Primary) -> None:
    a, b, *_ = primary.keys["one"]
    c, d, *_ = primary.keys["two"]
    requests: list[Asked] = [
        *(("PUT", (a, b"1")), ("PUT", (c, b"2")), ("INCRBY", (a, 1)), ("GET", ("k" * 1025,)), ("GET", (d,))),
        *(("GET", ()), ("DEL", (b,))),
    ]  # fmt: skip
    assert primary.ask(*requests) is LATER
    assert primary.one.calls == [([requests[0], requests[2], requests[6]], False)]
    assert primary.two.calls == [([requests[1], requests[4]], False)]
    assert primary.client.is_held(), "what comes behind must not overtake what a node begins later"
    primary.two.answer(True, (True, b"x"))
    assert primary.client.answers == []
    primary.one.answer(True, "NotANumber: no", False)
    is_done, answers = primary.told()
    assert is_done is True
    assert answers[:3] == [(None, True), (None, True), ("NotANumber: no", None)]
    assert answers[3][0].startswith("KeyTooLong: ")
    assert answers[4] == (None, (True, b"x"))
    assert answers[5][0].startswith("BadArguments: ")
    assert answers[6] == (None, False)


def test_it_travels_packed(primary: Primary) -> None:
    a, c = primary.keys["one"][0], primary.keys["two"][0]
    data = packed_requests([("PUT", (a, b"1")), ("PUT", (c, b"1"))])
    assert primary.exec(primary.client, 5, (data,)) is LATER
    primary.one.answer(True)
    primary.two.answer(error="NodeLost: it broke")
    is_done, answers = primary.told()
    assert is_done is True
    assert answers_of(answers, 2) == [(None, True), ("NodeLost: it broke", None)]
    assert primary.exec(primary.client, 5, (packed_requests([("GET", ("k" * 1025,))]),)) != LATER


def test_a_node_that_is_away_costs_its_own_part(primary: Primary) -> None:
    a, c = primary.keys["one"][0], primary.keys["two"][0]
    primary.two.raises = errors.NodeDown("away")
    assert primary.ask(("PUT", (c, b"1")), ("PUT", (a, b"1"))) is LATER
    primary.one.answer(True)
    assert primary.told() == [True, [("NodeDown: away", None), (None, True)]]


def test_when_no_part_was_carried_out_the_error_is_the_answer(primary: Primary) -> None:
    a, c = primary.keys["one"][0], primary.keys["two"][0]
    primary.one.raises = primary.two.raises = errors.NodeDown("away")
    with pytest.raises(errors.NodeDown):
        primary.ask(("PUT", (c, b"1")), ("PUT", (a, b"1")))
    assert primary.client.answers == []
    assert not primary.client.is_held()
    primary.one.raises = primary.two.raises = None
    primary.ask(("PUT", (c, b"1")), ("PUT", (a, b"1")))
    primary.one.answer(error="NoRoom: full")
    primary.two.answer(error="CallTimeout: slow")
    assert primary.told() == "CallTimeout: slow", "nobody knows, and that comes first"


def test_what_is_watched_has_to_be_on_one_node(primary: Primary) -> None:
    a, b, *_ = primary.keys["one"]
    c = primary.keys["two"][0]
    for requests in (
        [("WATCHED", (a, b"")), ("PUT", (c, b"1"))],
        [("WATCHED", (a, b"")), ("WATCHED", (c, b"")), ("PUT", (a, b"1"))],
        [("WATCHED", (a, b"")), ("PUT", (a, b"1")), ("PUT", (c, b"1"))],
    ):
        with pytest.raises(errors.CrossNode, match=r"are on several nodes; use \{tags\}"):
            primary.ask(*requests)
    assert primary.one.calls == primary.two.calls == []
    watched: list[Asked] = [("WATCHED", (a, b"")), ("WATCHED", (b, b"x"))]
    primary.ask(*watched, ("PUT", (a, b"1")))
    assert primary.one.calls == [([*watched, ("PUT", (a, b"1"))], False)]
    primary.one.answer(is_done=False)
    assert primary.told() == [False, []]
    primary.ask(*watched)
    primary.one.answer()
    assert primary.told() == [True, []]


def test_large_ones(primary: Primary) -> None:
    a, c = primary.keys["one"][0], primary.keys["two"][0]
    primary.ask(("PUT", (a, b"x" * BULKY_BYTES)), ("PUT", (c, b"x")))
    assert [calls[0][1] for calls in (primary.one.calls, primary.two.calls)] == [True, False]
    with pytest.raises(errors.BadArguments, match=f"bytes of requests to one, {MOST - 1024} are allowed"):
        primary.ask(("PUT", (c, b"x")), *[("PUT", (a, b"x" * 1000))] * 99)
    assert len(primary.two.calls) == 1, "nothing of it is begun"


def test_a_client_that_is_gone(primary: Primary) -> None:
    """What other parts were sent with is sent too: a node that is not connected yet asks whether anybody waits."""
    a, c = primary.keys["one"][0], primary.keys["two"][0]
    primary.ask(("PUT", (a, b"1")), ("PUT", (c, b"1")))
    primary.client.close()
    assert all(peer.callers[0][0].is_open for peer in primary.peers)


def test_a_node_that_is_slow_holds_the_client(primary: Primary) -> None:
    primary.ask(("PUT", (primary.keys["one"][0], b"1")))
    caller, _ = primary.one.callers[0]
    caller.hold("slow")
    primary.one.answer(True)
    assert primary.client.line.held
    caller.release("slow")
    assert not primary.client.line.held


@pytest.mark.parametrize("answer", [b"x", (True,), (True, b"x"), (True, b"")])
def test_an_answer_of_another_version(primary: Primary, answer: object) -> None:
    primary.ask(("PUT", (primary.keys["one"][0], b"1")))
    caller, msgid = primary.one.callers[0]
    caller.respond(msgid, None, answer)
    assert primary.told() == "ServerError: the answer of a node is none to EXEC"
