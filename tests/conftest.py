"""The fixtures that every test may ask for."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from tests.support import products, zookeeper
from tests.support.encrypted import Encrypted
from tests.support.galera import GaleraCluster
from tests.support.galera import missing as galera_missing
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.support.products import Template
from tests.support.zookeeper import Ensemble, ZooKeeper
from tests.system.filed import Pair, make_pair

COMPILED = "TEST_COMPILED"
"""Where this variable is set, each process of a run has to have the compiled modules of the native program."""


def pytest_configure(config: pytest.Config) -> None:
    # By default SIGTERM ends Python on the spot, and the servers that the fixtures started would live on.
    def leave(number: int, frame: FrameType | None) -> None:
        pytest.exit("told to stop by SIGTERM", returncode=128 + number)

    if os.environ.get(COMPILED):
        from ckv.net import poller

        if not str(poller.__file__).endswith(".so"):
            raise pytest.UsageError(f"not what was built, but {poller.__file__}")
    signal.signal(signal.SIGTERM, leave)
    # Under nohup, and in the background of a script, these are ignored, and every process that a test starts would be
    # born like that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests have put into their properties: the title of a section, and text. The same text stands once."""
    # Here and by way of the reports, for the tests of a parallel run are in other processes.
    sections: dict[str, dict[str, None]] = {}
    for report in (*terminalreporter.getreports(""), *terminalreporter.getreports("error")):
        for title, text in getattr(report, "user_properties", ()):  # that of a file that cannot be read has none
            sections.setdefault(title, {})[text] = None
    for title, texts in sections.items():
        terminalreporter.section(title)
        for text in texts:
            terminalreporter.line(text)


@pytest.fixture(scope="session")
def mariadb_template() -> Iterator[Template]:
    """A data folder to copy. Skips where the server is not installed, and fails in CI, where it has to be."""
    product = products.chosen()
    missing = product.missing()
    if missing is not None:
        reason = f"{product.name} is not installed: no {missing}"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="ckv-mariadb-") as folder:
        yield products.make_template(Path(folder), product)


@pytest.fixture(scope="session")
def filed_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """For :func:`tests.system.filed.start_pair`."""
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def shared_mariadb(mariadb_template: Template) -> Iterator[MariaDB]:
    """The server behind ``mariadb``, which is what a test asks for."""
    with _server(mariadb_template) as server:
        yield server


@pytest.fixture
def mariadb(shared_mariadb: MariaDB) -> MariaDB:
    """A running server without ckv's database. Shared by the session, so do not stop, pause or configure it."""
    shared_mariadb.empty()
    return shared_mariadb


@pytest.fixture
def private_mariadb(mariadb_template: Template) -> Iterator[MariaDB]:
    """A running server for this test alone: kill it, pause it, restart it."""
    with _server(mariadb_template) as server:
        yield server


@pytest.fixture(scope="session")
def shared_encrypted(mariadb_template: Template) -> Iterator[Encrypted]:
    """The server behind ``encrypted``."""
    with tempfile.TemporaryDirectory(prefix="ckv-mariadb-") as folder:
        encrypted = Encrypted(Path(folder), mariadb_template)
        encrypted.server.start()
        try:
            yield encrypted
        finally:
            encrypted.server.kill()


@pytest.fixture
def encrypted(shared_encrypted: Encrypted) -> Encrypted:
    """A running server with TLS, the right certificate, without ckv's database. Shared as ``mariadb`` is."""
    shared_encrypted.server.empty()
    shared_encrypted.show(shared_encrypted.right)
    return shared_encrypted


@pytest.fixture(scope="session")
def zookeeper_classes() -> None:
    """Skips where ZooKeeper is not installed, and fails in CI where it could have been."""
    missing = zookeeper.missing()
    if missing is not None:
        reason = f"ZooKeeper is not installed: no {missing}"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes") and zookeeper.can_be_installed():
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_zookeeper(zookeeper_classes: None) -> Iterator[ZooKeeper]:
    """A running server. Shared by the session, so do not stop or pause it, and take a path that nobody else has."""
    with _zookeeper() as server:
        yield server


@pytest.fixture
def private_zookeeper(zookeeper_classes: None) -> Iterator[ZooKeeper]:
    """A running server for this test alone: kill it, pause it, start it again."""
    with _zookeeper() as server:
        yield server


@pytest.fixture
def stopped_ensemble(zookeeper_classes: None) -> Iterator[Ensemble]:
    """Three servers of one ZooKeeper, for this test alone, which starts them."""
    with tempfile.TemporaryDirectory(prefix="ckv-zookeeper-") as folder:
        servers = Ensemble(Path(folder))
        try:
            yield servers
        finally:
            servers.kill()


@pytest.fixture
def ensemble(stopped_ensemble: Ensemble) -> Ensemble:
    """The same, running."""
    stopped_ensemble.start()
    return stopped_ensemble


@contextmanager
def _zookeeper() -> Iterator[ZooKeeper]:
    with tempfile.TemporaryDirectory(prefix="ckv-zookeeper-") as folder:
        server = ZooKeeper(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _server(template: Template) -> Iterator[MariaDB]:
    # Not a folder of pytest's, which keeps the last three: each holds 50 MB, and its path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ckv-mariadb-") as folder:
        server = MariaDB(Path(folder), template)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def shared_galera(mariadb_template: Template) -> Iterator[GaleraCluster]:
    """The cluster behind ``galera``, which is what a test asks for."""
    if (why := galera_missing(mariadb_template.product)) is not None:
        pytest.skip(why)
    with (
        tempfile.TemporaryDirectory(prefix="ckv-galera-") as folder,
        GaleraCluster(Path(folder), mariadb_template) as cluster,
    ):
        yield cluster


@pytest.fixture
def galera(shared_galera: GaleraCluster) -> GaleraCluster:
    """Two running servers that are one cluster, without ckv's database. Shared as ``mariadb`` is."""
    shared_galera.empty()
    return shared_galera


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Starts ckv nodes, ends them after the test, and fails it if one of them died by itself."""
    with Nodes() as started:
        yield started
        print(started.tails())  # pytest shows it beside a test that failed.
