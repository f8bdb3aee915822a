"""What the log of a primary that leads says of a new map."""

from __future__ import annotations

from array import array

import pytest

from ckv.cluster.map import NOBODY, Map, Node
from ckv.node.changes import tell_changes

GIVEN_UP = "is given up, as it gave no sign of life"

A, B = Node("a", 1, "host", 1, 100), Node("b", 3, "host", 2, 100)


def told(
    caplog: pytest.LogCaptureFixture, before: list[Node | None], after: list[Node | None]
) -> list[tuple[str, str]]:
    owners = array("H", [0, 1, 1, NOBODY])
    caplog.set_level("INFO", "ckv")
    tell_changes(Map((1, 1), before, owners), Map((1, 2), after, owners))
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_who_came_and_who_left(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, [A, None], [None, B]) == [("INFO", "a has left"), ("INFO", "b has joined, at host:2")]


def test_who_was_given_up(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, [A, B], [A, B._replace(state="away")]) == [
        (
            "WARNING",
            f"b {GIVEN_UP}: its 2 slots are dealt to others, and what it had not saved is lost",
        )
    ]


def test_who_comes_back_as_another_process(caplog: pytest.LogCaptureFixture) -> None:
    away = B._replace(state="away")
    assert told(caplog, [A, away], [A, B._replace(incarnation=4)]) == [("INFO", "b has joined, at host:2")]


@pytest.mark.parametrize("state", ["up", "draining", "away"])
def test_whatever_is_as_it_was_is_not_told(caplog: pytest.LogCaptureFixture, state: str) -> None:
    node = B._replace(state=state)  # type: ignore[arg-type]
    assert told(caplog, [A, node], [A, node]) == []


def test_one_that_drains_has_neither_come_nor_left(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, [A, B], [A, B._replace(state="draining")]) == []
