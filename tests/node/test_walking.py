"""The greenlet that asks the persistent tier about all keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from ckv import errors
from ckv.node import walking
from ckv.node.walking import Question, Walker
from ckv.persistent import Session
from tests.node.test_workers import FakeTier, World, unavailable

TIMEOUT = 0.5


class Asking:
    """A walker at work over a tier that the test plays."""

    def __init__(self) -> None:
        self.tier = FakeTier()
        self.tier.rows = {"a": "1", "b": "2"}
        self.away = ""
        self.walker = Walker(self.tier, lambda: self.away, TIMEOUT)
        self._greenlets = [gevent.spawn(self.walker.run), gevent.spawn(self._look_on)]

    def _look_on(self) -> None:
        while True:
            self.walker.look()
            gevent.sleep(0.01)

    def ask(self, ask: Callable[[Session], Any] = lambda session: session.next_keys(None, 10)) -> list[object]:
        """What is told, which comes later."""
        told: list[object] = []
        self.walker.ask(ask).wait(lambda answer, error: told.append(error or answer))
        return told

    def close(self) -> None:
        gevent.killall(self._greenlets)


@pytest.fixture
def asking() -> Iterator[Asking]:
    made = Asking()
    yield made
    made.close()


ROWS = [("a", 0), ("b", 0)]


def test_answers_come_in_order_over_one_connection(asking: Asking) -> None:
    first, second = asking.ask(), asking.ask(lambda session: session.estimate())
    World.until(lambda: second)
    assert (first, second) == ([ROWS], [2])
    assert asking.tier.connects == 1


def test_the_connection_goes_when_nobody_asks(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "IDLE", 0.01)
    assert asking.tier.open == 0
    told = asking.ask()
    World.until(lambda: told and asking.tier.open == 0)
    told = asking.ask()
    World.until(lambda: told)
    assert told == [ROWS]
    assert asking.tier.connects == 2


def test_an_error_is_told_and_the_next_question_has_a_new_connection(asking: Asking) -> None:
    def fail(_session: Session) -> None:
        raise unavailable("it broke")

    told = asking.ask(fail)
    World.until(lambda: told)
    assert str(told[0]) == "it broke"
    assert asking.tier.open == 0
    told = asking.ask()
    World.until(lambda: told)
    assert told == [ROWS]


def test_a_defect_is_told_too(asking: Asking) -> None:
    def fail(_session: Session) -> None:
        raise ZeroDivisionError("a defect")

    told = asking.ask(fail)
    World.until(lambda: told)
    assert isinstance(told[0], errors.TierUnavailable)
    told = asking.ask()
    World.until(lambda: told)
    assert told == [ROWS]


def test_no_connection(asking: Asking) -> None:
    asking.tier.connect_error = unavailable("nobody is there")
    told = asking.ask()
    World.until(lambda: told)
    assert str(told[0]) == "nobody is there"


def test_nothing_is_asked_of_a_tier_that_is_away(asking: Asking) -> None:
    asking.away = "no route"
    with pytest.raises(errors.TierUnavailable, match="is away: no route"):
        asking.ask()
    assert asking.tier.connects == 0


def test_who_waits_too_long_is_told(asking: Asking) -> None:
    """Also who waits behind somebody else, and whose question is then not asked any more."""
    stuck, go_on = Event(), Event()

    def hang(_session: Session) -> str:
        stuck.set()
        go_on.wait()
        return "late"

    asked: list[object] = []
    told, behind = asking.ask(hang), asking.ask(asked.append)
    stuck.wait()
    World.until(lambda: told and behind)
    for found in (told, behind):
        assert isinstance(found[0], errors.TierUnavailable)
        assert "did not answer within 0.5 s" in str(found[0])
    go_on.set()
    after = asking.ask()
    World.until(lambda: after)
    assert after == [ROWS]
    assert not asked
    assert len(told) == 1


def test_an_answer_of_a_session_that_became_unfit_does_not_count(asking: Asking) -> None:
    def ask(session: Session) -> list[tuple[str, int]]:
        rows = session.next_keys(None, 10)
        asking.tier.generation += 1  # somebody finds out that the server is another one now
        return rows

    told = asking.ask(ask)
    World.until(lambda: told)
    assert "unfit" in str(told[0])
    told = asking.ask()
    World.until(lambda: told)
    assert told == [ROWS]
    assert asking.tier.connects == 2


def test_those_who_wait_are_bounded(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "MOST_QUESTIONS", 3)
    waiting: list[Question] = [asking.walker.ask(lambda session: session.estimate()) for _ in range(3)]
    with pytest.raises(errors.Overloaded):
        asking.ask()
    told: list[object] = []
    waiting[-1].wait(lambda answer, error: told.append(error or answer))
    World.until(lambda: told)
    assert told == [2]


def test_the_workers_have_one() -> None:
    world = World()
    world.tier.rows = {"a": "1"}
    try:
        world.start()
        told: list[object] = []
        world.workers.walker.ask(lambda session: session.estimate()).wait(lambda answer, _: told.append(answer))
        world.until(lambda: told)
        assert told == [1]
    finally:
        world.close()
