"""A node of a cluster that secondaries join is cut off, in each write mode: from its primary or its database alone, and
it keeps its keys, for it is known to live; from both, and they are another one's soon."""

from __future__ import annotations

from typing import Final

from ckv.cluster.options import Options
from ckv.exits import Exit
from tests.failures.harness import PATIENCE
from tests.failures.registered import Registered

LONG: Final = 2 * Options().lease
"""Seconds for which it is cut off."""


def test_a_node_is_cut_off_from_its_primary(registered: Registered) -> None:
    with registered as run:
        run.work(500)
        before = run.owned_by_lost()
        run.to_lost.hold()
        run.to_primary.hold()
        run.last(LONG)
        assert run.owned_by_lost() == before
        run.wait_until_it_serves()
        run.to_lost.release()
        run.to_primary.release()


def test_a_node_is_cut_off_from_its_database(registered: Registered) -> None:
    with registered as run:
        run.work(500)
        before = run.owned_by_lost()
        run.to_database.hold()
        run.last(LONG)
        assert run.owned_by_lost() == before
        run.wait_until_it_serves()
        run.to_database.release()


def test_a_node_is_cut_off_from_everybody_but_its_clients(registered: Registered) -> None:
    with registered as run:
        run.work_until_some_is_saved()
        with run.losing():
            for way in (run.to_lost, run.to_primary, run.to_database):
                way.hold()
            run.wait_for_its_keys()
        run.last(LONG - run.lost_for)
        for way in (run.to_lost, run.to_primary, run.to_database):
            way.release()
        assert run.lost.wait(PATIENCE) == Exit.FENCED, run.lost.tail()
