"""The tests that django-redis has itself: a run of them, and what is not as ``expected.py`` says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.clients.lacks import Lack
from tests.clients.server import Server

SOURCE: Final = Path(sys.prefix) / "clients" / "django-redis"
"""Where ``make test-clients`` puts the source of django-redis: the package that is installed has no tests."""

SERVER_OF_THEIRS: Final = re.compile(r"redis://127\.0\.0\.1:6379(\?db=\d+|:\d+)")
"""The server that their settings name. The database goes with it: ckv has number 0 alone."""

TIMEOUT: Final = 280
"""Seconds that a run may take; it takes half a minute where nothing else runs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one of the tests ended."""

    name: str
    """Of the function, without parameters."""

    error: str = ""
    """What it failed with; empty, if it passed."""


def run(server: Server, setting: str, folder: Path) -> list[Outcome]:
    """All tests of one setting; with ``sqlite`` also those that ask no server. Without those that skip themselves.

    They run in a process of their own, from a copy of their files in the folder. Django knows one setting in a process.
    """
    tests, report = folder / "tests", folder / "report.xml"
    shutil.copytree(SOURCE / "tests", tests)
    for path in (tests / "settings").glob("*.py"):
        path.write_text(SERVER_OF_THEIRS.sub(server.url, path.read_text()))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--rootdir", folder, "-n", "0", "-p", "no:cacheprovider", "--quiet"),
            *("-k", f"{setting}]" + (" or not sqlite" if setting == "sqlite" else "")),
            *(f"--junitxml={report}", "tests"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tests), "DJANGO_SETTINGS_MODULE": f"settings.{setting}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    # 1 is that some have failed, with which the list deals.
    assert done.returncode in (0, 1), done.stdout[-10_000:] + done.stderr[-10_000:]
    return list(_outcomes(report))


def _outcomes(report: Path) -> Iterator[Outcome]:
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        bad = [*case.iter("failure"), *case.iter("error")]
        error = "\n".join(f"{each.get('message', '')}\n{each.text or ''}" for each in bad)
        yield Outcome(case.get("name", "").partition("[")[0], error)


def by_test(listed: Mapping[Lack, str]) -> dict[str, Lack]:
    """What each test of a list lacks."""
    return {test: lack for lack, tests in listed.items() for test in tests.split()}


def complaints(outcomes: Sequence[Outcome], expected: Mapping[str, Lack]) -> Iterator[str]:
    """What is not as expected: a line for each test."""
    for outcome in outcomes:
        lack = expected.get(outcome.name)
        if lack is None and outcome.error:
            yield f"{outcome.name}: it fails: {outcome.error}"
        elif lack is not None and not outcome.error:
            yield f"{outcome.name}: it passes now: take it out of tests/clients/expected.py ({lack.reason})"
        elif lack is not None and not lack.explains(outcome.error):
            yield f"{outcome.name}: it is to fail for lack of {lack.reason}, and fails so: {outcome.error}"
    for test in expected.keys() - {outcome.name for outcome in outcomes}:
        yield f"{test}: it is in tests/clients/expected.py, and was not run"
