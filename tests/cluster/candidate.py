"""A primary of the simulation that leads when it is elected: the real :class:`~ckv.cluster.candidate.Candidate`, over
the row and the map that the database has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ckv.cluster.candidate import Candidate, Put, StepDown
from ckv.cluster.election import PATIENCE, Beat, Election, Look, Row, Stand
from ckv.cluster.leader import Leader
from ckv.cluster.map import Map
from ckv.cluster.messages import Beat as NodeBeat
from ckv.cluster.messages import Join, Leave
from tests.cluster.primary import Primary
from tests.cluster.schedule import Link, ignored

if TYPE_CHECKING:
    from tests.cluster.world import World


def place_of(port: int) -> int:
    """The number of the primary to which the address of a leader leads."""
    return port - 1


class Elected(Primary):
    """One of several."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"P{number}")
        self._link = Link(world.schedule, self, world.database)
        self._address = f"host:{number + 1}"
        self.leader: Leader
        self.candidate: Candidate

    def boot(self) -> None:
        self._begin()

    def start_with(self, world_map: Map) -> None:
        self._begin()
        self._take_map(world_map)

    def _begin(self) -> None:
        super()._begin()
        self._looks = False
        patience = self.schedule.chance.uniform(PATIENCE, PATIENCE + 1)
        self.authority = self.candidate = Candidate(self.leader, Election(self._address, patience))

    def stop(self) -> None:
        """Is told to end."""
        self.schedule.say("%s is stopped", self.name)
        self.schedule.count("leaders that step down")
        self.candidate.step_down()
        self._carry_out()
        self.schedule.at(0.2, self, self.end)

    def _tick(self) -> None:
        self.candidate.tick(self.schedule.now)
        super()._tick()

    def _carry_out(self) -> None:
        """What the leader wants, and what is wanted of the row: either may bring about the other."""
        super()._carry_out()
        database, asked_at = self.world.database, self.schedule.now
        for step in self.candidate.take():
            match step:
                case Look():
                    self._look()
                case Beat(term):
                    self._link.call(database.move_beat, partial(self._beaten, step, asked_at), term)
                case Stand(row):
                    known = self.router.latest
                    self._link.call(database.stand, partial(self._stood, asked_at), self._address, row, known)
                case Put(expected, following):
                    told = partial(self._put, step, asked_at)
                    self._link.call(database.replace, told, self._address, expected, following)
                case StepDown(term):
                    self._link.call(database.step_down, ignored, term)

    def _when_behind(self) -> None:
        self._look()

    def _look(self) -> None:
        if not self._looks:
            self._looks = True
            self._link.call(self.world.database.look_who_leads, self._looked)

    def _looked(self, result: Any) -> None:
        self._looks = False
        match result:
            case (Row() as row, Map() as world_map):
                if self.candidate.believes(row, world_map.version, self.router.version, self.schedule.now):
                    self._take_map(world_map)
                self._send_parked()
                self.candidate.looked(row, self.schedule.now)
                self._carry_out()

    def _beaten(self, step: Beat, asked_at: float, result: Any) -> None:
        match result:
            case (bool() as accepted,):
                self._follow_up(self.candidate.beaten, step, accepted, asked_at)

    def _stood(self, asked_at: float, result: Any) -> None:
        match result:
            case (Map() as world_map, bool() as is_new):
                self.schedule.count("elections")
                is_new = is_new or world_map.version < self.router.latest  # of which it has heard meanwhile
                self.schedule.say("%s is elected: %s%s", self.name, world_map, ", which is new" if is_new else "")
                self._follow_up(self.candidate.stood, world_map, is_new, asked_at, self.schedule.now)

    def _put(self, step: Put, asked_at: float, result: Any) -> None:
        match result:
            case (bool() as accepted,):
                self._follow_up(self.candidate.put, step, accepted, asked_at, self.schedule.now)
            case _:
                self._follow_up(self.candidate.put, step, None, asked_at, self.schedule.now)

    def _follow_up(self, tell: Any, *arguments: Any) -> None:
        led = self.leader.leads
        tell(*arguments)
        if led and not self.leader.leads:
            self.schedule.say("%s leads no more", self.name)
            self.schedule.count("leaders that are deposed")
        self._carry_out()
        self._send_parked()

    def hear(self, link: Link, number: int, message: Join | NodeBeat | Leave) -> None:
        instead = self.candidate.instead()
        if instead is None:
            super().hear(link, number, message)
        else:
            link.answer(number, instead)
