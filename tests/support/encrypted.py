"""A MariaDB, or a MySQL in its place, that speaks TLS."""

from __future__ import annotations

from pathlib import Path

from tests.support.certificate import Authority, Certified
from tests.support.mariadb import DATABASE, MariaDB
from tests.support.products import PASSWORD, USER, Template


class Encrypted:
    """A server with a certificate for ``127.0.0.1``, which can be replaced."""

    def __init__(self, folder: Path, template: Template) -> None:
        """``folder`` is empty and belongs to this server, which is not started yet."""
        self.authority = Authority(folder)
        self.right = self.authority.issue("right", "127.0.0.1")
        self._shown = self.authority.issue("shown", "127.0.0.1")
        (folder / "db").mkdir()
        options = [f"--ssl-key={self._shown.key_path}", f"--ssl-cert={self._shown.path}"]
        self.server = MariaDB(folder / "db", template, options)

    def show(self, certified: Certified) -> None:
        """Has the server show this one to those who connect from now on."""
        if self._shown.path.read_bytes() == certified.path.read_bytes():
            return
        self._shown.replace_by(certified)
        if self.server.product.name == "MySQL":
            self.server.restart()  # it reads none again that it would not trust itself
        else:
            self.server.query("FLUSH SSL")

    def address(self, mode: str, ca: Path | None = None, *, port: int = 0) -> str:
        """As a node is given it, with a login; ``port``: of another way there."""
        place = f"{USER}:{PASSWORD}@127.0.0.1:{port or self.server.port}"
        return f"mysql://{place}/{DATABASE}?tls={mode}&tls-ca={ca or self.authority.path}"
