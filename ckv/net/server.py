"""The listening side: accept, limit the number of connections, look after those that are silent, drain.

Clients have ``--max-connections`` places, or fewer when there are not so many open files. Some more are guests, in the
lobby (:mod:`ckv.net.lobby`). They may ask what operators and probes ask, so that a node whose places are taken can be
looked at, and is not taken for dead. A guest that asks for a record gets an error, or a place if there is one by then.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, cast

from ckv import errors, events
from ckv.address import Address
from ckv.cluster.directory import DIRECT
from ckv.commands import COMMANDS
from ckv.net.clients import Clients, Totals
from ckv.net.connection import Connection, kind_of
from ckv.net.files import can_open_another
from ckv.net.inbox import Inbox
from ckv.net.listening import Listener, bound
from ckv.net.lobby import Lobby
from ckv.net.logins import Logins
from ckv.net.metering import Meter
from ckv.net.places import Places
from ckv.net.poller import Poller
from ckv.net.rooms import MakeResp, Rooms
from ckv.net.transport import Transport
from ckv.protocol.greeting import ANSWER, HELLO
from ckv.protocol.handler import NO_CORES, Caller, Cores, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.session import Session
from ckv.protocol.slow import NEVER, SlowLog
from ckv.security.rights import Level, Rights
from ckv.security.users import UsersFile

log = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between two looks after the connections, at most."""


class Server:
    """Serves a table of handlers on one address."""

    def __init__(
        self,
        poller: Poller,
        handlers: Mapping[str, Handler],
        limits: Limits,
        files: int = 0,
        cores: Cores = NO_CORES,
        others: Mapping[str, Handler] | None = None,
        resp: MakeResp | None = None,
        guard: Callable[[str, Handler], Handler] | None = None,
        slow: SlowLog = NEVER,
        users: UsersFile | None = None,
        transport: Callable[[socket.socket], Transport] = Transport,
    ) -> None:
        """``files``: open files that the node needs beside its clients' connections. ``cores``: see :class:`Inbox`.

        ``others``: what nodes ask, and may ask wherever they are. ``resp`` makes of handlers what clients of Redis may
        call; without it they are not served. ``guard`` makes of a handler one that looks whether a request is for this
        node, for whoever is not trusted, once they are told apart (:meth:`trust_nobody`). ``slow``: where is noted
        which requests took long; those of Redis have been given theirs. ``users``: who may log in; without them
        everybody may do everything. ``transport``: reads and writes a socket; raises OSError if the peer has reset it.
        """
        self._transport = transport
        self._poller = poller
        self._limits = limits
        guarded = handlers if guard is None else {name: guard(name, each) for name, each in handlers.items()}
        said: dict[str, Handler] = {HELLO: lambda _caller, _msgid, _params: ANSWER, **(others or {})}
        said[HELLO] = self._noting_nodes(said[HELLO])
        self._rooms = Rooms(handlers, guarded, limits, cores, said, resp, slow)
        self._clients = self._rooms.for_all(looks=False)
        self._guarded = self._rooms.for_all(looks=True) if guard is not None else self._clients
        self._admitted = self._clients
        """Who serves clients of which nothing is known; where there are users, whether they are trusted."""
        self._refusal: tuple[errors.Refused, Collection[str]] | None = None
        """What is refused now, but for these methods."""
        for_guests = {name: self._for_guests(name, handler) for name, handler in guarded.items()}
        said_there = {name: self._for_guests(name, said[name]) for name in said.keys() & {HELLO, DIRECT}}
        self._for_lobby = self._rooms.for_guests(for_guests, said | said_there)
        self.logins = Logins(users, self._new_inbox, self._let_in) if users is not None else None
        """Who has logged in, where there are users."""
        self._listener: Listener | None = None
        tick = min(TICK, limits.unfinished_seconds / 4)
        self._ticker: Any = poller.loop.timer(tick, tick)
        self._shares = self._dealt(max(1, int(limits.unfinished_seconds / 2 / tick)))
        self._connections: set[Connection] = set()
        self._draining = False
        self._lobby = Lobby()
        self._places = Places(limits, files, self._lobby)
        self.clients = Clients(
            *(self._connections, self._places.nodes, cores),
            lambda: Totals(self.accepted, self.requests),
            self.logins.name_of if self.logins is not None else lambda _: "",
        )
        """Which of them ask most."""
        self.rejected = 0
        """Connections that found all places taken."""
        self.accepted = 0
        """All that there have been, these included."""

    def listen(self, address: Address) -> Address:
        """Binds and starts to accept; returns the address with the port that was given for port 0. Raises OSError."""
        sock = bound(address)
        try:
            self._places.open()
        except OSError:
            sock.close()
            raise
        for inbox in {self._clients, self._admitted} if self.logins is None else {self.logins.strangers}:
            self._poller.add_receiver(inbox)
        self._listener = Listener(self._poller.loop, sock, self._is_full, self._accept)
        self._ticker.start(self._tick)
        return Address(address.host, sock.getsockname()[1])

    @property
    def places(self) -> int:
        """Clients that are served at a time."""
        return self._places.count

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def requests(self) -> int:
        """Requests that came, since the start."""
        return sum(counter.requests for counter in {counter for inbox in self._inboxes for counter in inbox.counters})

    @property
    def in_flight(self) -> int:
        """Requests that were read and are not answered yet."""
        return sum(connection.in_flight for connection in self._connections)

    @property
    def idle(self) -> bool:
        """Whether all requests that were read are answered and all answers sent."""
        return all(connection.idle for connection in self._connections)

    def refuse(self, error: errors.Refused, but: Collection[str] = ()) -> None:
        """From now on answers every request with the error, ``but`` those of these methods."""
        self._refusal = (error, but)
        for inbox in self._serving:
            inbox.refuse_everything(error, but)

    def admit(self) -> None:
        """Takes that back."""
        self._refusal = None
        for inbox in self._serving:
            inbox.refuse_nothing()

    @property
    def _inboxes(self) -> set[Inbox]:
        return {*self._serving, self.logins.strangers} if self.logins is not None else self._serving

    @property
    def _serving(self) -> set[Inbox]:
        """Those that do more than to ask who it is."""
        of_users = self.logins.of_users if self.logins is not None else ()
        return {self._clients, self._guarded, self._for_lobby, *of_users}

    # --- who serves whom -----------------------------------------------------------------------------------------

    def _inbox_of(self, connection: Connection, *, trusted: bool = False) -> Inbox:
        """``trusted``: without a look whether its requests are for this node."""
        if self.logins is not None:
            return self.logins.inbox_of(connection, looks=not trusted and self._admitted is not self._clients)
        return self._clients if trusted else self._admitted

    def _new_inbox(self, logins: Logins, rights: Rights | None, looks: bool, meter: Meter | None) -> Inbox:
        inbox = self._rooms.for_users(logins, rights, looks=looks, meter=meter)
        if self._refusal is not None and rights is not None:
            inbox.refuse_everything(*self._refusal)
        if rights is not None:
            self._poller.add_receiver(inbox)
        return inbox

    def _let_in(self, connection: Connection, level: Level) -> None:
        """Has a client that has logged in served by what it may do. Raises Overloaded."""
        if connection in self._lobby.guests and not self._admit(connection):
            if level == "admin":
                self._lobby.is_operator(connection)
            elif level != "node" or not self._lobby.is_node(connection):
                raise self._no_place()
        self._inbox_of(connection).adopt(connection)

    def trust_nobody(self) -> None:
        """From now on looks at each request, but those of whom it is told to :meth:`trust`."""
        if self._admitted is self._clients:
            self._admitted = self._guarded
            if self._listener is not None:
                self._poller.add_receiver(self._guarded)
            for connection in self._connections - self._lobby.guests.keys():
                self._inbox_of(connection).adopt(connection)

    def trust(self, caller: Caller, trusted: bool) -> bool:
        """Whether to trust whoever called. False if that has to be said again: a guest is looked at all the same."""
        connection = cast(Connection, caller.line) if isinstance(caller, Session) else None
        if connection in self._lobby.guests:
            return False
        if connection in self._connections:
            inbox = self._inbox_of(connection, trusted=trusted)
            if connection.inbox is not inbox.inbox:
                inbox.adopt(connection)
        return True

    def drain(self, error: errors.Refused, but: Collection[str] = ()) -> None:
        """As :meth:`refuse`, for the rest of its time. It goes on accepting, so that those methods can be asked how far
        the drain is."""
        self._draining = True
        self.refuse(error, but)

    def close(self) -> None:
        """Closes everything at once."""
        self._ticker.stop()
        for inbox in self._inboxes:
            self._poller.remove_receiver(inbox)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close("")

    # --- accepting -----------------------------------------------------------------------------------------------

    def _is_full(self) -> bool:
        return not self._has_place and self._lobby.is_busy

    def _accept(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        peer = str(Address(str(address[0]), int(address[1])))
        is_guest = not self._has_place
        if is_guest:
            self.rejected += 1
            log.warning(events.PLACES_TAKEN, peer, self.places, extra={"once_a_minute": "full"})
            if (oldest := self._lobby.oldest) is not None:
                oldest.close("")
        by_place = self._for_lobby if is_guest else self._admitted
        inbox = self.logins.strangers if self.logins is not None else by_place
        try:
            transport = self._transport(sock)
            connection = Connection(self._poller, transport, peer, self._limits, inbox, self._connection_closed)
        except OSError as error:  # it was reset between the kernel's accept and ours
            log.info(events.CONNECTION_GONE, peer, extra={"once_a_minute": error.strerror})
            sock.close()
            return
        self._connections.add(connection)
        if self.logins is not None:
            self.logins.came(connection)
        self.accepted += 1
        log.debug("connection from %s", peer)
        if is_guest:
            if not self._lobby.guests:
                self._poller.add_receiver(self._for_lobby)
            self._lobby.enter(connection)

    def _connection_closed(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        self._lobby.leave(connection)
        self._places.forget(connection)
        if self.logins is not None:
            self.logins.forget(connection)
        if reason:
            kind = kind_of(reason)
            log.warning(events.CONNECTION_CLOSED, connection.peer, reason, extra={"once_a_minute": kind})
        else:
            log.debug("connection from %s ended", connection.peer)

    # --- places and guests ---------------------------------------------------------------------------------------

    @property
    def _has_place(self) -> bool:
        return len(self._connections) - len(self._lobby) < self.places

    def _noting_nodes(self, handler: Handler) -> Handler:
        """The handler of HELLO, which nobody says but another node."""

        def noted(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            if isinstance(caller, Session):
                self._places.is_node(cast(Connection, caller.line))
            return handler(caller, msgid, params)

        return noted

    def _for_guests(self, name: str, handler: Handler) -> Handler:
        """The handler for whoever may be in the lobby."""
        access = COMMANDS[name].access if name in COMMANDS else None

        def checked(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            guest = self._guest(caller)
            if access == "operator":
                if guest is not None:
                    self._lobby.is_operator(guest)
            elif name == HELLO:
                if guest is not None and not self._admit(guest) and self._lobby.is_node(guest):
                    self._admitted.adopt(guest)
            # What is no session has sent a notification.
            elif not isinstance(caller, Session) or (guest is not None and not self._admit(guest)):
                # A client that comes directly asks the primary then.
                raise self._no_place(errors.Refused if name == DIRECT else errors.Overloaded)
            return handler(caller, msgid, params)

        return handler if access == "anyone" else checked

    def _no_place(self, kind: type[errors.Refused] = errors.Overloaded) -> errors.Refused:
        return kind(f"all {self.places} places of clients are taken; the request was not carried out")

    def _guest(self, caller: Caller) -> Connection | None:
        """The guest who calls, if it is one; never for a notification."""
        connection = cast(Connection, caller.line) if isinstance(caller, Session) else None
        return connection if connection in self._lobby.guests else None

    def _admit(self, guest: Connection) -> bool:
        """Gives a guest one of the places of clients, if there is one, or somebody has one and has not logged in."""
        if not self._has_place and self.logins is not None:
            self.logins.end_oldest(but=self._lobby.guests)
        if not self._has_place:
            return False
        self._lobby.leave(guest)
        self._inbox_of(guest).adopt(guest)
        return True

    # --- looking after what is there -----------------------------------------------------------------------------

    def _tick(self) -> None:
        self._look_after_guests()
        self._look_after_clients()
        if self.logins is not None:
            self.logins.look_after()
        self._look_after_files()
        self.clients.tick()

    def _look_after_guests(self) -> None:
        self._lobby.look_after()
        if not self._lobby.guests:
            self._poller.remove_receiver(self._for_lobby)

    def _look_after_clients(self) -> None:
        """Goes through all of them in half of the time that a message may be unfinished, some in each tick."""
        for connection in next(self._shares):
            if connection.is_open and connection not in self._lobby.guests:
                connection.look_after()

    def _dealt(self, ticks: int) -> Iterator[list[Connection]]:
        """All connections again and again, each time in so many shares."""
        while True:
            connections = list(self._connections)
            for tick in range(ticks):
                yield connections[tick::ticks]

    def _look_after_files(self) -> None:
        """Has whoever is beyond the places go, and sees to it that a drain gets the open files that it needs."""
        if self._listener is not None:
            self._listener.look_after()
        self._places.look_after(self._connections)
        if self._draining and not can_open_another():
            idle = [connection for connection in self._connections if connection.idle]
            for connection in idle:
                connection.close("")
            log.warning(events.CONNECTIONS_CUT_FOR_DRAIN, len(idle))
