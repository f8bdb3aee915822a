"""NODES at a primary: one that does not answer keeps nobody from seeing the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ckv import errors
from ckv.node.survey import WITHIN, Survey
from ckv.protocol.handler import LATER, Caller
from tests.node.callers import Told


class Peer:
    def __init__(self, address: str, error: errors.Refused | None = None) -> None:
        self.address = address
        self.reason = ""
        self._error = error
        self.callers: list[tuple[Caller, int]] = []

    def call(self, method: str, params: tuple[object, ...], caller: Caller, msgid: int) -> None:
        assert (method, params) == ("NODES", ())
        if self._error is not None:
            raise self._error
        self.callers.append((caller, msgid))

    def answer(self, error: object, result: object) -> None:
        for caller, msgid in self.callers:
            caller.respond(msgid, error, result)


class Rig:
    def __init__(self, *peers: Peer) -> None:
        self.later: list[Callable[[], None]] = []
        self.told = Told()
        self.survey = Survey(lambda: {"role": "primary", "peer_a:1_connected": 1}, lambda: peers, self._do_later)
        self.at_once = self.survey.survey(self.told, 7, ())

    def _do_later(self, seconds: float, do: Callable[[], None]) -> None:
        assert seconds == WITHIN
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


def test_an_answer_without_figures_is_a_trouble_of_that_node() -> None:
    peer = Peer("a:1")
    rig = Rig(peer)
    peer.answer(None, 7)
    assert rig.answer[1:] == [["a:1", "the node says something else than its figures", []]]


def test_it_takes_no_arguments() -> None:
    with pytest.raises(errors.BadArguments):
        Rig().survey.survey(Told(), 1, ("x",))
