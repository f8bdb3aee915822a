"""A private Galera cluster of two MariaDB servers on loopback ports."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pymysql

from tests.support.eventually import eventually
from tests.support.mariadb import START_TIMEOUT, MariaDB
from tests.support.ports import free_port
from tests.support.products import MariaDBProduct, Product, Template

PROVIDERS: Final = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
"""Where distributions put the library that makes servers one cluster."""

NODES: Final = 2


class GaleraCluster:
    """``with GaleraCluster(folder, template) as cluster: ...``, whose servers are up and one cluster inside of it."""

    def __init__(self, folder: Path, template: Template) -> None:
        """``folder`` is empty and belongs to this cluster."""
        provider = _provider()
        if provider is None:
            raise FileNotFoundError("Galera is not installed")
        ports = [free_port() for _ in range(NODES)]
        self.servers = []
        for number, port in enumerate(ports):
            (folder / str(number)).mkdir()
            others = ",".join(f"127.0.0.1:{each}" for each in ports if each != port) if number else ""
            self.servers.append(
                GaleraServer(
                    folder / str(number),
                    template,
                    [
                        "--wsrep-on=ON",
                        f"--wsrep-provider={provider}",
                        f"--wsrep-cluster-address=gcomm://{others}",  # the first one begins a cluster of its own
                        "--wsrep-cluster-name=ckv-tests",
                        f"--wsrep-node-address=127.0.0.1:{port}",
                        "--wsrep-provider-options=" + _provider_options(port, free_port()),
                        "--wsrep-sst-method=skip",
                        "--binlog-format=ROW",
                        "--innodb-autoinc-lock-mode=2",
                    ],
                )
            )
        self._ends = ExitStack()

    def __enter__(self) -> GaleraCluster:
        with ExitStack() as ends:
            first, *others = self.servers
            first.start()
            ends.callback(first.kill)
            status = first.wsrep()
            for server in others:
                server.begin_at(status["wsrep_cluster_state_uuid"], status["wsrep_last_committed"])
                server.start()
                ends.callback(server.kill)
            for server in self.servers:
                eventually(server.is_synced, START_TIMEOUT, "it is one of the cluster")
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def empty(self) -> None:
        """As that of a server."""
        for server in self.servers:
            server.empty()


class GaleraServer(MariaDB):
    """One server of a cluster. What a test asks it is answered when all that was committed before is there."""

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        return super().connect(database, **{"init_command": "SET SESSION wsrep_sync_wait = 7", **options})

    def begin_at(self, cluster: str, number: str) -> None:
        """Has it believe that it has the data of the cluster up to that transaction: all servers begin with the same,
        so that none has to be copied."""
        state = f"# GALERA saved state\nversion: 2.1\nuuid: {cluster}\nseqno: {number}\nsafe_to_bootstrap: 0\n"
        (self._data / "grastate.dat").write_text(state)

    def is_synced(self) -> bool:
        """Whether it is one of a whole cluster."""
        status = self.wsrep()
        assert status["wsrep_cluster_size"] == str(NODES), self.error_log()
        return status["wsrep_local_state_comment"] == "Synced"

    def wsrep(self) -> dict[str, str]:
        """What it says of its cluster."""
        return dict(self.query("SHOW STATUS LIKE 'wsrep%'"))


def _provider_options(port: int, port_of_transfers: int) -> str:
    return ";".join(
        (
            *("base_host=127.0.0.1", f"base_port={port}", f"gmcast.listen_addr=tcp://127.0.0.1:{port}"),
            *(f"ist.recv_addr=127.0.0.1:{port_of_transfers}", "gcache.size=16M"),
        )
    )


def missing(product: Product) -> str | None:
    """Why no cluster can be started; ``None`` when one can."""
    if not isinstance(product, MariaDBProduct):
        return f"Galera is MariaDB's, and the tests run on {product.name}"
    if (program := product.missing()) is not None:
        return f"{product.name} is not installed: no {program}"
    return None if _provider() else "Galera is not installed (Debian: apt-get install --no-install-recommends galera-4)"


def _provider() -> Path | None:
    return next((path for path in map(Path, PROVIDERS) if path.exists()), None)
