"""The fixtures of the scenarios, and the table that they make in the end."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.failures.harness import MODES, Run, Setup
from tests.failures.judging import Outcome
from tests.failures.registered import Registered
from tests.support.mariadb import MariaDB
from tests.support.products import Template

ScenarioMaker = Callable[..., Run]
"""Makes a :class:`Run` out of a database and what :class:`Setup` takes."""

Scenario = Callable[..., Run]
"""The same over the database of the fixture."""

TITLE: Final = """\
| scenario | mode | calls | no answer | refused | violations | lost / may be lost | s | |
|---|---|---|---|---|---|---|---|---|"""
"""Of the table that the scenarios have at the end of the run."""


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each write mode. A scenario for some of them alone: ``@pytest.mark.parametrize("mode", ["evict"])``."""
    return str(request.param)


@pytest.fixture(scope="module")
def hardened(mariadb_template: Template) -> Iterator[MariaDB]:
    """The server behind ``database``, which is what a test asks for."""
    # Not a folder of pytest's, whose path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ckv-mariadb-") as folder:
        server = MariaDB(Path(folder), mariadb_template)
        yield server
        server.kill()


@pytest.fixture
def database(hardened: MariaDB) -> MariaDB:
    """A running MariaDB to kill, to pause and to spoil; the next scenario gets it in health again."""
    if hardened.running:
        hardened.resume()
    else:
        hardened.start()
    hardened.empty()
    return hardened


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Iterator[list[Outcome]]:
    """What comes of the scenarios of a test: rows of the table."""
    rows: list[Outcome] = []
    yield rows
    for row in rows:
        line = (
            f"| {row.scenario} | {row.mode} | {row.calls} | {row.unanswered} | {row.refused} | {row.violations} "
            f"| {row.lost} / {row.may_be_lost} | {row.seconds:.1f} | {'; '.join(row.notes)} |"
        )
        request.node.user_properties += [("scenarios", TITLE), ("scenarios", line)]


@pytest.fixture
def scenario_on(request: pytest.FixtureRequest, mode: str, tmp_path: Path, outcomes: list[Outcome]) -> ScenarioMaker:
    """``with scenario_on(mariadb) as run: ...`` for a database of one's own."""

    def make(mariadb: MariaDB, **setup: Any) -> Run:
        run = Run(_name(request), mode, mariadb, tmp_path, Setup(**setup))
        outcomes.append(run.outcome)
        return run

    return make


@pytest.fixture
def elects() -> bool:
    """Whether there are two primaries, which elect one: ``@pytest.mark.parametrize("elects", [True])``."""
    return False


@pytest.fixture
def registered(
    request: pytest.FixtureRequest, mode: str, elects: bool, database: MariaDB, tmp_path: Path, outcomes: list[Outcome]
) -> Registered:
    """``with registered as run: ...``"""
    run = Registered(_name(request), mode, database, tmp_path, elects=elects)
    outcomes.append(run.outcome)
    return run


def _name(request: pytest.FixtureRequest) -> str:
    return str(request.function.__name__).removeprefix("test_").replace("_", " ")


@pytest.fixture
def scenario(scenario_on: ScenarioMaker, database: MariaDB) -> Scenario:
    """``with scenario(behind_primary=True) as run: ...``"""
    return functools.partial(scenario_on, database)
