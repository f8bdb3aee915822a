"""When a node takes its name, when it waits, and when it fences the process that has it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import gevent
import pytest

from ckv.errors import Fenced, Forbidden, TierUnavailable
from ckv.node import naming, processes
from ckv.node.naming import LOOKS, Naming
from ckv.persistent import Holder, Seen, Tier
from ckv.protocol.greeting import Share

pytestmark = pytest.mark.usefixtures("quick")

LIVES = "a process of another machine"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY", "BEAT_EVERY", "_SOON"):
        monkeypatch.setattr(naming, name, 0.001)
    monkeypatch.setattr(naming, "FIRST_WORD", 0.01)


class FakeFence:
    """A name that another process may have; what a look finds, a test decides."""

    def __init__(self) -> None:
        self.incarnation = 0
        self.when_fenced: Callable[[], None] = lambda: None
        self.other: Holder | None = None
        self.moves = False
        self.looks = 0
        self.when_looked: Callable[[], None] = lambda: None
        self.failing: list[int] = []
        """The numbers of the looks that fail."""
        self.error: Exception = TierUnavailable("away")
        self.fenced_at = 0
        self.beats: list[int | None] = []
        self.lost = False
        self.neighbours: list[Holder] = []
        self.seen: list[Seen] = []
        self.asked = 0
        self.fenced: list[str] = []
        self.share = ""
        self.released = False
        self.takes = 0.0
        """Seconds to give it back."""

    def claim(self) -> Holder | None:
        self.looks += 1
        self.when_looked()
        if self.looks in self.failing:
            raise self.error
        if self.other is None:
            self.incarnation = 7
            return None
        if self.moves:
            self.other = self.other._replace(beat=self.other.beat + 1)
        return self.other

    def fence_off(self, holder: Holder) -> bool:
        if holder.name:
            self.fenced.append(holder.name)
            self.neighbours.remove(holder)
            return True
        assert holder == self.other
        self.fenced_at, self.other = self.looks, None
        return True

    def census(self) -> list[Seen]:
        return self.seen

    def others(self) -> list[Holder]:
        self.asked += 1
        if self.moves:
            self.neighbours = [holder._replace(beat=holder.beat + 1) for holder in self.neighbours]
        return list(self.neighbours)

    def beat(self, left: int | None, share: str = "") -> None:
        self.beats.append(left)
        self.share = share
        if self.lost:
            self.when_fenced()
            raise Fenced("lost")

    def release(self) -> None:
        gevent.sleep(self.takes)
        self.released = True

    def close(self) -> None:
        pass


class World:
    """A naming, and what it told."""

    def __init__(self) -> None:
        self.fence_made = FakeFence()
        self.reachable: bool | None = True
        self.serves: bool | None = None
        self.ours = 0
        self.losses = 0
        self.left: int | None = None
        self.naming = Naming(cast(Tier, self), lambda: self.reachable, lambda: self.left, self._admit)
        self.naming.when_ours = self._ours
        self.naming.when_lost = self._lost

    def fence(self, name: str, process: str) -> FakeFence:
        return self.fence_made

    def _admit(self, serves: bool) -> None:
        self.serves = serves

    def _ours(self) -> None:
        self.ours += 1

    def _lost(self) -> None:
        self.losses += 1


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.naming.end()


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.001)


def test_a_name_that_nobody_has_is_taken_and_kept(world: World) -> None:
    assert world.naming.incarnation == 0
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert (world.serves, world.naming.decided, world.naming.incarnation) == (True, True, 7)
    world.left = 5
    until(lambda: 5 in world.fence_made.beats)
    assert not world.fence_made.released
    world.naming.end()
    assert world.fence_made.released


def test_a_process_that_beats_is_waited_for(world: World) -> None:
    fence = world.fence_made
    fence.other, fence.moves = Holder(3, 0, 12, LIVES), True
    world.naming.begin("n", listens=True)
    until(lambda: fence.looks > 5 * LOOKS)
    assert (world.serves, world.ours, fence.fenced_at, world.naming.decided) == (False, 0, 0, False)
    assert world.naming.awaits_end
    fence.other = None  # it has ended
    until(lambda: world.ours)
    assert (world.serves, fence.fenced_at) == (True, 0)


def test_one_that_stands_still_is_fenced_after_the_lease(world: World) -> None:
    world.fence_made.other = Holder(3, 9, None, LIVES)
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert world.fence_made.fenced_at == LOOKS + 1


def test_looks_that_failed_do_not_count(world: World) -> None:
    fence = world.fence_made
    fence.other, fence.failing = Holder(3, 9, None, LIVES), [LOOKS]
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert fence.fenced_at >= 2 * LOOKS


def test_looks_before_an_outage_do_not_count(world: World) -> None:
    fence = world.fence_made
    fence.other = Holder(3, 9, None, LIVES)
    fence.when_looked = lambda: setattr(world, "reachable", fence.looks != LOOKS)
    world.naming.begin("n", listens=True)
    until(lambda: not world.reachable)
    gevent.sleep(0.02)
    world.reachable = True  # the other one can say only now that it lives
    until(lambda: world.ours)
    assert fence.fenced_at >= 2 * LOOKS


def test_nobody_is_fenced_for_a_node_that_does_not_listen(world: World) -> None:
    world.fence_made.other = Holder(3, 9, 4, LIVES)
    world.naming.begin("n", listens=False)
    until(lambda: world.fence_made.looks > 3 * LOOKS)
    assert world.fence_made.fenced_at == 0
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert world.fence_made.fenced_at


def test_without_the_tier_it_serves_and_the_name_is_not_its_own(world: World) -> None:
    world.reachable = None
    world.naming.begin("n", listens=True)
    until(lambda: world.serves)
    assert (world.ours, world.naming.incarnation, world.fence_made.looks) == (0, 0, 0)
    world.reachable = False
    gevent.sleep(0.02)
    assert (world.ours, world.serves) == (0, True)
    world.fence_made.other, world.fence_made.moves = Holder(3, 0, None, LIVES), True
    world.reachable = True
    until(lambda: world.serves is False)
    world.reachable = False  # it is known now that somebody has it
    gevent.sleep(0.02)
    assert (world.ours, world.serves) == (0, False)


def test_a_claim_that_fails_lets_it_serve_unless_somebody_has_to_mend_it(world: World) -> None:
    fence = world.fence_made
    fence.failing = [*range(1, 4)]
    world.naming.begin("n", listens=True)
    until(lambda: fence.looks == 2)
    assert (world.serves, world.ours) == (True, 0)
    fence.error = Forbidden("no")
    until(lambda: fence.looks == 3)
    until(lambda: world.serves is False)
    until(lambda: world.ours)
    assert world.serves


# --- the share of the keys ------------------------------------------------------------------------------------------

SECOND = Share(2, 3)


def neighbour(share: str) -> Holder:
    return Holder(4, 9, None, LIVES, "other", share)


def answered(world: World, share: Share = SECOND) -> str:
    """What is said of a share."""
    answers: list[str] = []
    world.naming.agree(share, answers.append)
    until(lambda: answers)
    return answers[0]


@pytest.mark.parametrize("share", ["1/3", "3/3"])
def test_a_share_that_goes_with_those_of_others_is_had_at_once(world: World, share: str) -> None:
    world.fence_made.neighbours = [neighbour(share)]
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert answered(world) == ""
    assert world.fence_made.share == "2/3"


@pytest.mark.parametrize("share", ["2/3", "1/2", "3/4", "anything else"])
def test_one_that_does_not_is_refused_as_long_as_the_other_process_lives(world: World, share: str) -> None:
    fence = world.fence_made
    fence.neighbours, fence.moves = [neighbour(share)], True
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    for _ in range(3 * LOOKS):
        assert answered(world).startswith("other writes the keys of number ")
        assert fence.share == ""  # what it was refused is in nobody's way
    assert not fence.fenced
    fence.neighbours = []
    assert answered(world) == ""
    assert fence.share == "2/3"


def told_too_early(world: World) -> FakeFence:
    """Tells it while nobody can know that another process, which lives, is in the way."""
    fence = world.fence_made
    fence.neighbours, fence.moves = [neighbour("1/2")], True
    world.reachable = False
    world.naming.begin("n", listens=True)
    until(lambda: world.serves)
    assert answered(world) == ""
    world.reachable = True
    return fence


def test_a_process_in_the_way_that_stands_still_is_fenced_after_the_lease(world: World) -> None:
    fence = world.fence_made
    fence.neighbours = [neighbour("1/2"), neighbour("1/3")._replace(name="in nobody's way")]
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    began = time.monotonic()
    while answered(world):
        assert not fence.fenced
    assert fence.fenced == ["other"]
    assert fence.asked > LOOKS
    assert time.monotonic() - began >= LOOKS * naming.LOOK_EVERY


def test_asking_often_does_not_make_the_lease_shorter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "LOOK_EVERY", 1000.0)
    world.fence_made.neighbours = [neighbour("1/2")]
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert all(answered(world) for _ in range(5 * LOOKS))


def test_a_process_in_the_way_that_has_ended_is_fenced_at_once(world: World) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    name = processes.myself().replace(str(os.getpid()), str(ended.pid), 1)
    assert ended.wait() == 0
    world.fence_made.neighbours = [neighbour("1/2")._replace(process=name)]
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    assert answered(world) == ""


def test_a_share_that_was_told_before_the_name_was_ours_is_looked_at_before_anything_is_written(world: World) -> None:
    fence = told_too_early(world)
    until(lambda: fence.asked > 5)
    assert (world.ours, world.serves) == (0, False)
    fence.neighbours = []
    until(lambda: world.ours)
    assert world.serves


def test_a_node_that_is_fenced_meanwhile_does_not_go_on(world: World) -> None:
    fence = told_too_early(world)
    until(lambda: fence.asked)
    fence.lost = True
    until(lambda: world.losses)
    gevent.sleep(0.02)
    assert (world.ours, world.losses) == (0, 1)


def test_where_the_database_does_not_answer_the_share_is_not_had(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)

    def fail() -> list[Holder]:
        raise TierUnavailable("away")

    monkeypatch.setattr(world.fence_made, "others", fail)
    assert "away" in answered(world)
    until(lambda: world.fence_made.share == "")


def test_an_end_does_not_wait_for_ever_until_the_name_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(naming, "GIVING_BACK", 0.01)
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    world.fence_made.takes = 60.0
    with gevent.Timeout(30):
        world.naming.end()
    world.fence_made.takes = 0.0
    assert not world.fence_made.released
    assert "the name n could not be given back: it took too long" in caplog.text


def test_the_loss_of_the_name_is_told(world: World) -> None:
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    world.fence_made.lost = True
    until(lambda: world.losses)


# --- whether a process has ended --------------------------------------------------------------------------------------


def other_process() -> tuple[subprocess.Popen[str], str]:
    code = "from ckv.node.processes import myself; print(myself(), flush=True); input()"
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_is_known_to_have_ended_when_it_has() -> None:
    assert not processes.has_ended(processes.myself())
    process, name = other_process()
    with process:
        assert not processes.has_ended(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is over, and still has its number
        assert processes.has_ended(name)
    assert processes.has_ended(name)


def test_processes_of_a_system_that_tells_nothing_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "Path", lambda _path: Path("/nowhere"))
    names = {processes.myself.__wrapped__() for _ in range(2)}
    assert len(names) == 2
    assert not any(map(processes.has_ended, names))


def test_a_number_that_was_given_again_is_another_process() -> None:
    boot, space, number, began = processes.myself().split()
    assert processes.has_ended(f"{boot} {space} {number} {int(began) - 1}")


@pytest.mark.parametrize("name", ["", "another machine", LIVES])
def test_of_others_nothing_is_known(name: str) -> None:
    assert not processes.has_ended(name)
    boot, space, number, began = processes.myself().split()
    for other in (f"x{boot} {space}", f"{boot} pid:[1]"):
        assert not processes.has_ended(f"{other} {number} {int(began) - 1}")


# --- other nodes of a cluster ---------------------------------------------------------------------------------------


def test_each_beat_is_told_with_when_it_was_sent_and_what_there_is_to_see(world: World) -> None:
    told: list[tuple[float, list[Seen]]] = []
    world.naming.when_beaten = lambda sent_at, seen: told.append((sent_at, seen))
    world.fence_made.seen = [Seen("other", 3, 9, active=True)]
    began = time.monotonic()
    world.naming.begin("n", listens=True)
    until(lambda: len(told) > 1)
    assert began <= told[0][0] < told[1][0] <= time.monotonic()
    assert told[0][1] == world.fence_made.seen


def test_another_process_is_fenced_when_somebody_asks_for_it(world: World) -> None:
    world.fence_made.neighbours = [neighbour("")]
    done: list[bool | None] = []
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    world.naming.fence_off(neighbour(""), done.append)
    until(lambda: done)
    assert done == [True]
    assert world.fence_made.fenced == ["other"]


def test_a_fence_of_which_nobody_knows_whether_it_was_done_is_said_to_be_so(world: World) -> None:
    def fails(_holder: Holder) -> bool:
        raise TierUnavailable("away")

    done: list[bool | None] = []
    world.naming.begin("n", listens=True)
    until(lambda: world.ours)
    world.fence_made.fence_off = fails  # type: ignore[method-assign, assignment]
    world.naming.fence_off(neighbour(""), done.append)
    until(lambda: done)
    assert done == [None]
