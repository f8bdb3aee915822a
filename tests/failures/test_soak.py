"""The short form of the soak."""

from __future__ import annotations

import pytest

from tests.failures import soak
from tests.support.mariadb import MariaDB

SECONDS = 60.0


@pytest.mark.timeout(600)
def test_a_minute_of_everything(private_mariadb: MariaDB, capsys: pytest.CaptureFixture[str]) -> None:
    report = soak.run(private_mariadb, SECONDS)
    with capsys.disabled():
        print(f"\n{report}")
    assert not report.problems
