"""The tier and its sessions: records in, records out, and what an error means for both."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from pymysql.constants import ER

from ckv import events
from ckv.errors import RowsRefused, SessionLost, TierUnavailable, WriteFailed
from ckv.persistent import NO_EXPIRY, PUT_IT_BACK, Loaded, RowsLocked
from ckv.persistent.mysql import purge, schema, variables
from ckv.persistent.mysql import statements as sql
from ckv.persistent.mysql.address import Server
from ckv.persistent.mysql.clock import Clock
from ckv.persistent.mysql.connection import LOCK_WAIT, Connection, StatementFailed
from ckv.persistent.mysql.fence import NOT_ACTIVE, MySQLFence, Registration
from ckv.persistent.mysql.identity import Place, Places, place
from ckv.persistent.mysql.outages import DATA_ERRORS, LOGIN_ERRORS, NO_LONGER_WRITER, OUTAGE_ERRORS
from ckv.persistent.rows import (
    FEW_ROWS,
    KIND,
    PROBE_KEY,
    TABLE,
    TYPE_STR,
    Row,
    loaded,
    sorted_keys,
)
from ckv.values import Value, to_text

LOOK_EVERY: Final = 0.5
"""Seconds after which a session looks where its connection leads before it uses it again."""

LOOK_TIMEOUT: Final = 1.0
"""Seconds that the answer to this may take; after that the connection is made anew."""

MOST_DEADLOCKS: Final = 3
"""How many deadlocks in turn a transaction meets before it is said to fail."""

_PACKET_STEP: Final = 1024
"""The server rounds max_allowed_packet down to a multiple of this."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class MySQLTier:
    """One database on one server (:class:`~ckv.persistent.Tier`)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.generation = 0
        self.max_value_bytes = 0
        self._packet_said = 0
        self._clock = Clock()
        self.when_other: Callable[[], None] = lambda: None
        self.guard: MySQLFence | None = None
        """What sessions that write have to pass; None for those of tools, which write no records."""
        self._places = Places()
        self._seen = False
        """The table was there at some time since this process began."""
        self._away = False
        """It was, and is not any more."""

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def clock_skew(self) -> float:
        return self._clock.skew

    def connect(self, *, prepare: bool = True) -> MySQLSession:
        try:
            if prepare:
                return MySQLSession(self, *self.open())
            connection = Connection(self._server, database=self._server.database)
            with connection.or_abort():
                connection.run(sql.PROBE)  # fails where there is no such table, or one that is nothing of ours
            return MySQLSession(self, connection, None, self.generation)
        except StatementFailed as error:
            raise self.failed(error) from error

    def fence(self, name: str, process: str) -> MySQLFence:
        self.guard = MySQLFence(self, name, process)
        return self.guard

    def login(self) -> object:
        try:
            return self._server.password()
        except OSError:
            return None

    def open(self) -> tuple[Connection, Place, int]:
        """A connection to a table that is as it has to be, where it leads, and its generation; or StatementFailed."""
        generation = self.generation
        connection = self._connect()
        with connection.or_abort():
            at = place(connection)
            other_server = self._places.other_server(connection, at)
            self._clock.look(connection, self.name)
        self._away = False
        self._say_packet(connection)
        risks = variables.risks(connection.variables)
        if risks and (other_server or not self._seen):
            log.warning(events.DATABASE_RISKY, self.name, ", ".join(risks))
        self._seen = True
        self.look_at_table(at)
        if other_server:
            fit = generation == self.generation  # else somebody else found out meanwhile that this one is not
            self.generation += 1
            if fit:
                generation = self.generation
            self._tell_other("another server than before")
        return connection, at, generation

    def open_connection(self) -> tuple[Connection, int]:
        """The same without the place."""
        connection, _, generation = self.open()
        return connection, generation

    def look_at_table(self, at: Place) -> None:
        """Notices that the table is another one. Sessions that lead to the same server are still fit."""
        if self._places.other_table(at):
            self._tell_other("another table than before")

    def _tell_other(self, what: str) -> None:
        log.warning(events.DATABASE_OTHER, self.name, what)
        self.when_other()

    def failed(self, error: StatementFailed, kind: type[TierUnavailable] = TierUnavailable) -> TierUnavailable:
        """What a failure means for all sessions, and for whoever asked."""
        if error.code in NO_LONGER_WRITER:
            self.generation += 1
        found = kind(str(error))
        if self._seen and _is_gone(error):
            if not self._away:
                self._away = True
                self._tell_other("the table is gone")
            found = TierUnavailable(f"{error}; {PUT_IT_BACK}")
        found.number = error.code
        found.silent = error.silent
        found.login_refused = error.code in LOGIN_ERRORS
        return found

    def _say_packet(self, connection: Connection) -> None:
        """Warns, once for each size, of packets that are too small for the largest values."""
        packet = connection.max_allowed_packet
        check = self.guard.check_bytes if self.guard is not None else 0
        needed = packet - connection.max_statement_bytes + check + sql.longest_row(self.max_value_bytes)
        if needed > packet != self._packet_said:
            log.warning(
                events.PACKET_SMALL,
                packet,
                self.max_value_bytes,
                needed,
                -(-needed // _PACKET_STEP) * _PACKET_STEP,
            )
        self._packet_said = packet

    def _connect(self) -> Connection:
        # Each connection looks at the table, not only the first: somebody may restore an old dump while nodes run.
        try:
            connection = Connection(self._server, database=self._server.database)
            with connection.or_abort():
                if schema.is_ready(connection):
                    return connection
            connection.close()
        except StatementFailed as error:
            if error.code != ER.BAD_DB_ERROR:
                raise
        schema.prepare(self._server, create=not self._seen)
        return Connection(self._server, database=self._server.database)


class MySQLSession:
    """One connection (:class:`~ckv.persistent.Session`)."""

    def __init__(self, tier: MySQLTier, connection: Connection, at: Place | None, generation: int) -> None:
        """``at`` is where the connection leads, to be looked at again now and then."""
        self._tier = tier
        self._connection = connection
        self._at = at
        self._looked = time.monotonic()
        self._end_of_load = ""
        self._registered: Registration | None = None
        self.generation = generation

    def load_many(self, keys: Sequence[str]) -> dict[str, Value]:
        return self.load_all(keys).found

    def load_all(self, keys: Sequence[str]) -> Loaded:
        with self._in_use() as connection:
            return loaded(self._select(connection, sql.SELECT, keys, sql.LOCKING))

    def load_some(self, keys: Sequence[str], max_value_bytes: int) -> Loaded:
        select = f"SELECT kv_key, kv_value, {KIND} {sql.BY_KEY}"
        if max_value_bytes:
            fits = f"LENGTH(kv_value) <= {max_value_bytes}"
            select = f"SELECT kv_key, IF({fits}, kv_value, NULL), IF({fits}, {KIND}, -LENGTH(kv_value)) {sql.BY_KEY}"
        with self._in_use() as connection:
            end = self._end_of_load or self._load_without_waiting(connection)
            began = time.monotonic()
            try:
                return loaded(self._select(connection, select, keys, end))
            except StatementFailed as error:
                # The other thing that it may have waited for, much longer, is the table, which is no matter of rows.
                waited = time.monotonic() - began > LOCK_WAIT / 2
                if error.code == sql.LOCK_NOWAIT or (error.code == ER.LOCK_WAIT_TIMEOUT and not waited):
                    raise RowsLocked(str(error)) from error
                raise

    def _select(self, connection: Connection, select: str, keys: Sequence[str], end: str) -> list[Row]:
        # In auto-commit mode, so that no snapshot stays open: it would hide later writes from later loads.
        literals = [sql.literal(key) for key in sorted_keys(keys)]
        statements = sql.statements(connection.before_select + select, literals, end, connection.max_statement_bytes)
        return [row for statement in statements for row in _undisturbed(partial(connection.run, statement))]

    def _load_without_waiting(self, connection: Connection) -> str:
        """Sees to it that loads do not wait for locked rows; the end of their statements."""
        version = connection.server_version
        self._end_of_load = sql.LOCKING
        if "MariaDB" in version:
            connection.run("SET SESSION innodb_lock_wait_timeout = 0")
        elif [int(part) for part in re.findall(r"\d+", version)[:3]] >= [8, 0, 1]:
            self._end_of_load = sql.NOT_WAITING
        else:
            connection.run("SET SESSION innodb_lock_wait_timeout = 1")
        return self._end_of_load

    def save_many(self, rows: Sequence[tuple[str, Value]], expires: Mapping[str, int] = NO_EXPIRY) -> None:
        with self._in_use(writing=True) as connection:
            self._commit(connection, sql.upserts(rows, expires, self._most_bytes(connection)))

    def _most_bytes(self, connection: Connection) -> int:
        """Of a statement that writes."""
        guard = self._tier.guard
        return connection.max_statement_bytes - (guard.check_bytes if guard is not None else 0)

    def delete_many(self, keys: Sequence[str]) -> None:
        literals = [sql.literal(key) for key in sorted_keys(keys)]
        with self._in_use(writing=True) as connection:
            self._commit(connection, sql.statements(sql.DELETE, literals, ")", self._most_bytes(connection)))

    def may_purge(self) -> bool:
        with self._in_use() as connection:
            return purge.take_lock(connection)

    def purge(self, after: bytes | None, count: int, now_ms: int) -> tuple[bytes | None, int]:
        with self._in_use() as connection:
            return purge.purge(connection, after, count, now_ms)

    def next_keys(self, after: str | None, count: int, prefix: bytes = b"") -> list[tuple[str, int]]:
        with self._in_use() as connection:
            rows = connection.run(connection.before_select + sql.next_keys(after, count, prefix))
        return [(to_text(key), int(expires)) for key, expires in rows]

    def estimate(self) -> int:
        with self._in_use() as connection:
            ((few,),) = connection.run(connection.before_select + sql.COUNT_FEW)
            if int(few) <= FEW_ROWS:
                return int(few)
            ((many,),) = connection.run(sql.ROWS_BY_STATISTICS)
        return max(int(few), int(many or 0))

    def probe(self) -> None:
        with self._in_use() as connection:
            try:
                connection.run("BEGIN", f"{sql.INSERT}(X'{PROBE_KEY.hex()}',X'',{TYPE_STR}){sql.UPSERT}")
            except StatementFailed as error:
                if error.code not in DATA_ERRORS:
                    raise
                # A table that refuses rows for what is in them takes writes.
            connection.run("ROLLBACK")

    def count(self) -> int:
        with self._in_use() as connection:
            return int(connection.run(f"{connection.before_select}SELECT COUNT(*) FROM {TABLE}")[0][0])

    def close(self) -> None:
        self._connection.close()
        self._deregister()

    def _check(self, connection: Connection) -> tuple[str, ...]:
        """What lets a transaction fail when the node's name has gone to another process."""
        fence = self._tier.guard
        if fence is None:
            return ()
        if self._registered is None:
            self._registered = fence.register(connection)
        return self._registered.check

    def _deregister(self) -> None:
        """No transaction is under way, and this connection begins no other."""
        if self._registered is not None and self._tier.guard is not None:
            self._tier.guard.give_back(self._registered)
        self._registered = None

    def _commit(self, connection: Connection, statements: Sequence[str]) -> None:
        """Runs the statements in one transaction.

        COMMIT travels by itself, after the answer to everything before. A server that stalls can hold a statement of
        ours long after we gave up on it and have written the row anew over another connection; in auto-commit mode it
        would then still take effect, over the new value. Like this it either has its row locks by then, and the new one
        waits until it is over, or it is rolled back with its connection, because its COMMIT was never sent.
        """
        if not statements:
            return
        steps = [["BEGIN", *self._check(connection), statements[0]], *([statement] for statement in statements[1:])]
        steps[-1].append("SELECT @@global.read_only")

        def transaction() -> None:
            self._write(connection, steps)
            # Only now a Galera cluster may find that another of its servers has written one of the rows.
            connection.run("COMMIT")

        _undisturbed(transaction)

    def _write(self, connection: Connection, steps: Sequence[Sequence[str]]) -> None:
        """Begins a transaction, and carries it out but for its end."""
        try:
            *_, answer = [connection.run(*step) for step in steps]
        except StatementFailed as error:
            if error.is_loss or error.code in OUTAGE_ERRORS:
                raise
            connection.run("ROLLBACK")  # If it fails, its error goes out, which does not say that nothing was written.
            if error.code == NOT_ACTIVE and self._registered is not None and self._tier.guard is not None:
                self._tier.guard.look(connection, self._registered.worker)
            kind = RowsRefused if error.code in DATA_ERRORS else WriteFailed
            raise kind(str(error)) from error
        if answer[0][0] not in (b"0", b"OFF"):
            # A server that was demoted, and an account that may write all the same: nobody would ever see it.
            raise StatementFailed("the server is read-only", ER.OPTION_PREVENTS_STATEMENT)

    @contextmanager
    def _in_use(self, *, writing: bool = False) -> Iterator[Connection]:
        """The connection, which leads where it did. It is broken off unless its state is known afterwards: also when
        the greenlet is killed inside of a call."""
        try:
            self._look()
            yield self._connection
        except (RowsRefused, RowsLocked, WriteFailed):
            raise
        except BaseException as error:
            self._connection.abort()
            if writing:
                self._registered = None  # a transaction may be under way that keeps the row locked
            if isinstance(error, StatementFailed):
                raise self._tier.failed(error, SessionLost if writing and error.is_loss else TierUnavailable) from error
            raise

    def _look(self) -> None:
        """Connects anew when the other side has forgotten the connection (a firewall drops its packets without a word,
        and a server closes what idles), or it leads to another server. Nothing is lost: nothing was asked yet."""
        if self._at is None or not self._connection.open or time.monotonic() - self._looked < LOOK_EVERY:
            return
        try:
            with self._connection.within(LOOK_TIMEOUT):
                at = place(self._connection)
        except StatementFailed as error:
            at = None
            if error.silent:
                # What has forgotten one connection has forgotten all that idled: the others need not wait for that too.
                self._tier.generation += 1
        if at is not None and at.server == self._at.server:
            self._tier.look_at_table(at)
        else:
            self._connection.abort()
            self._deregister()
            self._connection, self._at, self.generation = self._tier.open()
            self._end_of_load = ""
        self._looked = time.monotonic()


def _undisturbed(transaction: Callable[[], T]) -> T:
    """What the transaction returns. The server rolls one of two back that wait for each other, and it is to be tried
    again. That is rare with sorted rows, but gaps between them are locked too. Raises what the last attempt raises."""
    for _ in range(MOST_DEADLOCKS):
        try:
            return transaction()
        except StatementFailed as error:
            if error.code != ER.LOCK_DEADLOCK:
                raise
    return transaction()


def _is_gone(error: StatementFailed) -> bool:
    """Whether there is no such table, or no such database. Another table may be one that a trigger misses."""
    is_ours = TABLE.lower() in str(error).lower()
    return error.code == ER.BAD_DB_ERROR or (error.code == ER.NO_SUCH_TABLE and is_ours)
