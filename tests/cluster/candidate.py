"""A primary of the simulation that leads when it is elected: the real :class:`~ckv.cluster.candidate.Candidate`, over
the row and the map that the database has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ckv.cluster.candidate import Candidate, Put, Step, StepDown
from ckv.cluster.election import PATIENCE, Beat, Election, Look, Row, Stand
from ckv.cluster.leader import Leader
from ckv.cluster.map import Map
from ckv.cluster.messages import Beat as NodeBeat
from ckv.cluster.messages import Join, Leave
from ckv.persistent.coordinator import ANSWER_TIMEOUT
from tests.cluster.primary import Primary
from tests.cluster.schedule import Link

if TYPE_CHECKING:
    from tests.cluster.world import World


def place_of(port: int) -> int:
    """The number of the primary to which the address of a leader leads."""
    return port - 1


class Elected(Primary):
    """One of several."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, f"P{number}")
        self._link = Link(world.schedule, self, world.database, lingers=True)
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
        self._steps: list[Step] = []
        """What is to be asked of the row, one after the other; the first one is under way."""
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
        for step in self.candidate.take():
            self._ask(step)

    def _when_behind(self) -> None:
        self._ask(Look())

    def _ask(self, step: Step) -> None:
        if isinstance(step, Look | Beat) and any(type(each) is type(step) for each in self._steps):
            return  # the next one comes soon
        self._steps.append(step)
        if len(self._steps) == 1:
            self._carry_step()

    def _carry_step(self) -> None:
        step, asked_at, database = self._steps[0], self.schedule.now, self.world.database

        def answered(result: Any) -> None:
            self._answered(step, asked_at, result)
            self._steps.pop(0)
            if self._steps:
                self._carry_step()
            self._carry_out()
            self._send_parked()

        match step:
            case Look():
                self._link.call(database.look_who_leads, answered)
            case Beat(term):
                self._link.call(database.move_beat, answered, term)
            case Stand(row):
                self._link.call(database.stand, answered, self._address, row, self.router.latest)
            case Put(expected, following):
                self._link.call(database.replace, answered, self._address, expected, following)
            case StepDown(term):
                self._link.call(database.step_down, answered, term)
        self.schedule.at(ANSWER_TIMEOUT, self, self._too_late, step)

    def _too_late(self, step: Step) -> None:
        if self._steps and self._steps[0] is step:
            self._link.reset()

    def _answered(self, step: Step, asked_at: float, result: Any) -> None:
        led, now = self.leader.leads, self.schedule.now
        match step, result:
            case Look(), (Row() as row, world_map):
                known = self.router.version
                if world_map is not None and self.candidate.believes(row, world_map.version, known, now):
                    self._take_map(world_map)
                self.candidate.looked(row, now)
            case Beat(), (bool() as accepted,):
                self.candidate.beaten(step, accepted, asked_at)
            case Stand(), (Map() as world_map, bool() as is_new):
                self.schedule.count("elections")
                self.schedule.say("%s is elected: %s%s", self.name, world_map, ", which is new" if is_new else "")
                self.candidate.stood(world_map, is_new, asked_at, now)
            case Put(), (bool() as accepted,):
                self.candidate.put(step, accepted, asked_at, now)
            case Put(), _:
                self.candidate.put(step, None, asked_at, now)
        if led and not self.leader.leads:
            self.schedule.say("%s leads no more", self.name)
            self.schedule.count("leaders that are deposed")

    def hear(self, link: Link, number: int, message: Join | NodeBeat | Leave) -> None:
        instead = self.candidate.instead()
        if instead is None:
            super().hear(link, number, message)
        else:
            link.answer(number, instead)
