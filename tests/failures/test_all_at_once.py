"""Primaries, secondaries and database are all started again at once."""

from __future__ import annotations

import signal
from typing import Final

import pytest

from ckv import Client
from ckv.errors import CkvError
from ckv.values import Value
from tests.failures.harness import PATIENCE
from tests.failures.registered import Registered, restart_at_once
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes

KEYS: Final = [f"key {number}" for number in range(300)]


@pytest.mark.parametrize(("mode", "elects"), [("evict", False), ("behind", False), ("through", True)])
def test_a_cluster_that_secondaries_join(registered: Registered) -> None:
    with registered as run:
        run.work_until_some_is_saved()
        for how in (signal.SIGKILL, signal.SIGTERM):
            run.restart_everything(how)
            run.work(500)


@pytest.mark.parametrize(("mode", "how"), [("evict", signal.SIGTERM), ("through", signal.SIGKILL)])
def test_a_cluster_with_a_list(database: MariaDB, nodes: Nodes, mode: str, how: signal.Signals) -> None:
    """Where that may cost nothing."""
    cluster = nodes.start_cluster(2, persistent=database.address, secondary_options=[f"--write-mode={mode}"])
    expected = {key: f"value of {key}" for key in KEYS}
    with Client("127.0.0.1", cluster.primary.port, timeout=PATIENCE) as client:
        client.put_many(expected)
    restart_at_once([cluster.primary, *cluster.secondaries], database, how)
    found = eventually(lambda: got(cluster.primary), PATIENCE, "all keys are answered")
    assert found == expected


def got(primary: Node) -> dict[Value, Value]:
    """All keys; nothing as long as not all are answered."""
    with Client("127.0.0.1", primary.port, timeout=PATIENCE) as client:
        try:
            return client.get_many(KEYS)
        except CkvError:
            return {}
