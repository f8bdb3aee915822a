"""What the log says of what cannot be saved."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ckv import events
from ckv.node.unsaved import Unsaved
from ckv.outage import QUIET, REMIND_AFTER


def test_writes_without_room_and_parked_rows_have_a_begin_reminders_and_an_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    now = [0.0]
    store: Any = SimpleNamespace(figures=SimpleNamespace(refused_for_room=0), parked=0)
    unsaved = Unsaved(store, lambda: now[0])

    def told(seconds: float, *, refuse: int = 0, parked: int = 0) -> list[object]:
        now[0] += seconds
        store.figures.refused_for_room += refuse
        store.parked = parked
        caplog.clear()
        unsaved.look()
        return [record.msg for record in caplog.records]

    assert told(0) == []
    assert told(1, refuse=3) == [events.WRITES_REFUSED]
    assert told(1, refuse=3, parked=2) == [events.ROWS_PARKED]
    assert told(QUIET, parked=3) == []
    assert told(REMIND_AFTER, refuse=1, parked=1) == [events.WRITES_REFUSED, events.ROWS_PARKED]
    assert told(QUIET + 0.1) == [events.WRITES_TAKEN, events.ROWS_UNPARKED]
    assert told(2 * REMIND_AFTER) == []
