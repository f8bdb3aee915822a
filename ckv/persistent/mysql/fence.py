"""The fence: of all processes that ever had one name, only the last one can write.

Whoever has the name has an *incarnation*, a number higher than any before. Each transaction that writes records first
locks a row of its own in ``ckv_fence``, and is not carried out unless that row is active. To fence an incarnation is
to take all its rows out of that state: so a transaction of it commits before that, or never.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pymysql.constants import ER

from ckv.errors import Fenced, Forbidden, TierUnavailable
from ckv.persistent import Holder, Seen
from ckv.persistent.mysql.connection import Connection, StatementFailed
from ckv.persistent.mysql.lasting import Lasting
from ckv.persistent.mysql.statements import literal
from ckv.persistent.mysql.variables import takes_writes_elsewhere

log = logging.getLogger(__name__)

TABLE: Final = "ckv_fence"

DEFINITION: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (node VARBINARY(255) NOT NULL, incarnation BIGINT NOT NULL,"
    " worker BIGINT NOT NULL, state ENUM('active','ended','fenced') NOT NULL, beat BIGINT NOT NULL DEFAULT 0,"
    " unsaved BIGINT NULL, share VARBINARY(255) NOT NULL DEFAULT '',"
    " connection VARBINARY(255) NOT NULL DEFAULT '', process VARBINARY(255) NOT NULL DEFAULT '',"
    " PRIMARY KEY (node, incarnation, worker)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC"
)

BEAT: Final = -1
"""The ``worker`` of the row that stands for the process itself. Each incarnation has one."""

UNLESS: Final = "SET @ckv_active = IF({}, 1, (SELECT 1 UNION ALL SELECT 2))"
"""Fails on the server, with :data:`NOT_ACTIVE`, unless that holds: the rest of the message is not carried out. A check
of ours would come after the rows are locked, and a process that stops just then would keep whoever takes over from
reading them. It is no SELECT, for it need not answer anything."""

IS_ACTIVE: Final = UNLESS.format("ROW_COUNT() = 1")
"""The UPDATE before it found its row."""

NOT_ACTIVE: Final = ER.SUBQUERY_NO_1_ROW

ANSWER_TIMEOUT: Final = 2.0
"""Seconds that a statement of the fence's own connection may take."""

ATTEMPTS: Final = 20
"""How often in turn a process is fenced that goes on saving meanwhile at another server of a Galera cluster, where its
connections are not ended: its transactions and this one collide, and the first at its COMMIT wins."""

_DENIED = (ER.TABLEACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR)


class Opener(Protocol):
    """What the fence needs of its tier."""

    def open_connection(self) -> tuple[Connection, int]:
        """A connection to where records are written now, and its generation. Raises StatementFailed."""

    generation: int

    def failed(self, error: StatementFailed) -> TierUnavailable:
        """What a failure means."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The row of one session."""

    worker: int
    check: tuple[str, ...]
    """The statements that every transaction of the session begins with, after BEGIN."""


class MySQLFence:
    """The name of one node (:class:`~ckv.persistent.Fence`)."""

    def __init__(self, tier: Opener, name: str, process: str) -> None:
        self._tier = tier
        self._node = literal(name.encode())
        self._process = process.encode()
        self._lasting = Lasting(self._connect, tier.failed, ANSWER_TIMEOUT)
        self._generation = 0
        self._free: list[int] = []
        self._next = 0
        self.check_bytes = max(
            sum(map(len, check(2**63, 2**63))) + len(";;") for check in (self._written, self._locked)
        )
        """What the check takes of a message, at most."""
        self.incarnation = 0
        self.when_fenced: Callable[[], None] = lambda: None

    # --- what the sessions ask for ---------------------------------------------------------------------------------

    def register(self, connection: Connection) -> Registration:
        """A row for a session that will write. Raises StatementFailed, Fenced, and TierUnavailable without the name."""
        if not self.incarnation:
            raise TierUnavailable("the name of the node is not claimed yet")
        worker = heapq.heappop(self._free) if self._free else self._next
        self._next += worker == self._next
        columns = (
            f"INSERT INTO {TABLE} (node, incarnation, worker, state, connection) VALUES"
            f" ({self._node}, {self.incarnation}, {worker}, 'active', {literal(_identity(connection))})"
            " ON DUPLICATE KEY UPDATE connection = VALUES(connection)"
        )
        try:
            connection.run("BEGIN", *self._written(self.incarnation, BEAT), columns, "COMMIT")
        except StatementFailed as error:
            if error.code == NOT_ACTIVE:
                connection.run("ROLLBACK")
                self.look(connection, worker)
            raise
        check = self._written if takes_writes_elsewhere(connection.variables) else self._locked
        return Registration(worker, check(self.incarnation, worker))

    def _locked(self, incarnation: int, worker: int) -> tuple[str, ...]:
        """Holds the row until the transaction ends, so that whoever fences us waits for it."""
        state = f"SELECT state FROM {TABLE} WHERE {self._row_of(incarnation, worker)} FOR UPDATE"
        return (UNLESS.format(f"({state}) = 'active'"),)

    def _written(self, incarnation: int, worker: int) -> tuple[str, ...]:
        """The same on the servers of one cluster, where a lock holds on one alone, but two writes collide."""
        row = self._row_of(incarnation, worker)
        return f"UPDATE {TABLE} SET beat = beat + 1 WHERE {row} AND state = 'active'", IS_ACTIVE

    def _row_of(self, incarnation: int, worker: int) -> str:
        return f"node = {self._node} AND incarnation = {incarnation} AND worker = {worker}"

    def give_back(self, registration: Registration) -> None:
        """No transaction of the session is under way, and none will be: the row is for another one."""
        heapq.heappush(self._free, registration.worker)

    def look(self, connection: Connection, worker: int) -> None:
        """Whether the row of a session is what it was, after a check failed. Raises Fenced when the name has gone to
        another process, and TierUnavailable when the row is missing: the session has to register anew."""
        rows = connection.run(
            f"SELECT incarnation, worker, state FROM {TABLE} WHERE node = {self._node} AND"
            f" incarnation >= {self.incarnation}"
        )
        found = {(int(incarnation), int(worker)): state for incarnation, worker, state in rows}
        if any(incarnation > self.incarnation for incarnation, _ in found) or any(
            state != b"active" for state in found.values()
        ):
            self.when_fenced()
            raise Fenced("another process has taken the name of this node")
        if (self.incarnation, worker) not in found:
            # Another server, or a dump was restored: nobody has fenced us there.
            raise TierUnavailable(f"the table {TABLE} has lost a row of this node; it is written anew")

    # --- what the node asks for ------------------------------------------------------------------------------------

    def claim(self) -> Holder | None:
        with self._own() as connection:
            try:
                return self._claim_or_create(connection)
            except StatementFailed as error:
                if error.code not in _DENIED:
                    raise
                raise Forbidden(
                    f"{error}. Without the table {TABLE} an older process of this node could write over newer records:"
                    " GRANT the account SELECT, INSERT, UPDATE and DELETE on it, and CREATE, or have somebody run:"
                    f" {DEFINITION}"
                ) from error

    def _claim_or_create(self, connection: Connection) -> Holder | None:
        try:
            return self._claim(connection)
        except StatementFailed as error:
            if error.code == ER.NO_SUCH_TABLE:
                connection.run(DEFINITION)  # at once by many nodes: the server makes one
            elif error.code not in (ER.DUP_ENTRY, ER.LOCK_DEADLOCK):  # somebody else was quicker
                raise
        return self._claim(connection)

    def _claim(self, connection: Connection) -> Holder | None:
        highest = 0
        for row in connection.run(
            f"SELECT incarnation, state, beat, unsaved, process FROM {TABLE} WHERE node = {self._node}"
            f" AND worker = {BEAT} ORDER BY incarnation DESC"
        ):
            incarnation, state, beat, unsaved, process = row
            highest = max(highest, int(incarnation))
            if state == b"active" and process == self._process and int(incarnation) == highest:
                self.incarnation = highest  # the answer to the INSERT was lost
                return None
            if state == b"active" and process != self._process:
                left = None if unsaved is None else int(unsaved)
                return Holder(int(incarnation), int(beat), left, process.decode(errors="replace"))
        mine = highest + 1
        # Whoever is second here meets a row that is there.
        ((last,),) = connection.run(self._row(mine), f"SELECT MAX(incarnation) FROM {TABLE} WHERE node = {self._node}")
        if int(last) > mine:
            # Unless others have come and gone since it looked, as it may have been paused: it would be below them.
            connection.run(f"DELETE FROM {TABLE} WHERE node = {self._node} AND incarnation = {mine}")
            return self._claim(connection)
        self.incarnation = mine
        # They cannot write any more, and only the highest number counts.
        connection.run(f"DELETE FROM {TABLE} WHERE node = {self._node} AND incarnation < {mine}")
        return None

    def _row(self, incarnation: int) -> str:
        return (
            f"INSERT INTO {TABLE} (node, incarnation, worker, state, process) VALUES"
            f" ({self._node}, {incarnation}, {BEAT}, 'active', {literal(self._process)})"
        )

    def fence_off(self, holder: Holder) -> bool:
        node = literal(holder.name.encode()) if holder.name else self._node
        which = f"node = {node} AND incarnation <= {holder.incarnation}"
        with self._own() as connection:
            self._kill(connection, which)
            connection.run("SET SESSION innodb_lock_wait_timeout = 1")
            look = (
                f"SELECT beat FROM {TABLE} WHERE node = {node} AND incarnation = {holder.incarnation}"
                f" AND worker = {BEAT} FOR UPDATE"
            )
            for _ in range(ATTEMPTS):
                try:
                    unmoved = [int(beat) for (beat,) in connection.run("BEGIN", look)] == [holder.beat]
                    if unmoved:
                        fence = f"UPDATE {TABLE} SET state = 'fenced' WHERE {which} AND state = 'active'"
                        connection.run(fence, "COMMIT")
                    else:
                        connection.run("ROLLBACK")
                    return unmoved
                except StatementFailed as error:
                    if error.code not in (ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK):
                        raise
                    connection.run("ROLLBACK")
                    if error.code == ER.LOCK_WAIT_TIMEOUT:
                        break
            return False

    def _kill(self, connection: Connection, which: str) -> None:
        """Ends connections of theirs that are still there: a transaction that stalls past its check holds its row."""
        # By where they come from too, for the numbers start again with the server.
        for (number,) in connection.run(
            "SELECT id FROM information_schema.processlist WHERE CONCAT(id, '@', host) IN"
            f" (SELECT connection FROM {TABLE} WHERE {which})"
        ):
            with suppress(StatementFailed):  # it has ended meanwhile, or it belongs to another account
                connection.run(f"KILL CONNECTION {int(number)}")

    def beat(self, left: int | None, share: str = "") -> None:
        with self._own() as connection:
            try:
                connection.run(
                    f"UPDATE {TABLE} SET beat = beat + 1, unsaved = {'NULL' if left is None else left}, share ="
                    f" {literal(share.encode())} WHERE node = {self._node} AND incarnation = {self.incarnation}"
                    f" AND worker = {BEAT} AND state = 'active'",
                    IS_ACTIVE,
                )
            except StatementFailed as error:
                if error.code == ER.NO_SUCH_TABLE:
                    connection.run(DEFINITION)
                elif error.code != NOT_ACTIVE:
                    raise
                try:
                    self.look(connection, BEAT)
                except Fenced:
                    raise
                except TierUnavailable:
                    # Meanwhile a process may have found the name free, and taken a lower number: it has to end.
                    lower = f"node = {self._node} AND incarnation < {self.incarnation}"
                    fence = f"UPDATE {TABLE} SET state = 'fenced' WHERE {lower} AND state = 'active'"
                    connection.run("BEGIN", fence, self._row(self.incarnation), "COMMIT")

    def others(self) -> list[Holder]:
        with self._own() as connection:
            rows = connection.run(
                f"SELECT incarnation, beat, process, node, share FROM {TABLE} WHERE worker = {BEAT} AND"
                f" state = 'active' AND share <> '' AND node <> {self._node}"
            )
        return [
            Holder(int(incarnation), int(beat), None, *(text.decode(errors="replace") for text in texts))
            for incarnation, beat, *texts in rows
        ]

    def census(self) -> list[Seen]:
        with self._own() as connection:
            rows = connection.run(f"SELECT node, incarnation, beat, state FROM {TABLE} WHERE worker = {BEAT}")
        return [
            Seen(name.decode(errors="replace"), int(incarnation), int(beat), state == b"active")
            for name, incarnation, beat, state in rows
        ]

    def release(self) -> None:
        if not self.incarnation:
            return
        with self._own() as connection:
            connection.run(
                f"UPDATE {TABLE} SET state = 'ended' WHERE node = {self._node}"
                f" AND incarnation = {self.incarnation} AND state = 'active'"
            )

    def close(self) -> None:
        self._lasting.close()

    def _own(self) -> AbstractContextManager[Connection]:
        """The connection of the fence itself, to where records are written now."""
        if self._generation != self._tier.generation:
            self.close()
        return self._lasting.use()

    def _connect(self) -> Connection:
        connection, self._generation = self._tier.open_connection()
        return connection


def _identity(connection: Connection) -> bytes:
    """What the server calls this connection: its number and where it comes from."""
    rows: tuple[tuple[Any, ...], ...] = connection.run(
        "SELECT CONCAT(id, '@', host) FROM information_schema.processlist WHERE id = CONNECTION_ID()"
    )
    return rows[0][0] or b"" if rows else b""
