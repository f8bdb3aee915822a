"""The persistent tier in MySQL or MariaDB: whole batches in few statements.

Values travel as hexadecimal literals (``X'6b6579'``): any bytes, in any ``sql_mode`` and under any character set,
and built faster than PyMySQL builds statements with parameters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pymysql.constants import ER

from ckv.errors import RowsRefused, TierUnavailable
from ckv.persistent import Loaded, RowsLocked, mysql_schema
from ckv.persistent.mysql_address import Server
from ckv.persistent.mysql_connection import LOCK_WAIT, Connection, StatementFailed
from ckv.persistent.rows import ROWS_PER_STATEMENT, TABLE, record, sorted_keys, sorted_rows
from ckv.values import Value, to_text

DATA_ERRORS: Final = frozenset(
    {
        ER.BAD_NULL_ERROR,
        ER.DATA_TOO_LONG,
        ER.DUP_ENTRY,
        ER.NET_PACKET_TOO_LARGE,
        ER.NO_DEFAULT_FOR_FIELD,
        ER.NO_REFERENCED_ROW_2,
        ER.ROW_IS_REFERENCED_2,
        ER.TOO_BIG_ROWSIZE,
        ER.TRUNCATED_WRONG_VALUE,
        ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
        ER.WARN_DATA_OUT_OF_RANGE,
        ER.WARN_DATA_TRUNCATED,
        # PyMySQL has no names for these:
        1526,  # no partition takes the row
        1644,  # a trigger signals an error
        3819,  # a CHECK fails (MySQL)
        4025,  # a CHECK fails (MariaDB)
    }
)
"""The errors with which a server refuses a row for what is in it. Every other one may be gone at the next try."""

LOGIN_ERRORS: Final = frozenset(
    {
        ER.ACCESS_DENIED_ERROR,
        ER.DBACCESS_DENIED_ERROR,
        ER.HOST_IS_BLOCKED,
        ER.HOST_NOT_PRIVILEGED,
        # PyMySQL has no names for these:
        1698,  # access denied, without a word about a password
        1862,  # the password has expired
        3118,  # the account is locked
        3955,  # the account is blocked after too many failed logins
        4151,  # the account is locked (MariaDB)
    }
)
"""The errors with which a server does not let an account in. It may count the attempts, and block the account."""

_PROBE = f"SELECT kv_key, kv_value, kv_type FROM {TABLE} LIMIT 0"
_SELECT = f"SELECT kv_key, kv_value, kv_type FROM {TABLE} WHERE kv_key IN ("
# A node that is killed may leave a COMMIT behind that a stalled server carries out later. The row is locked until then:
# a plain read would see what was there before, and the node that was started again would take it for the truth.
_LOCKING = ") LOCK IN SHARE MODE"
# Not so long a wait for one row, as long as there are others to answer. MariaDB knows a wait of 0 s (and with NOWAIT
# would not wait for the table either); MySQL 8 has NOWAIT for rows alone, and before it 1 s is the least.
_NOT_WAITING = ") FOR SHARE NOWAIT"
_LOCK_NOWAIT = 3572  # PyMySQL has no name for it
# By the index, key by key: the server may find it cheaper to read a whole small table, and would then lock, and wait
# for, rows that nobody asked for.
_BY_KEY = f"FROM {TABLE} FORCE INDEX (PRIMARY) WHERE kv_key IN ("
_DELETE = f"DELETE FROM {TABLE} WHERE kv_key IN ("
_INSERT = f"INSERT INTO {TABLE} (kv_key, kv_value, kv_type) VALUES "
# VALUES() rather than MySQL 8's row alias, which MySQL 5.7 and MariaDB do not know.
_UPSERT = " ON DUPLICATE KEY UPDATE kv_value = VALUES(kv_value), kv_type = VALUES(kv_type)"


class MySQLTier:
    """One database on one server (:class:`~ckv.persistent.Tier`)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.generation = 0

    @property
    def name(self) -> str:
        return self._server.name

    def connect(self, *, prepare: bool = True) -> MySQLSession:
        try:
            return MySQLSession(self._connect() if prepare else self._connect_as_it_is())
        except StatementFailed as error:
            raise _unavailable(error) from error

    def login(self) -> object:
        try:
            return self._server.password()
        except OSError:
            return None

    def _connect(self) -> Connection:
        # Each connection looks at the table, not only the first: somebody may restore an old dump while nodes run.
        connection = self._connect_if_ready()
        if connection is None:
            mysql_schema.prepare(self._server)
            connection = Connection(self._server, database=self._server.database)
        return connection

    def _connect_as_it_is(self) -> Connection:
        connection = Connection(self._server, database=self._server.database)
        try:
            connection.run(_PROBE)  # fails where there is no such table, or one that is nothing of ours
        except BaseException:
            connection.abort()
            raise
        return connection

    def _connect_if_ready(self) -> Connection | None:
        try:
            connection = Connection(self._server, database=self._server.database)
        except StatementFailed as error:
            if error.code == ER.BAD_DB_ERROR:
                return None
            raise
        try:
            if mysql_schema.is_ready(connection):
                return connection
        except BaseException:
            connection.abort()
            raise
        connection.close()
        return None


class MySQLSession:
    """One connection (:class:`~ckv.persistent.Session`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._end_of_load = ""

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        literals = [_literal(key) for key in sorted_keys(keys)]
        statements = _statements(_SELECT, literals, _LOCKING, self._connection.max_statement_bytes)
        # In auto-commit mode, so that no snapshot stays open: it would hide later writes from later loads.
        with self._aborted_on_failure():
            answers = [self._connection.run(statement) for statement in statements]
        return dict(record(key, value, int(kind)) for rows in answers for key, value, kind in rows)

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        literals = [_literal(key) for key in sorted_keys(keys)]
        select = f"SELECT kv_key, kv_value, kv_type {_BY_KEY}"
        if max_value_bytes:
            fits = f"LENGTH(kv_value) <= {max_value_bytes}"
            # The size, below zero, in the place of the type, as one more column would be paid for by every row.
            select = f"SELECT kv_key, IF({fits}, kv_value, NULL), IF({fits}, kv_type, -LENGTH(kv_value)) {_BY_KEY}"
        with self._aborted_on_failure():
            end = self._end_of_load or self._load_without_waiting()
            statements = _statements(select, literals, end, self._connection.max_statement_bytes)
            began = time.monotonic()
            try:
                answers = [self._connection.run(statement) for statement in statements]
            except StatementFailed as error:
                # The other thing that it may have waited for, much longer, is the table, which is no matter of rows.
                waited = time.monotonic() - began > LOCK_WAIT / 2
                if error.code == _LOCK_NOWAIT or (error.code == ER.LOCK_WAIT_TIMEOUT and not waited):
                    raise RowsLocked(str(error)) from error
                raise
        loaded = Loaded({}, {})
        for rows in answers:
            for key, value, kind in rows:
                if (number := int(kind)) < 0:
                    loaded.larger[to_text(key)] = -number
                else:
                    name, held = record(key, value, number)
                    loaded.found[name] = held
        return loaded

    def _load_without_waiting(self) -> str:
        """Sees to it that loads do not wait for locked rows; the end of their statements."""
        version = self._connection.server_version
        self._end_of_load = _LOCKING
        if "MariaDB" in version:
            self._connection.run("SET SESSION innodb_lock_wait_timeout = 0")
        elif [int(part) for part in re.findall(r"\d+", version)[:3]] >= [8, 0, 1]:
            self._end_of_load = _NOT_WAITING
        else:
            self._connection.run("SET SESSION innodb_lock_wait_timeout = 1")
        return self._end_of_load

    def save_many(self, rows: Sequence[tuple[str, Value]]) -> None:
        tuples = []
        room = self._connection.max_statement_bytes - len(_INSERT) - len(_UPSERT)
        for key, value, kind in sorted_rows(rows):
            row = f"(X'{key.hex()}',X'{value.hex()}',{kind})"
            tuples.append(row)
            if len(row) > room:
                # Not left to the server, which closes the connection over such a statement.
                raise RowsRefused(
                    f"max_allowed_packet of the server leaves {room} bytes for a row, and the one with a key of"
                    f" {len(key)} and a value of {len(value)} bytes takes {len(row)}"
                )
        self._commit(_statements(_INSERT, tuples, _UPSERT, self._connection.max_statement_bytes))

    def delete_many(self, keys: Sequence[str]) -> None:
        literals = [_literal(key) for key in sorted_keys(keys)]
        self._commit(_statements(_DELETE, literals, ")", self._connection.max_statement_bytes))

    def count(self) -> int:
        with self._aborted_on_failure():
            return int(self._connection.run(f"SELECT COUNT(*) FROM {TABLE}")[0][0])

    def close(self) -> None:
        self._connection.close()

    def _commit(self, statements: Sequence[str]) -> None:
        """Run the statements in one transaction.

        COMMIT travels by itself, after the answer to everything before, and nothing is left to auto-commit. A server
        that stalls can hold a statement of ours long after we gave up on it and have written the row anew over another
        connection; in auto-commit mode the old statement would then still take effect, over the new value. Like this
        it either has its row locks by then, and the new one waits behind it until it is over, or it is rolled back
        with its connection, because its COMMIT was never sent.
        """
        if not statements:
            return
        with self._aborted_on_failure():
            try:
                self._connection.run("BEGIN", statements[0])
                for statement in statements[1:]:
                    self._connection.run(statement)
            except StatementFailed as error:
                if error.code not in DATA_ERRORS:
                    raise
                # When this fails, its error goes out and not RowsRefused, which promises that nothing was written.
                self._connection.run("ROLLBACK")
                raise RowsRefused(str(error)) from error
            self._connection.run("COMMIT")

    @contextmanager
    def _aborted_on_failure(self) -> Iterator[None]:
        """Break the connection off unless its state is known: also when the greenlet is killed inside of a call."""
        try:
            yield
        except (RowsRefused, RowsLocked):
            raise
        except BaseException as error:
            self._connection.abort()
            if isinstance(error, StatementFailed):
                raise _unavailable(error) from error
            raise


def _unavailable(error: StatementFailed) -> TierUnavailable:
    found = TierUnavailable(str(error))
    found.number = error.code
    found.silent = error.silent
    found.login_refused = error.code in LOGIN_ERRORS
    return found


def _literal(data: bytes) -> str:
    return f"X'{data.hex()}'"


def _statements(head: str, items: Sequence[str], tail: str, max_bytes: int) -> list[str]:
    """The items, with commas between them, in as few statements as their bounds allow. No item is too large for one."""
    statements: list[str] = []
    batch: list[str] = []
    size = 0
    for item in items:
        size += len(item) + 1
        if batch and (len(head) + size + len(tail) > max_bytes or len(batch) == ROWS_PER_STATEMENT):
            statements.append(head + ",".join(batch) + tail)
            batch, size = [], len(item) + 1
        batch.append(item)
    if batch:
        statements.append(head + ",".join(batch) + tail)
    return statements
