"""A cluster to which clients in cluster mode talk while secondaries join it."""

from __future__ import annotations

from ckv import Client
from tests.clients.server import Server
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.system.registered import Joined


class Growing:
    """Begins with two secondaries. Each test has one more join, and more join after it."""

    def __init__(self, nodes: Nodes, mariadb: MariaDB) -> None:
        self._joined = Joined(nodes, mariadb, cluster_clients=True, database="joining")
        self._joined.add("0", "1")
        self._joined.wait_level("0", "1")

        self.server = Server("127.0.0.1", self._joined.secondaries["0"].port)
        """Where a client connects at first: a node that owns some of the keys."""

    def join(self) -> None:
        """Has one more join, and waits until it has its share of the slots, and clients have found it."""
        name = str(len(self._joined.secondaries))
        self._joined.add(name)
        self._joined.wait_level(*self._joined.secondaries)
        port = self._joined.secondaries[name].port
        before = hits(port)
        eventually(lambda: hits(port) > before + 20, 20, "clients ask the node that joined")


def hits(port: int) -> int:
    """The GETs that a node was asked, and that have found something."""
    with Client("127.0.0.1", port) as client:
        info = client.call("INFO")
    assert isinstance(info, dict)
    return int(info["keyspace_hits"])
