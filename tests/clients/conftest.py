"""The server that the clients talk to, and the tests that are expected to fail.

The server is a primary with two secondaries, which keep few of the records in memory, so that most come from MariaDB.
``CLIENTS_SERVER=127.0.0.1:6379 make test-clients`` takes a Redis (7.4 or later) in its place, and empties it. Every
test has to pass with that: it asks for nothing that Redis does not do.
"""

from __future__ import annotations

import importlib.util
import logging
import traceback
from collections.abc import Generator, Iterator

import pytest

from tests.clients.expected import EXPECTED
from tests.clients.joining import Growing
from tests.clients.server import OTHER_SERVER, Server
from tests.security.guarded import secret_of, write_users
from tests.security.sealed import Sealed
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes

CAPACITY = 20
"""Records that each secondary keeps in memory. The tests put some hundreds."""

CLUSTER_NODES = 3
"""Secondaries of the cluster whose clients ask the owners of keys by themselves."""


# The clients are no part of what a developer has to have: `make test` does without these tests.
collect_ignore_glob = [] if importlib.util.find_spec("coredis") else ["test_*.py"]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """What every client of this run talks to; so tests put keys of their own, see ``prefix``."""
    if OTHER_SERVER:
        host, _, port = OTHER_SERVER.rpartition(":")
        yield Server(host, int(port))
        return
    mariadb: MariaDB = request.getfixturevalue("shared_mariadb")
    mariadb.empty()
    with Nodes() as nodes:
        may = ["--allow-flush"]
        primary = nodes.start_cluster(
            2, persistent=mariadb.address, capacity=CAPACITY, secondary_options=may, primary_options=may
        ).primary
        yield Server("127.0.0.1", primary.port)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Server]:
    """What clients in cluster mode talk to at first: a node that owns some of the keys."""
    if OTHER_SERVER:
        pytest.skip("it is no cluster")
    mariadb: MariaDB = request.getfixturevalue("shared_mariadb")
    # Nodes of another list than those of `server` have to have another table.
    database = f"mysql://root:password@{mariadb.address}/cluster_mode"
    with Nodes() as nodes:
        started = nodes.start_cluster(
            CLUSTER_NODES, persistent=database, capacity=CAPACITY, primary_options=["--cluster-clients"]
        )
        yield Server("127.0.0.1", started.secondaries[0].port)


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A primary and two secondaries with users, which speak TLS alone."""
    if OTHER_SERVER:
        pytest.skip("it has no users")
    folder = tmp_path_factory.mktemp("sealed")
    with Nodes() as nodes:
        started = Sealed(nodes, folder)
        options = started.options(f"--users={write_users(folder / 'users')}")
        env = {"CKV_NODE_PASSWORD": secret_of("node")}
        primary = nodes.start_cluster(secondary_options=options, primary_options=options, env=env).primary
        yield Server("127.0.0.1", primary.port, "writer", secret_of("writer"), str(started.authority.path))


@pytest.fixture(scope="session")
def growing(request: pytest.FixtureRequest) -> Iterator[Growing]:
    """What clients in cluster mode talk to while a secondary joins."""
    if OTHER_SERVER:
        pytest.skip("it is no cluster that grows")
    with Nodes() as nodes:
        yield Growing(nodes, request.getfixturevalue("shared_mariadb"))


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """What the keys of this test begin with."""
    return f"{request.module.__name__.rpartition('.')[2]}:{request.node.name}:"


@pytest.fixture
def pattern(prefix: str) -> str:
    """What the keys of this test match, as SCAN and PSUBSCRIBE take it."""
    return prefix.replace("[", "\\[").replace("]", "\\]") + "*"


@pytest.fixture
def records(prefix: str) -> dict[str, bytes]:
    """More records than fit into memory, with bytes that are no text."""
    return {f"{prefix}{number}": b"\r\n\x00\xff %d" % number for number in range(100)}


class Heard(logging.Handler):
    """Keeps the errors that a client only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turns the failure that is expected into one, and everything else into a failure."""
    lack = EXPECTED.get(pyfuncitem.module.__name__.rpartition(".")[2], {}).get(pyfuncitem.originalname)
    if lack is None or OTHER_SERVER:
        return (yield)
    heard = Heard()
    logging.getLogger().addHandler(heard)
    try:
        yield
    except Exception as error:
        if not lack.explains("".join(traceback.format_exception(error)) + heard.text):
            raise
        pytest.xfail(lack.reason)
    finally:
        logging.getLogger().removeHandler(heard)
    pytest.fail(f"it passes now: take it out of tests/clients/expected.py, where it says {lack.reason!r}")
