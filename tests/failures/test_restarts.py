"""``kill PID`` and the same command again at once: the old process saves, or hands over, while the new one starts.

Of the 400,000 records of :mod:`tests.failures.restarts` it is 20,000 here.
"""

from __future__ import annotations

from tests.failures.registered import Registered
from tests.failures.restarts import run
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes


def test_no_record_is_older_or_missing(database: MariaDB, nodes: Nodes, mode: str) -> None:
    report = run(database, nodes, mode, 20_000)
    assert (report.older, report.missing) == (0, 0), report
    if mode == "evict":
        assert report.left == report.records, report


def test_nothing_is_lost_in_a_cluster_that_nodes_join(registered: Registered) -> None:
    with registered as run:
        run.work(500)
        for _ in range(2):
            run.replace_lost()
            run.work(500)
