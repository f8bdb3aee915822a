"""NODES, CLIENTS, HOT and BIG at a primary: one node that does not answer keeps nobody from seeing the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckv import errors
from ckv.node.survey import WITHIN, WITHIN_OF_BIG, surveys
from ckv.protocol.handler import LATER, Caller
from tests.node.callers import Told


class Peer:
    def __init__(self, address: str, error: errors.Refused | None = None) -> None:
        self.address = address
        self.reason = ""
        self._error = error
        self.callers: list[tuple[Caller, int]] = []
        self.asked: tuple[str, tuple[object, ...]] | None = None

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        self.asked = (method, params)
        if self._error is not None:
            raise self._error
        self.callers.append((caller, msgid))

    def answer(self, error: object, result: object) -> None:
        for caller, msgid in self.callers:
            caller.respond(msgid, error, result)


class Rig:
    def __init__(self, *peers: Peer, method: str = "NODES", params: tuple[object, ...] = ()) -> None:
        self.later: list[Callable[[], None]] = []
        self.told = Told()
        self.within = WITHIN_OF_BIG if method == "BIG" else WITHIN
        made = surveys(
            lambda: {"role": "primary", "peer_a:1_connected": 1},
            lambda count: [["", "", [count]]],
            lambda: peers,
            self._do_later,
        )
        self.at_once = made[method](self.told, 7, params)
        assert {peer.asked for peer in peers} <= {(method, params)}

    def _do_later(self, seconds: float, do: Callable[[], None]) -> None:
        assert seconds == self.within
        self.later.append(do)

    @property
    def answer(self) -> Any:
        ((number, error, rows),) = self.told.answers
        assert (number, error) == (7, None)
        return rows


def test_without_nodes_it_answers_for_itself() -> None:
    assert Rig().at_once == [["", "", [["role", "primary"]]]]


def test_all_of_them_are_told_when_the_last_one_has_answered() -> None:
    one, other, gone = Peer("a:1"), Peer("b:2"), Peer("c:3", errors.NodeDown("no connection"))
    gone.reason = "Connection refused"
    rig = Rig(one, other, gone)
    assert rig.at_once is LATER
    other.answer(None, (("", "", (("records", 2),)),))
    assert not rig.told.answers
    one.answer("Starting: wait", None)
    assert rig.answer == [
        ["", "", [["role", "primary"]]],
        ["a:1", "Starting: wait", []],
        ["b:2", "", [("records", 2)]],
        ["c:3", "not connected: Connection refused", []],
    ]
    rig.later[0]()
    assert len(rig.told.answers) == 1


def test_one_that_hangs_is_waited_for_no_longer_than_a_second() -> None:
    one, hung = Peer("a:1"), Peer("b:2")
    rig = Rig(one, hung)
    one.answer(None, (("", "", (("records", 1),)),))
    rig.later[0]()
    assert rig.answer[1:] == [["a:1", "", [("records", 1)]], ["b:2", "no answer within 1 s", []]]
    hung.answer(None, (("", "", (("records", 2),)),))
    assert len(rig.told.answers) == 1
    assert not hung.callers[0][0].is_open


@pytest.mark.parametrize(
    "result",
    [
        7,
        (("", "", (7,)),),
        (("", "", (("name",),)),),
        (("", "", ((["name"], 1),)),),
        (("", "", ((1, "name"),)),),
        (("", "", (("records", 1), ("name", None))),),
    ],
)
def test_an_answer_without_figures_is_a_trouble_of_that_node(result: object) -> None:
    peer, other = Peer("a:1"), Peer("b:2")
    rig = Rig(peer, other)
    peer.answer(None, result)
    other.answer(None, (("", "", (("records", 2),)),))
    assert rig.answer[1:] == [["a:1", "the node says something else", []], ["b:2", "", [("records", 2)]]]


@pytest.mark.parametrize("method", ["HOT", "BIG"])
def test_what_is_asked_of_records_is_told_of_the_others_alone(method: str) -> None:
    assert Rig(method=method, params=(10,)).at_once == []
    one, gone = Peer("a:1"), Peer("b:2", errors.NodeDown("no connection"))
    rig = Rig(one, gone, method=method, params=(10,))
    one.answer(None, (("", "", (1, 2)),))
    assert rig.answer == [["a:1", "", [1, 2]], ["b:2", "not connected: it was there a moment ago", []]]


def test_who_asks_is_told_of_itself_too() -> None:
    one, gone = Peer("a:1"), Peer("b:2", errors.NodeDown("no connection"))
    rig = Rig(one, gone, method="CLIENTS", params=(10,))
    one.answer(None, (("", "", (1, 2)),))
    assert rig.answer == [["", "", [10]], ["a:1", "", [1, 2]], ["b:2", "not connected: it was there a moment ago", []]]


@pytest.mark.parametrize(
    ("method", "params"),
    [("NODES", ("x",)), ("CLIENTS", ()), ("HOT", ()), ("HOT", (0,)), ("BIG", (101,)), ("BIG", ("10",))],
)
def test_wrong_arguments_reach_no_node(method: str, params: tuple[object, ...]) -> None:
    peer = Peer("a:1")
    with pytest.raises(errors.BadArguments):
        Rig(peer, method=method, params=params)
    assert peer.asked is None
