"""The servers that the tests can start: Debian's MariaDB, or a MySQL from a folder that `.ci/newest-servers` made."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.support.newest import command_in, path_in

USER: Final = "root"
PASSWORD: Final = "password"

MYSQL_FOLDER: Final = "TEST_MYSQL"
"""The variable that names the folder of MySQL; without it the tests take MariaDB."""

INSTALL_TIMEOUT: Final = 60.0

# Debian puts the server into sbin, which is not on every user's PATH.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"))

# Small and quick to start, but with the durability that ckv promises to its users: a commit is on the disk.
_OPTIONS = (
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-buffer-size=2M",
    "--performance-schema=OFF",
    "--max-allowed-packet=64M",
)

# Either product has one of these accounts already, without the password. MySQL has no CREATE OR REPLACE USER.
_ACCOUNTS = "".join(
    f"CREATE USER IF NOT EXISTS {account};\n"
    f"ALTER USER {account} IDENTIFIED BY '{PASSWORD}';\n"
    f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
    for account in (f"'{USER}'@'localhost'", f"'{USER}'@'127.0.0.1'")
)


class Product(Protocol):
    """A server program, and how it is installed and started."""

    name: str

    def missing(self) -> str | None:
        """The name of the first program that is needed and not there; ``None`` when the server can be started."""

    def install(self, data: Path, accounts: Path) -> Sequence[str]:
        """The command that makes a data folder, with the accounts of that file in it."""

    def serve(self) -> Sequence[str]:
        """The command that starts the server, to be followed by its folder, socket and port."""


class MariaDBProduct:
    name = "MariaDB"

    _OPTIONS = (
        *_OPTIONS,
        "--innodb-log-file-size=16M",
        "--key-buffer-size=1M",
        "--aria-pagecache-buffer-size=1M",
    )

    def missing(self) -> str | None:
        return next((name for name in ("mariadbd", "mariadb-install-db") if _program(name) is None), None)

    def install(self, data: Path, accounts: Path) -> Sequence[str]:
        # The installation runs without the grant tables until they are loaded.
        accounts.write_text("FLUSH PRIVILEGES;\n" + _ACCOUNTS)
        return [
            _required("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={data}",
            # What it puts there is named after the number of a process, and two can have the same one after another.
            f"--tmpdir={data.parent}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            f"--extra-file={accounts}",
            *_as_user(),
            *self._OPTIONS,
        ]

    def serve(self) -> Sequence[str]:
        return [_required("mariadbd"), "--no-defaults", *_as_user(), *self._OPTIONS]


class MySQLProduct:
    name = "MySQL"

    _PROGRAM = "usr/sbin/mysqld"

    _OPTIONS = (
        *_OPTIONS,
        "--innodb-redo-log-capacity=16M",
        "--mysqlx=OFF",
        "--disable-log-bin",  # as MariaDB has it by default
        "--secure-file-priv=",
        "--auto-generate-certs=OFF",  # and no TLS without, so that a proxy of the tests can read along
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self) -> str | None:
        program = path_in(self._folder, self._PROGRAM)
        return None if program.exists() else str(program)

    def install(self, data: Path, accounts: Path) -> Sequence[str]:
        accounts.write_text(_ACCOUNTS)
        return [*self.serve(), "--initialize-insecure", f"--init-file={accounts}", f"--datadir={data}"]

    def serve(self) -> Sequence[str]:
        command = [*command_in(self._folder, self._PROGRAM), "--no-defaults"]
        return [*command, f"--basedir={path_in(self._folder, 'usr')}", *_as_user(), *self._OPTIONS]


def chosen() -> Product:
    """What the tests use."""
    folder = os.environ.get(MYSQL_FOLDER)
    return MySQLProduct(Path(folder)) if folder else MariaDBProduct()


@dataclass(frozen=True, slots=True)
class Template:
    """A freshly installed data folder, to be copied by each server: installing one takes far longer than copying it."""

    product: Product
    data: Path


def make_template(folder: Path, product: Product | None = None) -> Template:
    """The template of a product, in an empty folder; of the one that is :func:`chosen` where none is given."""
    product = product or chosen()
    data = folder / "data"
    install = product.install(data, folder / "accounts.sql")
    done = subprocess.run(install, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
    if done.returncode != 0:
        raise RuntimeError(f"{install[0]} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Template(product, data)


def _program(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def _required(name: str) -> str:
    program = _program(name)
    if program is None:
        raise FileNotFoundError(f"{name} is not installed")
    return program


def _as_user() -> tuple[str, ...]:
    # The server refuses to run as root unless it is told to in so many words.
    return ("--user=root",) if os.geteuid() == 0 else ()
