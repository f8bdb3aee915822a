"""What a primary and a secondary have in common: an address, signals, and an orderly end."""

from __future__ import annotations

import errno
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event

from ckv import __version__, core, errors, events, logs
from ckv.address import Address
from ckv.exits import Exit
from ckv.net.logins import figures_of
from ckv.net.poller import Poller
from ckv.net.server import Server
from ckv.net.transport import Transport
from ckv.node.figures import NO_TLS, Info, processor_seconds, resident_bytes
from ckv.node.handlers import complete, own
from ckv.node.heap import Heap
from ckv.node.manager import READY, STOPPING, Manager
from ckv.node.naming import Naming
from ckv.node.overview import Overview
from ckv.node.pages import Check, Pages
from ckv.node.picture import Picture
from ckv.node.signals import Signals
from ckv.node.survey import Row, row_of
from ckv.node.turns import Turns
from ckv.protocol.handler import NO_CORES, Cores, Handler
from ckv.protocol.limits import Limits
from ckv.protocol.slow import SlowLog
from ckv.redis.placing import Placing
from ckv.redis.subscribers import Channels
from ckv.redis.table import for_node
from ckv.security.users import UsersFile

if TYPE_CHECKING:
    from ckv.net.handshakes import Handshakes
    from ckv.net.http import HttpServer
    from ckv.node.joining import Joining
    from ckv.security.certificates import Certificates

log = logging.getLogger(__name__)

POLL: Final = 0.01
"""Seconds between two looks at whether a drain is done."""

ANSWERED: Final = ("PING", "INFO", "NODES")
"""Commands that are answered also while it starts and while it drains: they cost nothing, and tell an operator that the
node is alive and how far it is."""

GOODBYE: Final = 1.0
"""Seconds at the end for clients to read the answers that are still unsent."""

TICK: Final = 1.0
"""Seconds between two looks at what is to be done now and then."""

COLLECT_AFTER: Final = 25_000
"""Objects made, and not gone yet, before the collector looks for circles among them. With Python's own 700 it would
mostly find rows that are on their way to the database, and go by themselves."""

Wait = Callable[[Callable[[], bool]], bool]
"""Waits for a condition within what is left of the drain time-out; whether it came true."""


class Node:
    """One listening process, from its start to its end."""

    def __init__(
        self,
        role: str,
        limits: Limits,
        drain_timeout: float,
        files: int,
        held: Callable[[], int] = lambda: 0,
        *,
        keys_max: int,
        slow_time: float,
        http: Address | None = None,
        users: UsersFile | None = None,
        certificates: Certificates | None = None,
        rereads: bool = False,
    ) -> None:
        """``files``: the open files that the role needs beside the connections that it serves. ``held``: bytes of
        memory of what it keeps. ``keys_max``: the most keys in one answer to KEYS. ``slow_time``: seconds from which on
        a request is slow. ``http``: where it tells its figures. ``users``, ``certificates``: None for no login, TLS;
        with one of them, or ``rereads``, SIGHUP does not end the node, and has :attr:`reread` called."""
        self.loop: Any = gevent.get_hub().loop
        self.poller = Poller(self.loop)
        self.limits = limits
        self._role = role
        self.drain_timeout = drain_timeout
        self._files = files
        self._http_address = http
        self._http: HttpServer | None = None
        if http is not None:
            from ckv.net.http import FILES, HttpServer  # which few nodes need, and takes time and memory

            self._files += FILES
            self._http = HttpServer(lambda environ, start: self._pages(environ, start))
        self._keys_max = keys_max
        self.slow = SlowLog(slow_time, time.monotonic, time.time)
        """Which requests took long, and how long all took."""
        self._stop = Event()
        self._hurry = self._lost = self._ends = False
        """``_ends``: whether it serves nothing more, for good."""
        self._serves = False
        """Whether it has begun to serve, and has its name."""
        self._has_name = self._has_place = True
        self._started = time.monotonic()
        self._server: Server
        self._overview: Overview | None = None
        """Where there is HTTP."""
        self._checks: dict[str, Check] = {}
        self.address: Address | None = None
        """Where it listens; None before it does."""
        self._users = users
        self._handshakes: Handshakes | None = None
        if certificates is not None:
            from ckv.net.handshakes import Handshakes  # it loads OpenSSL

            self._handshakes = Handshakes(self.loop, certificates)
        self._signals = Signals(self.stop, self._reload if users or certificates or rereads else None)
        self.reread: Callable[[], None] = lambda: None
        self._manager = Manager()
        self._heap = Heap(held)
        self._channels = Channels()
        self.placing = Placing()
        """What clients are told that go to the owners of keys by themselves."""
        self.when_reloaded: Callable[[], None] = lambda: None
        """Is called at SIGHUP, when the files were read again."""
        self._ticker: Any = self.loop.timer(TICK, TICK)
        self._ticker.start(self._tick)

    def stop(self, hurry: bool) -> None:
        """Asks the node to drain, and with ``hurry`` to give up what is left."""
        self._hurry |= hurry
        self._stop.set()

    def lost_name(self) -> None:
        """Another process is this node now: it answers nothing more, and ends."""
        if not self._lost:
            self._lost = self._ends = True
            self._server.drain(errors.Draining("another process has taken the name of the node"))
            self.stop(hurry=True)

    def admit(self, serves: bool) -> None:
        """Whether the node has its name. While it has not, requests are answered with ``Starting``."""
        if not self.stopping:
            self._serves = self._has_name = serves
            self._admit()

    def place(self, is_known: bool) -> None:
        """Whether it is known by what the node serves: a list, or a map. While it is not, requests are answered with
        ``Starting``."""
        # Also when it was told to stop: whoever has just joined then hands over what it has been given, before it ends.
        if not self._ends:
            self._has_place = is_known
            self._admit()

    def _admit(self) -> None:
        if not self._has_name:
            why = errors.Starting("the node may not be the only one of its name; its log says more")
            self._server.refuse(why, ANSWERED)
        elif not self._has_place:
            why = errors.Starting("it is not known yet whether the node is one of a cluster, and what it serves there")
            self._server.refuse(why, ANSWERED)
        else:
            self._server.admit()

    def _reload(self) -> None:
        logins = self._server.logins if self.address is not None else None
        parts: dict[str, Callable[[], None] | None] = {
            "settings": self.reread,
            "users": logins.reload if logins is not None else None,
            "certificates": self._handshakes.reload if self._handshakes is not None else None,
            "login at other nodes": self.when_reloaded,
        }
        for name, read in parts.items():
            try:
                if read is not None:
                    read()
            except Exception:  # or users who are gone could go on, for the defect of another part
                log.exception(events.RELOAD_DEFECT, name)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def _tick(self) -> None:
        self._signals.tick()
        logs.tick()
        self._heap.look()
        self._manager.tick()
        if self._overview is not None:
            self._overview.tick()

    def serve(
        self,
        address: Address,
        handlers: Mapping[str, Handler],
        description: str,
        drain: Callable[[Wait], int],
        quick: Cores = NO_CORES,
        naming: Naming | None = None,
        name: str = "",
        others: Mapping[str, Handler] | None = None,
        joining: Joining | None = None,
        *,
        figures: Callable[[], Info],
        checks: Mapping[str, Check],
        picture: Callable[[], Picture],
    ) -> int:
        """Serves until it is told to stop; the exit code.

        ``drain`` saves what the role has to save; it returns how many records were left. ``quick`` is compiled code
        that answers what it can before the handlers are asked. With ``naming`` it serves when ``name`` is its own;
        without one that is the host's and the port. ``others``: what only nodes ask. ``joining``: its part in a
        cluster whose nodes join. ``figures``: what INFO answers. ``checks``: what has to be well for it to be ready.
        ``picture``: its cluster, as far as it knows it.
        """
        alone = {"NODES": own("NODES", lambda: [row_of(figures())]), "CLIENTS": own("CLIENTS", self.clients)}
        handlers = {**alone, **handlers, "INFO": own("INFO", figures)}
        handlers["SLOWLOG"] = own("SLOWLOG", self.slow.asked)
        self._checks = {"serving": self._why_not_serving, **checks}
        self._server = Server(
            *(self.poller, complete(handlers), self.limits, self._files, quick, others),
            for_node(
                self.limits,
                subscribers=self._channels,
                placing=self.placing,
                slow=self.slow,
                keys_max=self._keys_max,
                next_turn=Turns().add,
            ),
            joining.guard.guarded if joining is not None else None,
            self.slow,
            self._users,
            self._handshakes.transport if self._handshakes is not None else Transport,
        )
        if joining is not None:
            joining.guard.opens(self._server, self.poller)
            self.place(False)
            joining.when_placed = lambda: self.place(True)
        try:
            bound = self._listen(address, naming, name)
        except OSError as error:
            log.error(events.CANNOT_LISTEN, self._role, address, error.strerror or error)
            return Exit.CANNOT_START
        self.address = bound
        if self._http is not None and self._http_address is not None:
            self._overview = Overview(figures, picture, self.slow, time.time, handlers["NODES"])
            # Not 0 seconds: a callback of the loop could come before it has looked at the sockets.
            self._pages = Pages(figures, self._checks, self._overview, lambda: gevent.sleep(0.0001))
            try:
                at = self._http.listen(self._http_address)
            except OSError as error:
                log.error(events.HTTP_CANNOT_LISTEN, self._role, self._http_address, error.strerror or error)
                self._server.close()
                return Exit.CANNOT_START
            log.info(events.HTTP_READY, at)
        if naming is not None:
            naming.begin(name or f"{socket.gethostname()}:{bound.port}", listens=True)
            while not (naming.decided or self.stopping):
                gevent.sleep(POLL)
            description += f" name={naming.name} incarnation={naming.incarnation}"
        self._serves = self._serves or naming is None
        if joining is not None and not self.stopping:
            joining.begin(bound)
            while not (joining.has_heard or self.stopping):
                gevent.sleep(POLL)
        log.info(events.READY, self._role, bound, core.KIND, description)
        # What exists now lives for ever; the collector need not look at it again (nor walk through all the records).
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        if not self.stopping:
            self._manager.tell(READY, f"STATUS={self._role} on {bound}")
        self._stop.wait()
        self._manager.tell(STOPPING)
        wait = self._wait_for(time.monotonic())
        if joining is not None and not self._lost:
            joining.leave(wait)
        return self._drain(drain, wait)

    def _listen(self, address: Address, naming: Naming | None, name: str) -> Address:
        """Raises OSError. Waits for a port that a process of the same name has, which was told to stop."""
        while True:
            try:
                return self._server.listen(address)
            except OSError as error:
                if naming is None or error.errno != errno.EADDRINUSE or self.stopping:
                    raise
                naming.begin(name or f"{socket.gethostname()}:{address.port}", listens=False)
                if not naming.awaits_end:
                    raise
                gevent.sleep(POLL)

    def _why_not_serving(self) -> str:
        if self.stopping:
            return "it was told to stop"
        return "" if self._serves else "it does not serve yet, or not any more; its log says why"

    def figures(self) -> Info:
        """What INFO says about the process, whatever its role is. Only for a node that serves."""
        why = "; ".join(reason for check in self._checks.values() if (reason := check()))
        return {
            "ckv_version": __version__,
            "role": self._role,
            "process_id": os.getpid(),
            "tcp_port": self.address.port if self.address is not None else 0,
            "uptime_in_seconds": int(time.monotonic() - self._started),
            "draining": int(self.stopping),
            "ready": int(not why),
            "ready_reason": why or "-",
            "used_memory_rss": resident_bytes(),
            **processor_seconds(),
            **logs.figures(),
            "connected_clients": self._server.connections,
            "maxclients": self._server.places,
            "total_connections_received": self._server.accepted,
            "rejected_connections": self._server.rejected,
            **figures_of(self._server.logins),
            **(self._handshakes.figures if self._handshakes is not None else NO_TLS),
            "total_commands_processed": self._server.requests,
            **self.slow.errors.figures(),
            "slow_requests": self.slow.count,
            "pubsub_channels": len(self._channels),
            "pubsub_patterns": self._channels.patterns,
            "pubsub_clients": self._channels.clients,
            "pubsub_messages": self._channels.delivered,
            "pubsub_cut_off": self._channels.cut_off,
        }

    def clients(self, count: object) -> list[Row]:
        """What CLIENTS answers of this node. Raises BadArguments."""
        return [["", "", self._server.clients.told(count)]]

    def _wait_for(self, began: float) -> Wait:
        """Waits within what is left of the drain time-out, which ``began`` then."""

        def wait(condition: Callable[[], bool]) -> bool:
            while not condition():
                if self._hurry or time.monotonic() - began > self.drain_timeout:
                    return False
                gevent.sleep(POLL)
            return True

        return wait

    def _drain(self, drain: Callable[[Wait], int], wait: Wait) -> int:
        server = self._server
        began = time.monotonic()
        self._ends = True
        log.info(events.DRAIN_BEGUN, server.connections)
        if not self._lost:
            server.drain(errors.Draining("the node is stopping; the request was not carried out"), ANSWERED)
        # Saving comes first: a client that does not read its answers must not use up the time for it.
        left = drain(lambda saved: wait(lambda: saved() and not server.in_flight))
        goodbye = time.monotonic() + GOODBYE
        wait(lambda: server.idle or time.monotonic() > goodbye)
        if self._http is not None:
            self._http.close()  # first: whoever waits for the other port has this one then too
        server.close()
        seconds = time.monotonic() - began
        if self._lost:
            log.error(events.NAME_LOST, left)
            return Exit.FENCED
        if left:
            log.error(events.DRAIN_UNFINISHED, seconds, left)
            return Exit.NOT_DRAINED
        log.info(events.DRAIN_DONE, seconds)
        return Exit.FINE
