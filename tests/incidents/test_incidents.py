"""Incidents are told within ten seconds: first on the page what is wrong, and in the log; and all is well afterwards.

``INCIDENTS=FOLDER`` begins all of them, and writes down what is seen; without it some are begun.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Final

import pytest

from tests.incidents.record import Recorder, Seen
from tests.incidents.scripts import INCIDENTS, Incident, begun
from tests.incidents.stage import Callers, Stage, opened, status
from tests.incidents.witness import Log
from tests.support.eventually import eventually
from tests.support.products import Template

FOLDER: Final = os.environ.get("INCIDENTS", "")

USUAL: Final = ("database-down", "node-killed", "client-floods")

WITHIN: Final = 10.0
"""Seconds until it has to be told."""


def told(incident: Incident, stage: Stage, log: Log) -> None:
    """Waits until page and log say it."""

    def said() -> bool:
        problems = status(stage.nodes[incident.node])["problems"]
        assert problems, "all is well, says the page"
        assert re.search(incident.said, problems[0]["sentence"]), problems
        lines = log.lines()
        assert any(re.search(incident.log, line) for line in lines), lines
        return True

    eventually(said, WITHIN, incident.title)


def check(incident: Incident, seen: Seen, stage: Stage) -> None:
    """What is seen ten seconds after the beginning is what is wrong."""
    assert re.search(incident.said, seen.page.sentence), seen.page
    assert status(stage.primary)["problems"], "who looks at a primary looks at the whole cluster"
    assert seen.status != ["none"]
    assert {name for name, _, _ in seen.alerts} == incident.alerts, seen.alerts
    if incident.asks_most:
        assert re.search(incident.asks_most, seen.most[2]), seen.most


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", INCIDENTS if FOLDER else USUAL)
def test_it_is_told_within_ten_seconds(name: str, mariadb_template: Template, tmp_path: Path) -> None:
    incident = INCIDENTS[name]
    setting = incident.setting
    with (
        opened(setting, mariadb_template, tmp_path) as stage,
        Callers(stage.primary.port, setting) as callers,
    ):
        if not FOLDER:
            log = Log(stage)
            with begun(incident, stage):
                told(incident, stage, log)
        else:
            with Recorder(incident, stage, callers, tmp_path) as recorder:
                log = Log(stage)
                with begun(incident, stage):
                    began = time.monotonic()
                    told(incident, stage, log)
                    after = time.monotonic() - began
                    seen = recorder.look(began, after, log, Path(FOLDER) / f"{name}.webp")
                    seen.write(Path(FOLDER) / f"{name}.json")
                    check(incident, seen, stage)
        stage.wait_well(*incident.stays)
