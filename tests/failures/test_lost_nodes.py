"""A node of a cluster that secondaries join is killed, or stands still: in each write mode its keys are another one's
soon, nothing is lost beyond what the mode allows, and what wakes changes nothing."""

from __future__ import annotations

from typing import Final

from ckv.cluster.options import Options
from ckv.exits import Exit
from tests.failures.harness import PATIENCE
from tests.failures.registered import Registered

LEASE: Final = Options().lease


def test_a_node_is_killed(registered: Registered) -> None:
    with registered as run:
        run.work_until_some_is_saved()
        with run.losing():
            run.lost.kill()
            run.wait_for_its_keys()


def test_a_node_stands_still_for_twice_its_lease(registered: Registered) -> None:
    with registered as run:
        run.work_until_some_is_saved()
        with run.losing():
            run.lost.pause()
            run.wait_for_its_keys()
        run.last(2 * LEASE - run.lost_for)
        run.lost.resume()
        assert run.lost.wait(PATIENCE) == Exit.FENCED, run.lost.tail()
