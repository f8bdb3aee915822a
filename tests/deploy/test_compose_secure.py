"""deploy/compose.secure.yaml: with what its manual makes, nodes and a database serve, as processes of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

import ckv
from ckv import Client
from ckv.errors import LoginNeeded
from tests.deploy.certificate import make_certificate
from tests.deploy.compose import SECRETS, SECURE, read
from tests.deploy.rendered import Object
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port
from tests.support.products import PASSWORD, USER, Template

FOLDER = "deploy/secrets"


def manual() -> list[list[str]]:
    """The commands by which the file has users and certificates made, in words."""
    lines = re.findall(r"^#   ((?:ckv|deploy/certificate) .*)$", SECURE.read_text(), re.MULTILINE)
    return [line.split() for line in lines]


def test_the_names_in_certificates_are_those_that_are_looked_for() -> None:
    hosts = {words[2]: set(words[3].split(",")) for words in manual() if words[0] == "deploy/certificate"}
    service = read(SECURE)["services"]["secondary-0"]
    assert hosts["mysql"] == {f"DNS:{service['command'][3].partition(':')[0]}"}
    assert hosts["node"] == {f"DNS:{service['environment']['CKV_TLS_NAME']}", "DNS:localhost", "IP:127.0.0.1"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The folder with what the manual makes; here the database is found by another name."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for program, *words in manual():
        here = [word.replace(FOLDER, str(folder)).replace("DNS:mysql", "IP:127.0.0.1") for word in words]
        if program == "ckv":
            *arguments, file = here
            added = run_ckv(*arguments)
            assert added.returncode == 0, added.stderr
            Path(file.removeprefix(">")).write_text(added.stdout)
        else:
            _, name, hosts = here
            make_certificate(folder, name, hosts)
    (folder / "mysql-password").write_text(PASSWORD)
    return folder


class Here:
    """The services of the file on this machine."""

    def __init__(self, folder: Path) -> None:
        file = read(SECURE)
        self.services: dict[str, Object] = file["services"]
        self._files = {f"{SECRETS}/{name}": f"{folder}/{Path(of['file']).name}" for name, of in file["secrets"].items()}
        self._words = {"8080": str(free_port()), "8081": str(free_port())}
        self._words["primary:8080"] = f"127.0.0.1:{self._words['8080']}"

    def start_database(self, folder: Path, template: Template) -> MariaDB:
        options = [word for word in self.services["mysql"]["command"] if re.match("--(ssl|require)-", word)]
        server = MariaDB(folder, template, [self._local(option) for option in options])
        server.start()
        self._words["mysql:3306"] = server.address
        return server

    def start(self, nodes: Nodes, name: str) -> Node:
        command = [self._words.get(word, word) for word in self.services[name]["command"]]
        port = "8080" if name == "primary" else "8081"
        return nodes.start(command, command.index(self._words[port]), env=self._environ(name), name=name, wait=False)

    def is_healthy(self, name: str) -> bool:
        _, _, *ping = self.services[name]["healthcheck"]["test"]
        return run_ckv(*(self._words.get(word, word) for word in ping), env=self._environ(name)).returncode == 0

    def _environ(self, name: str) -> dict[str, str]:
        found = {variable: self._local(value) for variable, value in self.services[name]["environment"].items()}
        if "CKV_MYSQL_USER" in found:
            found["CKV_MYSQL_USER"] = USER
        return (
            found | {"CKV_BIND": "127.0.0.1", "CKV_NAME": name} | ({} if name != "primary" else {"CKV_SETTLE": "200ms"})
        )

    def _local(self, text: str) -> str:
        option, equals, path = text.rpartition("=")
        return f"{option}{equals}{self._files.get(path, path)}"


@pytest.fixture
def here(secrets: Path) -> Here:
    return Here(secrets)


@pytest.fixture
def database(here: Here, mariadb_template: Template, tmp_path: Path) -> Iterator[MariaDB]:
    (tmp_path / "db").mkdir()
    server = here.start_database(tmp_path / "db", mariadb_template)
    try:
        yield server
    finally:
        server.kill()


def test_the_cluster_serves_whoever_logs_in(here: Here, database: MariaDB, secrets: Path, nodes: Nodes) -> None:
    secondary, primary = here.start(nodes, "secondary-0"), here.start(nodes, "primary")
    for name in ("secondary-0", "primary"):
        eventually(partial(here.is_healthy, name), 30, f"{name} is healthy")
    tls = ckv.Tls(secrets / "ca.crt")
    with Client(f"ckvs://localhost:{primary.port}", tls=tls) as stranger, pytest.raises(LoginNeeded):
        stranger.get("bob")
    secret = (secrets / "app-password").read_text().strip()
    with Client(f"ckvs://app:{secret}@localhost:{primary.port}", tls=tls) as client:
        client.put("bob", "bob@gmail.com")
    assert secondary.terminate() == 0, secondary.tail()
    assert primary.terminate() == 0, primary.tail()
    assert database.rows() == {b"bob": b"bob@gmail.com"}


def test_a_certificate_of_the_manual_signs_no_others(secrets: Path) -> None:
    for name, signs in (("ca", True), ("node", False), ("mysql", False)):
        found = x509.load_pem_x509_certificate((secrets / f"{name}.crt").read_bytes())
        assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca == signs
        assert (secrets / f"{name}.key").stat().st_mode & 0o077 == 0
