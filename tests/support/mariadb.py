"""A private MariaDB server, or a MySQL in its place (:mod:`tests.support.products`), to be killed and paused at will.

It has a folder, a socket and a loopback port of its own.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.products import PASSWORD, USER, Template
from tests.support.stopping import stop

DATABASE = "celonis"
"""What ckv uses when nothing else is said; the server knows the user, and ckv creates the database."""

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0


class MariaDB:
    """One server. :meth:`start` it again after :meth:`stop` or :meth:`kill`: the folder and the port stay the same."""

    def __init__(self, folder: Path, template: Template, options: Sequence[str] = ()) -> None:
        """``folder`` is empty and belongs to this server.

        ``options`` are further options of the server; they come last, so they win.
        """
        self.product = template.product
        self.port = free_port()
        self.options = list(options)
        self._data = folder / "data"
        self._socket = folder / "s"
        self._errors = folder / "error.log"
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(template.data, self._data)

    @property
    def address(self) -> str:
        """``127.0.0.1:port``, as it goes onto the command line of a secondary."""
        return f"127.0.0.1:{self.port}"

    @property
    def command(self) -> list[str]:
        """What starts it."""
        return [
            *self.product.serve(),
            f"--datadir={self._data}",
            f"--tmpdir={self._data.parent}",
            f"--socket={self._socket}",
            f"--pid-file={self._data / 'server.pid'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            *self.options,
        ]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self.running:
            raise RuntimeError("the server is already running")
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            eventually(self._answers, START_TIMEOUT, f"{self.product.name} on port {self.port} answers")
        except BaseException as error:
            self.kill()
            if isinstance(error, AssertionError):
                raise AssertionError(f"{error}\n{self.error_log()}") from None
            raise

    def _answers(self) -> bool:
        process = self._running_process()
        code = process.poll()
        if code is not None:
            # Not an AssertionError: there is nothing to wait for any more.
            raise RuntimeError(f"{self.product.name} exited with {code}:\n{self.error_log()}")
        try:
            return self.query("SELECT 1") == [(1,)]
        except pymysql.OperationalError as error:
            raise AssertionError(str(error)) from None

    def stop(self) -> None:
        """Shut the server down in order; everything is on the disk when this returns."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: the server dies at once, as with a power cut; a server that is down already is left alone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """:meth:`stop` and :meth:`start`."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing, until :meth:`resume`."""
        stop(self._running_process().pid)

    def resume(self) -> None:
        self._running_process().send_signal(signal.SIGCONT)

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        """A new connection, in auto-commit mode; the caller closes it (``with server.connect() as connection``)."""
        return pymysql.connect(
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "user": USER,
                "password": PASSWORD,
                "database": database,
                "autocommit": True,
                "connect_timeout": 5,
                "read_timeout": 60,
                **options,
            }
        )

    @contextmanager
    def account(self, name: str, secret: str, *, host: str = "127.0.0.1") -> Iterator[str]:
        """``name:secret`` of an account without any right, which is there meanwhile."""
        who = (name, host)
        self.query("DROP USER IF EXISTS %s@%s", who)
        self.query("CREATE USER %s@%s IDENTIFIED BY %s", (*who, secret))
        try:
            yield f"{name}:{secret}"
        finally:
            self.query("DROP USER %s@%s", who)

    def end_connections(self, database: str) -> None:
        """End all that are in ``database``. The server's own threads are in none."""
        connected = "SELECT id FROM information_schema.processlist WHERE db = %s"
        for (number,) in self.query(connected, (database,)):
            self.query("KILL %s", (number,))
        eventually(lambda: self.query(connected, (database,)) == [], what="they are closed")

    def query(self, sql: str, arguments: Sequence[object] | None = None, database: str | None = None) -> list[Any]:
        """All rows (tuples) that one statement answers, over a connection of its own."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, arguments)
            return list(cursor.fetchall())

    def rows(self) -> dict[bytes, bytes]:
        """Key to value of every row of ``celonis.CelonisData``; empty as long as there is no such table."""
        found = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s AND table_name = 'CelonisData'"
        if self.query(found, (DATABASE,)) == [(0,)]:
            return {}
        return dict(self.query(f"SELECT kv_key, kv_value FROM {DATABASE}.CelonisData"))

    def empty(self) -> None:
        """Drop ckv's database and end every other connection, which could still hold a transaction on it."""
        with self.connect() as connection, connection.cursor() as cursor:
            others = "SELECT id FROM information_schema.processlist WHERE user = %s AND id <> CONNECTION_ID()"
            cursor.execute(others, (USER,))
            for (other,) in cursor.fetchall():
                try:
                    cursor.execute("KILL CONNECTION %s", (other,))
                except pymysql.OperationalError:
                    pass  # It ended by itself in between.
            cursor.execute(f"DROP DATABASE IF EXISTS `{DATABASE}`")

    def error_log(self) -> str:
        """The last lines that the server wrote about itself."""
        if not self._errors.exists():
            return "(the server wrote no log)"
        return "\n".join(self._errors.read_text(errors="replace").splitlines()[-40:])

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        if how is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)  # A paused server would not see the signal.
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"{self.product.name} did not stop within {STOP_TIMEOUT:g} s:\n{self.error_log()}"
            ) from None
