"""No request of a key overtakes one that a secondary of a registered cluster turned away: that one is made again."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from ckv.cluster.slots import slot_of
from ckv.node.guard import PATIENCE
from tests.net.conftest import World, until
from tests.node.callers import Told
from tests.node.guarded import Rig, ask, is_turned_away, of_step, serve, wait_for


@pytest.fixture
def rig() -> Iterator[Rig]:
    with World() as world, gevent.Timeout(20, AssertionError("the test hangs")):
        yield Rig(world)


def of(key: str) -> list[object]:
    """What stands behind the number of a PUT of this key."""
    return ["PUT", [key, "later"]]


def test_behind_what_was_turned_away_its_slot_is_not_served_before_that_is_known(rig: Rig) -> None:
    asker, other = rig.connect(), rig.connect()
    rig.declare(asker, 1, 1)
    rig.known.is_leased = False
    assert is_turned_away(ask(asker, "PUT", "k", "first"))
    rig.known.is_leased = True
    rig.guard.tick()
    assert is_turned_away(ask(asker, "PUT", "k", "second"))
    assert ask(asker, "PUT", "other", "v") == (None, True)
    assert ask(other, "PUT", "k", "theirs") == (None, True), "it makes nothing again"
    # One that has not heard of the second yet.
    assert rig.declare(asker, 1, 1, heard=1) == 2
    assert is_turned_away(ask(asker, "PUT", "k", "third"))
    assert rig.store.get("k") == "theirs"
    assert rig.declare(asker, 1, 1, heard=3) == 3
    assert ask(asker, "PUT", "k", "first") == (None, True)


def test_one_that_has_waited_in_vain_takes_along_what_is_behind_it(rig: Rig) -> None:
    wait_for(rig, "k")
    asker = rig.connect()
    rig.declare(asker, 1, 1)
    rig.known.plain_from = (1, 2)
    rig.guard.look_again()
    asker.send([0, 1, *of("k")], [0, 2, *of("other")])
    assert asker.answer() == [2, None, True]
    rig.now += PATIENCE / 2
    asker.send([0, 3, *of("k")], [0, 4, *of("other")])
    assert asker.answer() == [4, None, True]
    rig.now += PATIENCE / 2
    rig.guard.tick()
    asker.send([0, 5, *of("k")])
    answers = asker.answers(3)
    assert [number for number, *_ in answers] == [1, 3, 5]
    assert all(error.startswith("NotOwner: ") for _, error, _ in answers)
    serve(rig, "k")
    assert is_turned_away(ask(asker, "PUT", "k", "later"))
    assert rig.store.get("k") == "v"


def test_nothing_overtakes_a_step_that_waits(rig: Rig) -> None:
    wait_for(rig, "k")
    asker = rig.connect()
    step = of_step(("PUT", ("k", "step")), ("PUT", ("other", "step")))
    asker.send([0, 1, "EXEC", [step]], [0, 2, *of("other")], [0, 3, "GET", ["third"]])
    assert asker.answer() == [3, None, [False, ""]]
    serve(rig, "k")
    assert [number for number, *_ in asker.answers(2)] == [1, 2]
    assert (rig.store.get("k"), rig.store.get("other")) == ("step", "later")


def test_nor_where_there_is_no_room_to_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(rig, "k")
    monkeypatch.setattr("ckv.node.guard.MOST_WAITING", 1)
    asker = rig.connect()
    step = of_step(("PUT", ("k", "step")), ("PUT", ("other", "step")))
    asker.send([0, 1, "EXEC", [step]], [0, 2, *of("other")])
    number, error, _ = asker.answer()
    assert (number, error[:8]) == (2, "Moving: ")
    serve(rig, "k")
    assert asker.answer()[:2] == [1, None]
    assert rig.store.get("other") == "step"


def test_what_waits_is_answered_before_what_came_behind_it_is_turned_away(rig: Rig) -> None:
    wait_for(rig, "k")
    asker = rig.connect()
    rig.declare(asker, 1, 1)
    rig.known.plain_from = (1, 2)
    rig.guard.look_again()
    rig.known.serves[slot_of("other")] = 0
    step = of_step(("PUT", ("k", "step")), ("PUT", ("other", "step")))
    asker.send([0, 1, *of("k")], [0, 2, "EXEC", [step]], [0, 3, "GET", ["third"]])
    assert asker.answer() == [3, None, [False, ""]]
    serve(rig, "k")
    first, (second, refused, _) = asker.answers(2)
    assert first == [1, None, True]
    assert (second, refused[:10]) == (2, "NotOwner: ")


def test_what_waits_for_a_connection_that_is_gone_is_not_carried_out(rig: Rig) -> None:
    wait_for(rig, "k")
    told = Told()
    made: list[int] = []
    guarded = rig.guard.guarded("GET", lambda _caller, msgid, _params: made.append(msgid))
    guarded(told, 1, ("k",))
    told.is_open = False
    serve(rig, "k")
    assert (made, told.answers, told.settled) == ([], [], 1)


def test_a_defect_in_what_has_waited_costs_nobody_else_an_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(rig, "k")
    asker = rig.connect()
    asker.send([0, 1, *of("k")], [0, 2, *of("k")])
    until(lambda: len(rig.guard._waiting) == 2)
    first, second = rig.guard._waiting

    def fail(*_: object) -> object:
        raise RuntimeError("a defect")

    rig.guard._waiting[:] = [first._replace(handler=fail), second]
    serve(rig, "k")
    (_, error, _), answer = asker.answers(2)
    assert error.startswith("ServerError: ")
    assert answer == [2, None, True]
