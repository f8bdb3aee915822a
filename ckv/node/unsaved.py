"""What the log says of writes for which there is no room, and of rows that the database refuses: both last."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ckv import events
from ckv.outage import Outage
from ckv.store.store import Store

log = logging.getLogger(__name__)


class Unsaved:
    """Of one store."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store: Final = store
        self._no_room = Outage(log, clock)
        self._parked = Outage(log, clock)
        self._refused = 0

    def look(self) -> None:
        """To be called some times a second."""
        refused = self._store.figures.refused_for_room
        if refused > self._refused:
            self._refused = refused
            self._no_room.tell(events.WRITES_REFUSED)
        elif self._no_room.is_quiet:
            self._no_room.end(events.WRITES_TAKEN)
        if self._store.parked:
            self._parked.tell(events.ROWS_PARKED)
        else:
            self._parked.end(events.ROWS_UNPARKED)
