"""A primary of the simulation that never leads: the real :class:`~ckv.cluster.following.Follower`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ckv.cluster.following import Follower
from ckv.cluster.map import Map
from ckv.cluster.messages import Beat, Elsewhere, Follow, Join, Leave
from tests.cluster.primary import Primary
from tests.cluster.schedule import NOT_SENT, Link

if TYPE_CHECKING:
    from tests.cluster.world import World

ASK_EVERY: Final = 0.5
"""Seconds between two questions for the map."""


class Following(Primary):
    """It follows another one for ever."""

    def __init__(self, world: World, name: str, leader: Primary) -> None:
        super().__init__(world, name)
        self._followed = leader
        self._link = Link(world.schedule, self, leader)

    def boot(self) -> None:
        self._begin_to_route()
        self._follower = Follower()
        self._asks = False
        self.every(ASK_EVERY, self._ask)

    def start_with(self, world_map: Map) -> None:
        self.boot()
        self._take_map(world_map)

    def hear(self, link: Link, number: int, message: Join | Beat | Leave) -> None:
        link.answer(number, Elsewhere("host", self.world.primaries.index(self._followed) + 1))

    def _when_behind(self) -> None:
        self._ask()

    def _ask(self) -> None:
        if not self._asks:
            self._asks = True
            self._link.call(self._followed.hear_follower, self._answered, Follow(self.router.version))

    def _answered(self, answer: Any) -> None:
        self._asks = False
        world_map = self._follower.answered(answer) if answer is not None and answer != NOT_SENT else None
        if world_map is not None:
            self.schedule.count("maps that are followed")
            self._take_map(world_map)
            self._send_parked()
