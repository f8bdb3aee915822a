"""Some fail-overs; ``python -m tests.failures.failovers`` has hundreds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.failures import failovers
from tests.support.mariadb import MariaDB

ROUNDS = 10


@pytest.fixture(params=["one server", "galera"])
def servers(request: pytest.FixtureRequest) -> Sequence[MariaDB]:
    """Those that owners write to: one, or two that are one cluster."""
    if request.param == "galera":
        return list(request.getfixturevalue("galera").servers)
    return [request.getfixturevalue("mariadb")]


def test_who_takes_over_finds_all_that_was_saved_and_is_not_overwritten(
    servers: Sequence[MariaDB], record_property: Callable[[str, object], None]
) -> None:
    report = failovers.run(servers, ROUNDS)
    record_property("fail-overs", str(report))
    assert report.is_right
    assert report.batches > ROUNDS


def test_without_the_check_it_would_be(servers: Sequence[MariaDB]) -> None:
    """That the one before can fail."""
    assert failovers.run(servers, ROUNDS, fenced=False).overwritten
