"""A primary of the simulation that leads when it is elected: the real :class:`~ckv.cluster.election.Election`, over the
row and the map that the database has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ckv.cluster.election import PATIENCE, Beat, Election, Look, Stand
from ckv.cluster.leader import Leader
from ckv.cluster.map import Map
from ckv.cluster.messages import Again, Elsewhere, Join, Leave
from ckv.cluster.messages import Beat as NodeBeat
from ckv.cluster.outputs import Replace
from tests.cluster.primary import Primary
from tests.cluster.schedule import Link

if TYPE_CHECKING:
    from tests.cluster.world import World

ROWS: Final = "P"
"""What the names of primaries begin with; their number is behind it."""


class Candidate(Primary):
    """One of several."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name, leads=True)
        self._link = Link(world.schedule, self, world.database)
        self._replacing: Map | None = None
        self.leader: Leader

    def boot(self) -> None:
        self._begin()

    def start_with(self, world_map: Map) -> None:
        self._begin()
        self._take_map(world_map)

    def _begin(self) -> None:
        super()._begin()
        self.election = Election(self.schedule.chance.uniform(PATIENCE, PATIENCE + 1))
        self._replacing = None

    def _tick(self) -> None:
        self.election.tick(self.schedule.now)
        for output in self.election.take():
            match output:
                case Look():
                    self._link.call(self.world.database.look_who_leads, self._seen)
                case Beat(term):
                    self._beat(term)
                case Stand():
                    self._stand(output)
        super()._tick()

    def _seen(self, result: Any) -> None:
        match result:
            case (row, Map() as world_map):
                self._take_map(world_map)
                self._send_parked()
                self.election.seen(row, self.schedule.now)

    def _beat(self, term: int) -> None:
        asked_at = self.schedule.now

        def beaten(result: Any) -> None:
            match result:
                case (bool() as accepted,):
                    self.election.beaten(term, accepted, asked_at)
                    self._look_whether_it_leads()

        self._link.call(self.world.database.move_beat, beaten, term)

    def _stand(self, output: Stand) -> None:
        asked_at = self.schedule.now

        def told(result: Any) -> None:
            match result:
                case (Map() as world_map,):
                    self.schedule.count("elections")
                    self.schedule.say(f"{self.name} is elected: {world_map}")
                    self.election.won(world_map.version[0], asked_at)
                    self.leader.certain_until = self.election.certain_until
                    self.leader.elected(world_map, self.schedule.now)
                    self._carry_out()

        self._link.call(self.world.database.stand, told, self.name, output.row)

    def _look_whether_it_leads(self) -> None:
        self.leader.certain_until = self.election.certain_until
        if self.election.term is None and self.leader.leads:
            self.schedule.say(f"{self.name} leads no more")
            self.leader.deposed()
            self._carry_out()
            self._send_parked()

    def _replace(self, output: Replace) -> None:
        self._replacing = following = output.following
        term = self.election.term

        def told(result: Any) -> None:
            if self._replacing is not following or self.election.term != term:
                return  # of a time when it led
            self._replacing = None
            if result == (True,):
                self.leader.replaced(True, self.schedule.now)
                self._carry_out()
            else:
                # Refused, or nobody knows: whoever leads next reads what there is.
                self.election.lost()
                self._look_whether_it_leads()

        self._link.call(self.world.database.replace, told, term, self.leader.map.version, following)

    def hear(self, link: Link, number: int, message: Join | NodeBeat | Leave) -> None:
        if self.leader.leads:
            super().hear(link, number, message)
            return
        leader = self.election.row.leader
        if leader in ("", self.name):
            link.answer(number, Again())
        else:
            link.answer(number, Elsewhere("host", int(leader.removeprefix(ROWS))))
