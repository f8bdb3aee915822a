"""The lines of docs/backup.md: a copy made while clients write has what was accepted before, and is restored."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckv import Client
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Nodes, ckv_command, ckv_environment
from tests.support.products import Template
from tests.system.filed import Pair, start_pair
from tests.system.test_flush import writing

DUMP, RESTORE, COPY, COPY_BACK, SQLITE, SQLITES = re.findall(
    r"<!-- typed by tests/system/test_backup.py -->\n```sh\n(.*?)```", (ROOT / "docs/backup.md").read_text(), re.DOTALL
)

BINARY: dict[str, str | bytes] = {"\udcff key": b"\x00\xff'\\\n", "empty": b"", "text \u00fc": "\u00fc\udc80"}
"""Records that a copy may spoil."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ckv-backup-") as name:
        yield Path(name)


def type_in(folder: Path, text: str, port: int, database: MariaDB | None = None) -> None:
    """Runs lines of the page in this folder, with other ports."""
    typed = re.sub(r"localhost 808\d", f"127.0.0.1 {port}", text)
    if database is not None:
        typed = typed.replace("--port=3306", f"--port={database.port}")
    script = f'set -e\nckv() {{ {" ".join(ckv_command())} "$@"; }}\n{typed}'
    run = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=ckv_environment(), cwd=folder, check=False
    )
    assert run.returncode == 0, run.stderr


def need(*programs: str, server: MariaDB | None = None) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    if server is not None and server.product.name != "MariaDB":
        pytest.skip("it is for MariaDB")


def has(port: int, expected: dict[str, int]) -> None:
    """The node has these counts, or later ones, and the records that may be spoiled."""
    with Client("127.0.0.1", port, timeout=20) as client:
        found = client.get_many(expected)
        assert {key: client.get(key) for key in BINARY} == BINARY
    lacking = {key: found.get(key) for key, value in expected.items() if int(found.get(key, 0)) < value}
    assert not lacking, (len(lacking), list(lacking.items())[:5])


def test_a_dump(nodes: Nodes, mariadb: MariaDB, folder: Path) -> None:
    need("mariadb-dump", "mariadb", server=mariadb)
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=300)
    with writing(cluster.primary.port, 1000) as latest:
        with Client("127.0.0.1", cluster.primary.port) as client:
            client.put_many(BINARY)
        before = dict(latest)
        type_in(folder, DUMP, cluster.primary.port, mariadb)
    for node in (cluster.primary, *cluster.secondaries):
        node.terminate()
    mariadb.empty()
    type_in(folder, RESTORE, 0, mariadb)
    restored = nodes.start_secondary(persistent=mariadb.address)
    has(restored.port, before)


def test_a_copy_of_the_files(nodes: Nodes, private_mariadb: MariaDB, mariadb_template: Template, folder: Path) -> None:
    need("mariadb-backup", server=private_mariadb)
    node = nodes.start_secondary(persistent=private_mariadb.address, options=["--name=a"])
    with writing(node.port, 1000) as latest:
        with Client("127.0.0.1", node.port) as client:
            client.put_many(BINARY)
        before = dict(latest)
        type_in(folder, COPY, node.port, private_mariadb)
    node.kill()
    private_mariadb.kill()
    data = folder / "data"
    type_in(folder, COPY_BACK.replace("/var/lib/mysql", str(data)), 0)
    other = MariaDB(folder / "server", Template(mariadb_template.product, data))
    other.start()
    try:
        restored = nodes.start_secondary(persistent=other.address, options=["--name=a"])
        has(restored.port, before)
        restored.terminate()
    finally:
        other.kill()


def test_a_file_of_sqlite(nodes: Nodes, folder: Path) -> None:
    need("sqlite3")
    records = folder / "records.db"
    node = nodes.start_secondary(persistent=f"sqlite:{records}", capacity=300)
    with writing(node.port, 1000) as latest:
        with Client("127.0.0.1", node.port) as client:
            client.put_many(BINARY)
        before = dict(latest)
        type_in(folder, SQLITE, node.port)
    node.kill()
    for beside in ("-wal", "-shm"):
        Path(f"{records}{beside}").unlink(missing_ok=True)
    shutil.copy(folder / "copy.db", records)
    restored = nodes.start_secondary(persistent=f"sqlite:{records}")
    has(restored.port, before)


def test_a_file_of_sqlite_of_each_node(nodes: Nodes, filed_pair: Pair, folder: Path) -> None:
    need("sqlite3")
    pair = start_pair(nodes, filed_pair, folder / "files", "evict", capacity=300)
    with writing(pair.primary.port, 1000) as latest:
        with pair.client() as client:
            client.put_many(BINARY)
        before = dict(latest)
        type_in(folder / "files", SQLITES, pair.primary.port)
    with pair.client() as client:
        client.put_many(dict.fromkeys(before, "0"))
    for node in (pair.primary, *pair.secondaries.values()):
        node.kill()
    (folder / "copies").mkdir()
    for name in filed_pair.ports:
        shutil.copy(folder / f"files/copy-of-{name}.db", folder / f"copies/{name}.db")
    copies = Pair(folder / "copies", filed_pair.ports)
    restored = start_pair(nodes, copies, folder / "restored", "evict", capacity=300)
    has(restored.primary.port, before)
