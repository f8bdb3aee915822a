"""What the page of a primary says of its secondaries."""

from __future__ import annotations

from typing import Any

import gevent

from ckv.node.others import OLD, Others
from ckv.node.survey import surveys
from ckv.protocol.handler import LATER, Caller
from tests.node.test_survey import Peer

SLOW = {"name": "a", "database_state": "slow", "database_state_seconds": 5.0, "database_reason": "a read took 1 s"}


class Nodes:
    """NODES, with answers that a test gives."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[Caller] = []
        self.others = Others(self._nodes, lambda: self.now)

    def _nodes(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        assert (msgid, params) == (0, ())
        self.asked.append(caller)
        return LATER

    def answer(self, *rows: tuple[str, str, dict[str, Any]]) -> None:
        told = [["", "", []], *([address, why, list(info.items())] for address, why, info in rows)]
        self.asked[-1].respond(0, None, told)
        gevent.sleep(0)

    def said(self) -> list[str]:
        return [problem.sentence for problem in self.others.problems()]


def test_the_first_look_waits_and_the_next_ones_do_not() -> None:
    nodes = Nodes()
    first = gevent.spawn(nodes.said)
    gevent.sleep(0)
    gevent.sleep(0)
    assert not first.dead
    nodes.answer(("a:1", "", SLOW))
    first.join()
    assert first.value == ["a: The database has been slow for 5 s: a read took 1 s"]
    assert nodes.said() == first.value, "a hung one answers late"
    gevent.sleep(0)
    assert len(nodes.asked) == 2, "but it is asked"
    nodes.now += 1.0
    nodes.answer(("a:1", "", {"name": "a", "database_state": "up"}))
    assert nodes.said() == []


def test_what_was_answered_long_ago_is_not_told() -> None:
    nodes = Nodes()
    first = gevent.spawn(nodes.said)
    gevent.sleep(0)
    gevent.sleep(0)
    nodes.answer(("a:1", "", SLOW))
    first.join()
    nodes.now += OLD + 1.0
    later = gevent.spawn(nodes.said)
    gevent.sleep(0)
    gevent.sleep(0)
    assert not later.dead
    nodes.answer(("a:1", "", {}))
    later.join()
    assert later.value == []


def test_several_nodes_with_one_trouble_are_one_sentence() -> None:
    nodes = Nodes()
    first = gevent.spawn(nodes.said)
    gevent.sleep(0)
    gevent.sleep(0)
    rows = [("a:1", "", SLOW), ("b:2", "", {**SLOW, "name": "b"}), ("c:3", "no answer within 1 s", {})]
    nodes.answer(*rows, ("d:4", "not connected: refused", {}))
    first.join()
    assert first.value == [
        "a, and 1 more: The database has been slow for 5 s: a read took 1 s",
        "c:3: It does not tell its figures: no answer within 1 s",
    ]


def test_a_node_that_tells_no_figures_hides_nothing_of_the_others() -> None:
    odd, slow = Peer("a:1"), Peer("b:2")
    others = Others(surveys(dict, lambda _count: [], lambda: [odd, slow], lambda _seconds, _do: None)["NODES"])
    look = gevent.spawn(lambda: [problem.sentence for problem in others.problems()])
    gevent.sleep(0)
    gevent.sleep(0)
    odd.answer(None, [["", "", ["no pair"]]])
    slow.answer(None, [["", "", [list(pair) for pair in SLOW.items()]]])
    look.join()
    assert look.value == [
        "a: The database has been slow for 5 s: a read took 1 s",
        "a:1: It does not tell its figures: the node says something else",
    ]
