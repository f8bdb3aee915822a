"""The tests of Redis and Valkey themselves: each passes, or is left out for a reason, as the lists here say.

``make test-redis UPDATE=1`` writes the lists anew; what no reason explains fails then too.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.upstream import lists
from tests.upstream.harness import run_file
from tests.upstream.suites import FILES, FOLDER, SUITES

LARGE = ("--max-value-bytes=8MiB", "--allow-flush")
"""The longest value of these tests has 4 MB, and they empty the database."""

UPDATE = bool(os.environ.get("UPDATE"))


@pytest.fixture
def secondary(nodes: Nodes, tmp_path: Path) -> int:
    """The port of a secondary that has all records in memory."""
    return nodes.start_secondary(persistent=f"sqlite:{tmp_path}/ckv.db", options=LARGE).port


@pytest.fixture
def primary(nodes: Nodes, mariadb: MariaDB) -> int:
    """The port of a primary, whose secondaries have nearly none: records come from MariaDB."""
    cluster = nodes.start_cluster(
        2, persistent=mariadb.address, capacity=20, secondary_options=LARGE, primary_options=LARGE
    )
    return cluster.primary.port


@cache
def version(suite: str) -> str:
    """Of which version the tests are that were unpacked."""
    return (FOLDER / suite / "version").read_text().strip()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("unit", FILES)
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("role", ["secondary", "primary"])
def test_as_the_list_says(request: pytest.FixtureRequest, role: str, suite: str, unit: str) -> None:
    port: int = request.getfixturevalue(role)
    outcomes = run_file(FOLDER / suite, unit, port)
    listed = lists.read(suite)
    if UPDATE and role == "secondary":
        listed.version = version(suite)
        listed.files[unit], unexplained = lists.keys_of(unit, outcomes)
        lists.write(listed)
        assert not unexplained, "\n\n".join(unexplained)
    found = list(lists.complaints(unit, listed.files.get(unit, {}), outcomes))
    if version(suite) != listed.version:
        pytest.skip(f"the list is of {suite} {listed.version}, not {version(suite)}:\n" + "\n".join(found))
    assert not found, "\n\n".join(found)
