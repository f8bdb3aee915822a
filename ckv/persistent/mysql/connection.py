"""One connection to a MySQL or MariaDB server: a statement in, rows of bytes out, every failure one exception.

No other module calls PyMySQL. All its SQL is what MySQL from 5.7 to 9 and MariaDB take.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql.connections
from pymysql.constants import CLIENT, CR

from ckv.persistent.mysql import variables
from ckv.persistent.mysql.address import Server
from ckv.persistent.mysql.encryption import UNVERIFIED
from ckv.persistent.mysql.variables import LOCK_WAIT as LOCK_WAIT  # how long a statement may take, beside the others
from ckv.tls import reason

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to reach the server. A host that is gone answers nothing at all, so this is how soon it is noticed."""

STATEMENT_TIMEOUT: Final = 30.0
"""Seconds for one read or one write of the socket; above :data:`LOCK_WAIT`, so that the server speaks first."""

UNACKNOWLEDGED: Final = 10
"""Seconds after which a connection is given up whose packets vanish, as when a firewall has forgotten it. A server that
only takes its time acknowledges what it receives: its kernel does."""

KEEP_ALIVE: Final = 10
"""Seconds of silence after which the kernel asks whether the other side is there; what is on the way takes the
connection for one that is used, and forgets it less soon."""

# A packet also holds the command's byte, and servers differ in whether it may be as long as the bound itself.
_PACKET_MARGIN = 64

_MAX_TEXT = 300  # characters of an error's text; the server may quote a statement

_METHODS = "docs/configuration.md lists the login methods that work"


class StatementFailed(Exception):
    """A statement failed, or the connection did. It stays inside of the MySQL modules."""

    def __init__(self, text: str, code: int = 0, *, silent: bool = False) -> None:
        """``code`` is the error number of server or client, 0 without one; ``silent``: no answer came in time."""
        super().__init__(text)
        self.code = code
        self.silent = silent

    @property
    def is_loss(self) -> bool:
        """Whether the connection broke, or the server said nothing in time, rather than that it said no."""
        return self.code == 0 or CR.CR_ERROR_FIRST <= self.code <= CR.CR_ERROR_LAST


class Connection:
    """One connection in auto-commit mode, with strict SQL and no dependence on what the server is set to otherwise."""

    def __init__(self, server: Server, *, database: str | None, read_timeout: float | None = None) -> None:
        """``read_timeout`` takes the place of :data:`STATEMENT_TIMEOUT`. Raises :class:`StatementFailed`."""
        try:
            self._connection = _connect(server, database, read_timeout or STATEMENT_TIMEOUT)
        except Exception as error:
            raise _failure(error) from error
        with self.or_abort():
            self.run(variables.FIRST)
            if database is not None:
                self.run(f"USE {quoted(database)}")  # the server's init_connect may have left it
            self.variables = {name.decode(): value.decode() for name, value in self.run(variables.SHOW)}
            """What the server was set to, as far as ckv wants to know (:mod:`ckv.persistent.mysql.variables`)."""
            if statement := variables.settings(self.variables):
                self.run(statement)
            self.max_allowed_packet = int(self.variables["max_allowed_packet"])
            self.max_statement_bytes = self.max_allowed_packet - _PACKET_MARGIN
            self.before_select = variables.unbounded(self.variables)

    @property
    def open(self) -> bool:
        """Whether nothing is known to have ended it."""
        return bool(self._connection.open)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Statements inside of it fail when the server says nothing for so many seconds."""
        connection = self._connection
        before, connection._read_timeout = connection._read_timeout, seconds  # type: ignore[attr-defined]
        try:
            yield
        finally:
            connection._read_timeout = before  # type: ignore[attr-defined]

    def run(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        """The rows that the last statement answers, every column as bytes or None. Several statements travel together;
        the first one that fails is the last one that is carried out. Raises :class:`StatementFailed`."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(";".join(statements))
                while cursor.nextset():
                    pass
                return tuple(cursor.fetchall())
        # A cut connection or a foreign server makes PyMySQL raise anything from struct.error to AssertionError.
        except Exception as error:
            raise _failure(error) from error

    @property
    def server_version(self) -> str:
        """As the server told it in its greeting: ``8.0.36``, ``5.5.5-10.11.4-MariaDB``."""
        return str(self._connection.server_version)  # type: ignore[attr-defined]

    @property
    def local_host(self) -> str:
        """The address of this machine from which the server is reached."""
        return str(self._connection._sock.getsockname()[0])  # type: ignore[attr-defined]

    def close(self) -> None:
        """Closes the connection; the server rolls back what is not committed. Never raises; twice is fine."""
        if self._connection.open:
            self._connection.close()

    def abort(self) -> None:
        """Closes it without a word, in whatever state it is. Never raises, never waits; twice is fine."""
        # close() would first send its goodbye, and wait for a server that has stopped reading.
        self._connection._force_close()  # type: ignore[attr-defined]

    @contextmanager
    def or_abort(self) -> Iterator[None]:
        """Aborts the connection when what is done inside of it fails."""
        try:
            yield
        except BaseException:
            self.abort()
            raise


def quoted(name: str) -> str:
    """A name as it stands in a statement.

    >>> quoted("a`b")
    '`a``b`'
    """
    return "`" + name.replace("`", "``") + "`"


class _PyMySQLConnection(pymysql.connections.Connection):
    def _create_ssl_ctx(self, given: object) -> ssl.SSLContext:
        # Where none was given PyMySQL encrypts if the server can, and would load all the authorities of the machine for
        # each connection, slowly and to no use.
        return given if isinstance(given, ssl.SSLContext) else UNVERIFIED.context()


def _connect(server: Server, database: str | None, read_timeout: float) -> pymysql.connections.Connection:
    encryption = server.encryption
    connection = _PyMySQLConnection(
        # Always TCP, also to "localhost": PyMySQL uses a unix socket only when it is told to.
        host=server.address.host,
        port=server.address.port,
        user=server.user,
        # Bytes, because PyMySQL encodes text as Latin-1.
        password=server.password(),
        database=database,
        charset="utf8mb4",
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        write_timeout=STATEMENT_TIMEOUT,
        # Every column comes as bytes: a table of somebody else's making cannot surprise the decoder.
        use_unicode=False,
        conv={},
        client_flag=CLIENT.MULTI_STATEMENTS,
        autocommit=None,
        # With one PyMySQL sends no login to a server that does not encrypt, or whose certificate it refuses.
        ssl=encryption.context() if encryption.is_needed else None,
        program_name="ckv",
    )
    # The kernel finds out when nobody is there any more.
    sock: socket.socket = connection._sock  # type: ignore[attr-defined]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED * 1000)
    return connection


def _failure(error: Exception) -> StatementFailed:
    # PyMySQL keeps what the socket said in one place or the other.
    cause = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
    is_numbered = isinstance(error, pymysql.MySQLError) and error.args and isinstance(error.args[0], int)
    code: int = error.args[0] if is_numbered else 0
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"MySQL error {code}: {reason(cause)}"
    elif code:
        text = f"MySQL error {code}: {error.args[1] if len(error.args) > 1 else ''}"
    elif "pynacl" in str(error):
        text = f"MySQL: the account logs in with ed25519, and the Python package PyNaCl is not there: {_METHODS}"
    else:
        text = f"MySQL: {type(error).__name__}: {error}"
    if code == CR.CR_AUTH_PLUGIN_CANNOT_LOAD:
        text += f": {_METHODS}"
    silent = isinstance(error, TimeoutError) or isinstance(cause, TimeoutError)
    return StatementFailed(" ".join(text.split())[:_MAX_TEXT], code, silent=silent)
