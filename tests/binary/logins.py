"""The two ways into a database that need more than ckv's own code, for every form in which the program comes."""

from __future__ import annotations

from pathlib import Path

from ckv import Client
from tests.binary.mysql8 import Mysql8
from tests.support.certificate import self_signed
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes
from tests.support.products import PASSWORD, USER, Template


def check_tls(nodes: Nodes, template: Template, folder: Path) -> None:
    """A secondary saves a record in a MariaDB, made from the template in the folder, that insists on encryption."""
    key, certificate = self_signed(folder)
    options = [f"--ssl-key={key}", f"--ssl-cert={certificate}", "--require-secure-transport=ON"]
    (folder / "server").mkdir()
    server = MariaDB(folder / "server", template, options)
    server.start()
    try:
        node = nodes.start_secondary(persistent=server.address)
        with Client("127.0.0.1", node.port) as client:
            client.put("bob", "1")
        assert node.terminate() == 0, node.tail()
        assert server.rows() == {b"bob": b"1"}
    finally:
        server.kill()


def check_mysql_8(nodes: Nodes) -> None:
    """A secondary logs in as MySQL 8 asks for it, with an encrypted password."""
    with Mysql8(USER, PASSWORD) as server:
        nodes.start_secondary(persistent=f"127.0.0.1:{server.port}")
        eventually(lambda: server.logins, what="a login")
        assert set(server.logins) == {(USER, PASSWORD)}
