"""Who has logged in over which connection, and who serves it then.

Whoever has not logged in is served by :attr:`Logins.strangers`, where nothing is answered but AUTH. After that a
connection is served by the inbox of what its user may do (:mod:`ckv.net.permits`), one for all users with the same
rights; users who may read and write all keys are served by compiled code, as without users. A user with limits has an
inbox of its own (:mod:`ckv.net.metering`).

A secret is looked at in a greenlet, so that nothing behind an AUTH is served as somebody else would be; one that takes
long in a thread, one at a time.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Container, Iterable
from functools import partial
from hashlib import blake2b
from typing import Any, Final, cast

import gevent
from gevent.threadpool import ThreadPool

from ckv import errors, events
from ckv.errors import BadSetting
from ckv.net import audit
from ckv.net.connection import Connection
from ckv.net.inbox import Inbox
from ckv.net.members import Login, Members
from ckv.net.metering import Meter
from ckv.protocol.handler import LATER, Caller
from ckv.protocol.limits import KIB
from ckv.protocol.session import Session
from ckv.security.rights import Level, Rights
from ckv.security.secrets import Kept
from ckv.security.slowing import LONGEST_WAIT, Slowing
from ckv.security.users import User, UsersFile
from ckv.values import to_bytes, to_text

log = logging.getLogger(__name__)

MOST_SLOW: Final = 64
"""Passwords that wait for being looked at; each takes some 80 ms."""

MOST_KNOWN: Final = 1024
"""Passwords that were right and need not be looked at again, so that a pool of connections logs in quickly."""

MOST_BYTES: Final = 16 * KIB
"""What may come over a connection before somebody has logged in."""

LOGIN_TIMEOUT: Final = 10.0
"""Seconds after which a connection ends over which nobody has logged in."""

Told = Callable[[errors.CkvError | None], None]
"""Is told why somebody is not logged in, or None."""


class Allowance:
    """What a connection may send before somebody has logged in."""

    def __init__(self) -> None:
        self._left = MOST_BYTES

    def spend(self, data: bytes) -> None:
        """Takes note of what has come. Raises OSError when it was too much."""
        self._left -= len(data)
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, f"more than {MOST_BYTES} bytes came before a login")


class Logins:
    """The users of a node, and their connections."""

    def __init__(
        self,
        file: UsersFile,
        new_inbox: Callable[[Logins, Rights | None, bool, Meter | None], Inbox],
        let_in: Callable[[Connection, Level], None],
    ) -> None:
        """``new_inbox``: makes what serves users with these rights, or whoever has not logged in; the flag says whether
        each request is looked at that may be for another node, and the meter counts for one user. ``let_in``: has a
        connection served by its :meth:`inbox_of` from now on; raises Overloaded."""
        self._file = file
        self._new_inbox = new_inbox
        self._let_in = let_in
        self._inboxes: dict[tuple[Rights, bool, Meter | None], Inbox] = {}
        self._meters: dict[str, Meter] = {}
        """Of users with limits, by their names."""
        self.members: Final = Members()
        """The connections over which somebody has logged in."""
        self._key = os.urandom(32)
        self._known: dict[bytes, Login] = {}
        """Passwords that were right, by a hash under a key that nobody else has."""
        self._pool: Any = None
        self._slow = 0
        self._slowing = Slowing()
        self._since: dict[Connection, float] = {}
        """When those came who have not logged in, in that order."""
        self.strangers: Final = new_inbox(self, None, False, None)
        self.logins = 0
        """How often somebody has logged in."""
        self.failures = 0
        """How often somebody was not let in."""
        self.denials = 0
        """How often a user called what it may not."""

    @property
    def users(self) -> int:
        """How many there are in the file."""
        return len(self._file.users)

    @property
    def of_users(self) -> Iterable[Inbox]:
        """Who serve users."""
        return self._inboxes.values()

    def inbox_of(self, connection: Connection, looks: bool) -> Inbox:
        """Who serves this one."""
        login = self.members.get(connection)
        if login is None:
            return self.strangers
        key = (login.user.rights, looks, self._meter_of(login.user))
        if key not in self._inboxes:
            self._inboxes[key] = self._new_inbox(self, *key)
        return self._inboxes[key]

    def _meter_of(self, user: User) -> Meter | None:
        if not user.quota.is_metered:
            return None
        meter = self._meters.get(user.name)
        if meter is None or meter.quota != user.quota:
            slowed = meter.slowed if meter is not None else 0
            self._meters[user.name] = meter = Meter(user.quota, gevent.get_hub().loop, slowed)
        return meter

    @property
    def slowed(self) -> int:
        """How often a connection was not read, for its user had asked too much."""
        return sum(meter.slowed for meter in self._meters.values())

    def name_of(self, session: Session) -> str:
        """The user who has logged in over it; empty for nobody."""
        login = self.members.get(cast(Connection, session.line))
        return login.user.name if login is not None else ""

    def came(self, connection: Connection) -> None:
        """Somebody is there who has not logged in."""
        self._since[connection] = time.monotonic()
        connection.read_through(Allowance().spend)

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._leave(connection)
        self._since.pop(connection, None)

    def _leave(self, connection: Connection) -> None:
        login = self.members.drop(connection)
        if login is not None and (meter := self._meter_of(login.user)) is not None:
            meter.forget(connection)

    def look_after(self) -> None:
        """Ends connections over which nobody has logged in for too long; to be called now and then."""
        now = time.monotonic()
        for connection, since in list(self._since.items()):
            if now - since < LOGIN_TIMEOUT:
                return
            connection.close(f"nobody has logged in within {LOGIN_TIMEOUT:g} s")

    def end_oldest(self, but: Container[Connection]) -> None:
        """Ends the connection over which nobody has logged in for the longest time, ``but`` none of these, so that
        whoever does not log in keeps no user out."""
        oldest = next((connection for connection in self._since if connection not in but), None)
        if oldest is not None:
            oldest.close("")

    # --- logging in ----------------------------------------------------------------------------------------------

    def auth(self, caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
        """The handler of AUTH. It has its name alone, as no BATCH and no notification has it."""
        session = cast(Session, caller)
        if len(params) != 2 or not all(isinstance(param, (str, bytes)) for param in params):
            raise errors.BadArguments("AUTH takes the name of a user and a secret")
        name, secret = cast(tuple[str | bytes, str | bytes], params)

        def told(error: errors.CkvError | None) -> None:
            if error is None:
                session.respond(msgid, None, True)
            else:
                session.respond(msgid, errors.to_wire(error), None)

        text = to_text(name) if isinstance(name, bytes) else name
        login = self.members.get(cast(Connection, session.line))
        if login is not None and login.user.rights.level == "node" and login.user.name == text:
            gevent.spawn(_carry_out, session, lambda: self._log_in_again(session, text, to_bytes(secret)), told)
        else:
            self.log_in(session, text, to_bytes(secret), told)
        return LATER

    def log_in(self, session: Session, name: str | bytes, secret: bytes, told: Told) -> None:
        """Looks who it is; until ``told`` is told nothing more of the session is served."""
        text = to_text(name) if isinstance(name, bytes) else name
        self._later(session, lambda: self._log_in(session, text, secret), told)

    def log_out(self, session: Session, told: Told) -> None:
        """Ends that. Whoever has not logged in stays what he is, and gets neither more time nor more bytes."""

        def out() -> None:
            connection = cast(Connection, session.line)
            if connection in self._since or not session.is_open:
                return
            self._leave(connection)
            connection.meter(None)
            self.strangers.adopt(connection)
            self.came(connection)

        self._later(session, out, told)

    def _later(self, session: Session, change: Callable[[], None], told: Told) -> None:
        """Changes who serves a session between two turns, while nothing of it is served."""
        attempt = object()
        session.line.hold(attempt)

        def carry_out() -> None:
            try:
                _carry_out(session, change, told)
            finally:
                session.line.release(attempt)

        gevent.spawn(carry_out)

    def _log_in(self, session: Session, name: str, secret: bytes) -> None:
        """Raises LoginFailed, Overloaded."""
        connection = cast(Connection, session.line)
        peer = connection.peer
        host = audit.host_of(peer)
        wait = self._slowing.wait(host, time.monotonic())
        if wait > LONGEST_WAIT:
            raise errors.Overloaded("too many wrong logins came from this address; try again in a minute")
        if wait:
            gevent.sleep(wait)
        login = self._looked_up(name, secret)
        if login is None:
            self._slowing.failed(host, time.monotonic())
            raise self._refused(name, peer)
        if not session.is_open:
            return
        self._check_room(login, connection)
        before = self.members.get(connection)
        self.members.put(connection, login)
        # With another secret of the same user all goes on as it is: what is trusted stays trusted.
        if before is None or not _may_the_same(before.user, login.user):
            self._serve_as(connection, login, before)
        self._came_in(login, peer)

    def _log_in_again(self, session: Session, name: str, secret: bytes) -> None:
        """A node, over whose connection go the calls of all its clients, has another secret. As what it may do stays
        the same, the connection goes on meanwhile; nor does the node wait for others who try secrets from its address.
        Raises LoginFailed, Overloaded."""
        connection = cast(Connection, session.line)
        login = self._looked_up(name, secret)
        if login is None:
            raise self._refused(name, connection.peer)
        before = self.members.get(connection)
        # Otherwise it is closed by now, or the login that came behind this one was quicker, and stays.
        if before is not None and _may_the_same(before.user, login.user):
            self.members.put(connection, login)
            self._came_in(login, connection.peer)

    def _came_in(self, login: Login, peer: str) -> None:
        """Takes note that somebody is let in."""
        self.logins += 1
        audit.let_in(login.user, peer)

    def _refused(self, name: str, peer: str) -> errors.LoginFailed:
        """Takes note that somebody is not; what to raise."""
        self.failures += 1
        # Somebody may have typed the secret where the name belongs.
        audit.refused(name if name in self._file.users.by_name else "nobody that there is", peer)
        return errors.LoginFailed("there is no user of this name with this secret")

    def _check_room(self, login: Login, connection: Connection) -> None:
        """Raises Overloaded where its user has all of its connections."""
        try:
            self.members.check_room(login.user, connection)
        except errors.Overloaded:
            audit.full(login.user, connection.peer)
            raise

    def _serve_as(self, connection: Connection, login: Login, before: Login | None) -> None:
        """Has it served by what its user may do. Raises Overloaded, and all is as it was before."""
        try:
            self._let_in(connection, login.user.rights.level)
        except errors.CkvError:
            self.members.drop(connection)
            if before is not None:
                self.members.put(connection, before)
            raise
        self._since.pop(connection, None)
        if before is not None and (meter := self._meter_of(before.user)) is not None:
            meter.forget(connection)
        meter = self._meter_of(login.user)
        connection.meter(partial(meter.reading, connection) if meter is not None else None)

    def _looked_up(self, name: str, secret: bytes) -> Login | None:
        """Who that is. Another greenlet may run meanwhile. Raises Overloaded."""
        user, is_there = self._file.users.find(name)
        kept = self._matching_slowly(user, name, secret) if user.is_slow else user.matching(secret)
        # There may be other users by now.
        if not is_there or kept is None or self._file.users.by_name.get(name) != user:
            return None
        return Login(user, kept)

    def _matching_slowly(self, user: User, name: str, secret: bytes) -> Kept | None:
        mark = blake2b(b"\0".join((to_bytes(name), secret)), key=self._key).digest()
        known = self._known.get(mark)
        if known is not None and known.user == user:
            return known.kept
        if self._slow >= MOST_SLOW:
            raise errors.Overloaded("too many passwords wait for being looked at; try again")
        self._slow += 1
        try:
            self._pool = self._pool or ThreadPool(1)
            kept = cast(Kept | None, self._pool.apply(user.matching, (secret,)))
        finally:
            self._slow -= 1
        if kept is not None and name == user.name:
            if len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[mark] = Login(user, kept)
        return kept

    def audit(self, session: Session, name: str) -> None:
        """Takes note that somebody calls a command of operators."""
        audit.called(name, self.name_of(session), session.line.peer)

    def denied(self, session: Session, name: str) -> None:
        """Takes note that somebody calls what he may not."""
        self.denials += 1
        audit.denied(name, self.name_of(session), session.line.peer)

    # --- another file --------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Reads the file again, and ends the connections of users who may not do the same any more, or whose secret is
        no more. If the file is broken the users stay as they are."""
        try:
            self._file.reload()
        except BadSetting as error:
            log.error(events.USERS_KEPT, error)
            return
        self._known.clear()
        users = self._file.users.by_name
        ended = 0
        for connection, login in list(self.members.items()):
            user = users.get(login.user.name)
            if user is None or login.kept not in user.kept or not _may_the_same(user, login.user):
                connection.close("its user may not do the same any more, or its secret is no more")
                ended += 1
        log.info(events.USERS_READ, self._file.path, len(users), ended)


def _carry_out(session: Session, change: Callable[[], None], told: Told) -> None:
    """Makes a change of who a session is, and tells why not if it fails."""
    try:
        error: errors.CkvError | None = None
        try:
            change()
        except errors.CkvError as refused:
            error = refused
        if session.is_open:
            told(error)
    except Exception:  # noqa: BLE001 - nobody knows what it may do then
        session.break_off_on_defect()


def _may_the_same(user: User, other: User) -> bool:
    """Whether they are one user of two files, or of one, with the same class, prefixes and limits."""
    return (user.name, user.rights, user.quota) == (other.name, other.rights, other.quota)


def figures_of(logins: Logins | None) -> dict[str, int]:
    """What INFO says of users; ckv/node/figures.py says what each figure counts."""
    return {
        "users": logins.users if logins is not None else 0,
        "users_connections": len(logins.members) if logins is not None else 0,
        "logins": logins.logins if logins is not None else 0,
        "login_failures": logins.failures if logins is not None else 0,
        "calls_denied": logins.denials if logins is not None else 0,
        "users_slowed": logins.slowed if logins is not None else 0,
    }
