"""The short form of the soak."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.failures import soak
from tests.support.mariadb import MariaDB

SECONDS = 60.0


@pytest.mark.timeout(600)
def test_a_minute_of_everything(private_mariadb: MariaDB, record_property: Callable[[str, object], None]) -> None:
    report = soak.run(private_mariadb, SECONDS)
    record_property("soak", str(report))
    assert not report.problems
