"""Some fail-overs; ``python -m tests.failures.failovers`` has hundreds."""

from __future__ import annotations

from collections.abc import Callable

from tests.failures import failovers
from tests.support.mariadb import MariaDB

ROUNDS = 10


def test_who_takes_over_finds_all_that_was_saved_and_is_not_overwritten(
    mariadb: MariaDB, record_property: Callable[[str, object], None]
) -> None:
    report = failovers.run([mariadb], ROUNDS)
    record_property("fail-overs", str(report))
    assert report.is_right
    assert report.batches > ROUNDS


def test_without_the_check_it_would_be(mariadb: MariaDB) -> None:
    """That the one before can fail."""
    assert failovers.run([mariadb], ROUNDS, fenced=False).overwritten
