"""What does not work with the row that several primaries share, kind by kind: that it can be read does not say that it
can be written."""

from __future__ import annotations

import logging
from typing import Final, Literal, NamedTuple

from ckv import events
from ckv.errors import Forbidden, TierUnavailable
from ckv.outage import Outage

log = logging.getLogger(__name__)

Kind = Literal["read", "write", "attend"]
"""Of the row: that of who leads; and, ``attend``, of the table of those that are there."""

_KINDS: Final[tuple[Kind, ...]] = ("read", "write", "attend")

SAY_AFTER: Final = 2.0
"""Seconds without an answer after which that is news."""


class _Trouble(NamedTuple):
    error: Exception
    since: float


class Troubles:
    """Of one primary with its coordinator."""

    def __init__(self, name: str) -> None:
        """``name``: what the log calls the coordinator."""
        self._name = name
        self._open: dict[Kind, _Trouble] = {}
        self._told: set[str] = set()
        """What somebody has to mend, as the log has said it."""
        self._away = Outage(log)
        self._has_answered = False

    @property
    def answers(self) -> bool:
        """Whether it has answered, and all works since."""
        return self._has_answered and not self._open

    @property
    def reason(self) -> str:
        """What does not work; nothing if all does."""
        return next((str(self._open[kind].error) for kind in _KINDS if kind in self._open), "")

    def failed(self, kind: Kind, error: Exception, now: float) -> None:
        """What was asked for was not done, or nobody knows."""
        before = self._open.get(kind)
        self._open[kind] = _Trouble(error, before.since if before is not None else now)
        is_ours = not isinstance(error, TierUnavailable)
        if (is_ours or isinstance(error, Forbidden)) and str(error) not in self._told:
            self._told.add(str(error))
            log.error(events.COORDINATOR_ERROR, self._name, error, exc_info=error if is_ours else None)

    def worked(self, kind: Kind) -> None:
        """It was done. What can be written can be read as well."""
        self._has_answered = True
        self._end(kind)
        if kind == "write":
            self._end("read")

    def others_write(self) -> None:
        """Another primary has just written to the row: what this one could not write it may be able to write again, if
        it has the right to."""
        trouble = self._open.get("write")
        if trouble is not None and not isinstance(trouble.error, Forbidden):
            self._end("write")

    def _end(self, kind: Kind) -> None:
        trouble = self._open.pop(kind, None)
        if trouble is not None:
            self._told.discard(str(trouble.error))
        if self._open.keys() <= {"attend"}:
            self._away.end(events.COORDINATOR_BACK, self._name)

    def say(self, version: str, now: float) -> None:
        """Has the log say it when the row is of no use for so long. ``version``: that of the map by which
        requests are routed."""
        participles: dict[Kind, str] = {"read": "asked", "write": "written to"}
        for kind, participle in participles.items():
            trouble = self._open.get(kind)
            if trouble is not None and now - trouble.since > SAY_AFTER:
                self._away.tell(events.COORDINATOR_AWAY, self._name, participle, str(trouble.error), version)
