"""How long rows that have expired stay: since the last whole walk, and before there was one since one was due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from ckv.errors import TierUnavailable
from ckv.node import purging
from ckv.node.purging import Purger


class FakeTier:
    """A tier, and its session, of a table that one step goes through."""

    def __init__(self) -> None:
        self.connects = 0
        self.works = False
        self.is_anothers_turn = False

    def connect(self) -> FakeTier:
        self.connects += 1
        if not self.works:
            raise TierUnavailable("the table cannot be read")
        return self

    def may_purge(self) -> bool:
        return not self.is_anothers_turn

    def purge(self, _after: bytes | None, _count: int, _now_ms: int) -> tuple[bytes | None, int]:
        return None, 7

    def close(self) -> None:
        pass


class Rig:
    """A purger with a clock of its own, by which it rests for no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.wanted = False
        self.looks = 0
        self.tier = FakeTier()
        self.purger = Purger(_any(self.tier), lambda: 0)
        monkeypatch.setattr(purging, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(purging, "REST", 0.001)
        monkeypatch.setattr(purging, "LOOK_EVERY", 0.001)
        self.greenlet = gevent.spawn(self.purger.run, self._look)

    def _look(self) -> bool:
        self.looks += 1
        return self.wanted

    def once_more(self, count: Callable[[], int]) -> None:
        """Waits until this has happened twice from now on, so that what came of the first one is known."""
        before = count()
        with gevent.Timeout(10, AssertionError("it does not come")):
            while count() < before + 2:
                gevent.sleep(0.001)


def _any(value: object) -> Any:
    return value


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    rig = Rig(monkeypatch)
    yield rig
    rig.greenlet.kill()


def test_nothing_is_late_while_there_is_no_reason_to_walk(rig: Rig) -> None:
    rig.once_more(lambda: rig.looks)
    rig.now += 100
    assert rig.purger.lag_seconds == 0
    assert rig.tier.connects == 0


def test_walks_that_all_fail_are_late_since_the_first_one_was_wanted(rig: Rig) -> None:
    rig.once_more(lambda: rig.looks)
    rig.now += 100
    rig.wanted = True
    rig.once_more(lambda: rig.tier.connects)
    rig.now += 50
    rig.once_more(lambda: rig.tier.connects)
    assert rig.purger.lag_seconds == 50
    rig.tier.works = True
    rig.once_more(lambda: rig.purger.purged)
    assert rig.purger.lag_seconds == 0
    rig.now += 3
    rig.tier.works = False
    rig.once_more(lambda: rig.tier.connects)
    assert rig.purger.lag_seconds >= 3, "one that fails is none"


def test_a_walk_that_another_node_does_is_none_of_this_one(rig: Rig) -> None:
    rig.tier.works = rig.tier.is_anothers_turn = rig.wanted = True
    rig.once_more(lambda: rig.tier.connects)
    rig.now += 50
    rig.once_more(lambda: rig.tier.connects)
    assert rig.purger.lag_seconds == 50
