"""A primary's way to the row that several primaries share: who leads, and the map.

:class:`ckv.cluster.candidate.Candidate` says what is asked of the row. Here is the greenlet that asks, one thing after
the other, and what becomes of the answers. Primaries that do not lead learn the map in the same way.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import gevent
import msgpack
from gevent.queue import SimpleQueue

from ckv import events
from ckv.address import WILDCARDS, Address, parse_address
from ckv.cluster.candidate import Candidate, Put, Step, StepDown
from ckv.cluster.election import PATIENCE, Beat, Election, Look, Row, Stand
from ckv.cluster.leader import Leader
from ckv.cluster.map import Map, show
from ckv.errors import BadSetting, Forbidden, TierUnavailable
from ckv.node.figures import Info
from ckv.node.routing import Routing
from ckv.node.troubles import Kind, Troubles
from ckv.persistent.coordinator import Coordinator, State

log = logging.getLogger(__name__)

SPREAD: Final = 1.0
"""Seconds by which one primary may be more patient than another one, so that they do not stand at once."""

LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts at most where the account is not let in, or may not do it."""

ATTEND_EVERY: Final = 5.0
"""Seconds from one time to the next at which a primary says that it is there, and looks for the others."""

ENDING: Final = 1.0
"""Seconds that a primary may take at its end to say that it leads no more. Else the others find out by themselves."""

EMPTY: Final[Info] = {
    "cluster_primaries": 1,
    "cluster_leader": "-",
    "cluster_coordinator": "-",
    "cluster_coordinator_connected": 1,
    "cluster_coordinator_reason": "-",
}
"""What INFO says without a coordinator."""


class Coordinating:
    """One of several primaries."""

    def __init__(
        self,
        coordinator: Coordinator,
        leader: Leader,
        routing: Routing,
        carry_out: Callable[[], None],
    ) -> None:
        """``carry_out``: is called after whatever may have changed what the leader wants to have done; it has to call
        :meth:`pass_on` in the end, which asks for what is wanted of the row."""
        self.candidate = Candidate(leader, Election(patience=PATIENCE + random.uniform(0, SPREAD)))
        self._coordinator = coordinator
        self._routing = routing
        routing.when_behind = self.look
        self._carry_out = carry_out
        self._steps: SimpleQueue[Step] = SimpleQueue()
        self._under_way: list[type] = []
        """The kinds of steps that are not answered yet."""
        self._lost = 0
        """How often it was logged that it leads no more."""
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._troubles = Troubles(coordinator.name)
        self.primaries: tuple[Address, ...] = ()
        """All of them that are there, this one included."""
        self._attend_from = self._stand_from = float("-inf")
        """From when on it says that it is there, and stands."""
        self._leads = ("", 0)
        """Which other primary was said last to lead, and in which term."""
        self._address: Callable[[], Address | None] = lambda: None
        self._advertised = ""

    @property
    def name(self) -> str:
        """That of the coordinator."""
        return self._coordinator.name

    def begin(self, address: Callable[[], Address | None], advertised: str) -> None:
        """Takes part from when it is known where the primary listens. ``advertised``: at which host others reach it, if
        that is said; else the one that it listens on, or with a wildcard the one from which it reaches the row."""
        self._address, self._advertised = address, advertised
        self._greenlet = gevent.spawn(self._run)

    def tick(self) -> None:
        """To be called ten times a second, or so."""
        self.candidate.tick(time.monotonic())
        self.pass_on()
        self._troubles.say(show(self._routing.router.version), time.monotonic())

    def pass_on(self) -> None:
        """Asks what is to be asked."""
        if self.candidate.lost > self._lost:
            self._lost = self.candidate.lost
            log.warning(events.LEADS_NO_MORE, self._troubles.reason or "another primary may have taken its place")
        if not self.candidate.election.name:
            self._find_name()
        for step in self.candidate.take():
            may_stand = self.candidate.election.name and time.monotonic() >= self._stand_from
            if isinstance(step, Stand) and not may_stand:
                continue
            self._ask(step)

    def look(self) -> None:
        """Somebody knows a later map: looks at once."""
        self._ask(Look())

    def step_down(self) -> None:
        """Leads no more, as the primary is about to end. It goes on to learn the map."""
        if self.candidate.election.term is not None:
            log.info(events.STEPS_DOWN)
        self.candidate.step_down()
        self._lost = self.candidate.lost
        self.pass_on()

    def end(self) -> None:
        """Leads no more, and says so if that can be done soon."""
        self.step_down()
        if self._greenlet is not None:
            deadline = time.monotonic() + ENDING
            while self._under_way and time.monotonic() < deadline:
                gevent.sleep(0.01)
            self._greenlet.kill()
        self._coordinator.close()

    def figures(self) -> Info:
        """What INFO says of it."""
        election = self.candidate.election
        return {
            "cluster_primaries": max(1, len(self.primaries)),
            "cluster_leader": (election.name if election.term is not None else election.row.leader) or "-",
            "cluster_coordinator": self._coordinator.name,
            "cluster_coordinator_connected": int(self._troubles.answers),
            "cluster_coordinator_reason": self._troubles.reason or "-",
        }

    def _find_name(self) -> None:
        address = self._address()
        if address is None:
            return
        host = self._advertised or (address.host if address.host not in WILDCARDS else self._coordinator.local_host)
        if host:
            self.candidate.election.name = str(Address(host, address.port))

    def _ask(self, step: Step) -> None:
        if isinstance(step, Look | Beat) and type(step) in self._under_way:
            return  # the next one comes soon
        self._under_way.append(type(step))
        self._steps.put(step)

    # --- what is asked, one after the other ------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 1.0
        while True:
            step = self._steps.get()
            asked_at = time.monotonic()
            try:
                self._carry_step(step, asked_at)
            except Exception as error:  # noqa: BLE001 - the next question may be answered, whatever this is
                self._failed(step, error, asked_at)
                if _is_shut_out(step, error):
                    gevent.sleep(pause)  # it may count the attempts, and block the account
                    pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = 1.0
                self._troubles.worked(_kind(step))
                self._attend(asked_at)
            self._under_way.remove(type(step))
            try:
                self._carry_out()
            except Exception:
                log.exception(events.DECISION_DEFECT)

    def _failed(self, step: Step, error: Exception, asked_at: float) -> None:
        now = time.monotonic()
        self._troubles.failed(_kind(step), error, now)
        log.debug("the coordinator did not answer %s: %s", type(step).__name__, error)
        if isinstance(step, Put):  # unless that was answered, and it came later
            self.candidate.put(step, None, asked_at, now)
        if isinstance(step, Stand) and isinstance(error, Forbidden):
            self._stand_from = now + LONGEST_PAUSE  # each attempt costs a connection

    def _attend(self, now: float) -> None:
        name, election = self.candidate.election.name, self.candidate.election
        if not name or not election.stands or now < self._attend_from:
            return
        self._attend_from = now + ATTEND_EVERY
        found: list[Address] = []
        try:
            for address in self._coordinator.attend(name):
                with suppress(BadSetting):
                    found.append(parse_address(address))
        except Exception as error:  # noqa: BLE001 - as above
            self._troubles.failed("attend", error, now)
            if isinstance(error, Forbidden):
                self._attend_from = now + LONGEST_PAUSE
        else:
            self.primaries = tuple(found)
            self._troubles.worked("attend")

    def _carry_step(self, step: Step, asked_at: float) -> None:
        """Raises TierUnavailable, or what should not be."""
        candidate, coordinator = self.candidate, self._coordinator
        name = candidate.election.name
        match step:
            case Look():
                known, now = self._routing.router.version, time.monotonic()
                state = coordinator.look(known)
                row, before = _row(state), candidate.election.row
                if state.map is not None and candidate.believes(row, (state.term, state.epoch), known, now):
                    self._routing.take(_unpacked(state), push=False)
                candidate.looked(row, time.monotonic())
                if row != before and row.leader not in ("", name):
                    self._troubles.others_write()
                if state.leader not in ("", name) and (state.leader, state.term) != self._leads:
                    self._leads = (state.leader, state.term)
                    log.info(events.OTHER_LEADS, *self._leads)
            case Beat(term):
                candidate.beaten(step, coordinator.beat(name, term), asked_at)
            case Stand(row):
                found = coordinator.stand(name, *row, self._routing.router.latest)
                if found is not None:
                    log.info(events.ELECTED, found.term)
                    candidate.stood(_unpacked(found), found.is_new, asked_at, time.monotonic())
            case Put(expected, following):
                accepted = coordinator.replace(name, expected, following.version, _packed(following))
                candidate.put(step, accepted, asked_at, time.monotonic())
            case StepDown(term):
                coordinator.step_down(name, term)


def _kind(step: Step) -> Kind:
    return "read" if isinstance(step, Look) else "write"


def _is_shut_out(step: Step, error: Exception) -> bool:
    """Whether nothing can be asked at all, and often asking is not wanted."""
    if isinstance(error, Forbidden):
        return isinstance(step, Look)
    return isinstance(error, TierUnavailable) and error.login_refused


def _row(state: State) -> Row:
    return Row(state.term, state.leader, state.beat)


def _packed(world: Map) -> bytes:
    """A map without its version, which the row has by itself."""
    return bytes(msgpack.packb(world.pack()[2:]))


def _unpacked(state: State) -> Map:
    """Raises TierUnavailable."""
    version = (state.term, state.epoch)
    if state.map is None:
        return Map(version, (), Map.empty().owners)
    try:
        return Map.unpack([*version, *msgpack.unpackb(state.map)])
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise TierUnavailable(f"what it has is no map: {error}") from error
