"""An incident written down, for ``docs/incidents.md``: all that is seen of it ten seconds after its beginning."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.incidents.alerts import fired, named_first
from tests.incidents.scripts import Incident
from tests.incidents.stage import Callers, Stage
from tests.incidents.witness import Log, Page, moved, named, page, picture, scraped, told, tool, url
from tests.support.browser import Browser
from tests.support.eventually import eventually

LOOK: Final = 10.0
"""Seconds after the beginning at which everything is looked at."""

CALM: Final = 5.0
"""Seconds before it in which is seen which metrics stand still."""

MOST_LINES: Final = 6
"""Of ``ckv top --clients`` that are told."""

MOST_METRICS: Final = 8
"""Of each node that are told."""


@dataclass
class Seen:
    """What there is to see."""

    title: str
    how: str
    after: float
    """Seconds after which the page and the log said it."""
    log: list[str]
    clients: str
    status: list[str]
    top: str
    most: list[str]
    """The first lines of ``ckv top --clients``, where it was asked."""
    page: Page
    metrics: list[tuple[str, str, float, float]]
    """Node, metric, and what it was and is."""
    alerts: list[tuple[str, int, str]]
    """Name, seconds after the beginning, and words."""

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, file: Path) -> Seen:
        found: dict[str, Any] = json.loads(file.read_text())
        return cls(**{**found, "page": Page(**found["page"])})


class Recorder:
    """Who looks, from before the beginning on, with the page open in a browser."""

    def __init__(self, incident: Incident, stage: Stage, callers: Callers, folder: Path) -> None:
        """``folder``: for what nobody keeps."""
        self._incident = incident
        self._stage = stage
        self._callers = callers
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Recorder:
        profile = self._folder / "browser"
        profile.mkdir()
        self._browser = self._stack.enter_context(Browser(profile))
        self._browser.open(url(self._stage.nodes[self._incident.node]), width=800)
        eventually(lambda: "All is well" in page(self._browser, "").sentence, what="the page")
        self._early = scraped(self._stage)
        time.sleep(CALM)
        self._before = scraped(self._stage)
        self._answered = Counter(self._callers.answered)
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def look(self, began: float, after: float, log: Log, shot: Path) -> Seen:
        """What is seen when it is time. ``began``: when the incident did; ``after`` how many seconds it was told."""
        time.sleep(max(0.0, began + LOOK - time.monotonic()))
        names = self._stage.names
        shown = page(self._browser, self._incident.node)
        picture(self._browser, shot)
        lines = [named(line, names) for line in log.lines()]
        answered = self._callers.answered - self._answered
        now = scraped(self._stage)
        seconds = time.monotonic() - self._began
        status = tool(self._stage, "status").partition("\n# Problems\n")[2].splitlines()
        came = fired(self._before, now, seconds, self._folder)
        return Seen(
            title=self._incident.title,
            how=self._incident.how,
            after=round(after, 1),
            log=lines,
            clients=told(answered),
            status=[named(line, names) for line in status],
            top=named(tool(self._stage, "top", "--once"), names),
            most=[named(line, names) for line in self._who_asks_most()],
            page=Page(shown.node, named(shown.sentence, names), named(shown.more, names)),
            metrics=[
                (node, named(metric, names), was, value)
                for node, metrics in now.items()
                for metric, was, value in moved(
                    self._early.get(node, {}), self._before.get(node, {}), metrics, named_first()
                )[:MOST_METRICS]
            ],
            alerts=[(name, look, words) for name, (look, words) in came.items()],
        )

    def _who_asks_most(self) -> list[str]:
        if not self._incident.asks_most:
            return []
        return tool(self._stage, "top", "--clients", "--once").splitlines()[:MOST_LINES]
