"""Who calls the primaries of the simulation, and takes note of what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.linearizable import NEVER, Call
from tests.cluster.schedule import Beside

if TYPE_CHECKING:
    from tests.cluster.world import World

ANSWER: Final = 3.0
"""Seconds for which a client waits."""


class Client:
    """One that calls, one call after the other. It is beside the primaries: whatever is on its way between them only
    makes more orders of calls possible."""

    def __init__(self, world: World, name: str) -> None:
        self.schedule = world.schedule
        self.name = name
        self._world = world
        self._links = [Beside(world.schedule, primary) for primary in world.primaries]
        self._count = 0
        world.schedule.at(world.begins + world.schedule.chance.uniform(0, 0.2), None, self._next)

    def _next(self) -> None:
        world, chance = self._world, self.schedule.chance
        if self.schedule.now > world.ends:
            return
        self._count += 1
        key = chance.choice(world.key_names)
        kind = "write" if chance.random() < 0.5 else "read"
        # The one that follows is asked less: it would hide what the others do.
        place = -1 if chance.random() < 0.3 else chance.randrange(len(world.primaries) - 1)
        self.call(place, kind, key, f"{self.name}.{self._count}", self._go_on)

    def _go_on(self, _answered: bool) -> None:
        self.schedule.at(self.schedule.chance.uniform(0.01, 0.2), None, self._next)

    def call(self, place: int, kind: str, key: str, value: str, then: Callable[[bool], object]) -> None:
        """Of the primary at that place; ``then`` is told whether it was answered."""
        world, schedule = self._world, self.schedule
        primary = world.primaries[place]
        began = schedule.now
        done = False

        def answered(result: tuple[Any, ...] | None) -> None:
            nonlocal done
            if done:
                return
            done = True
            match result:
                case ("ok", seen):
                    world.note(key, Call(began, schedule.now, kind, value if kind == "write" else seen))  # type: ignore[arg-type]
                case ("refused",):
                    world.failed(f"{kind} {key} refused")
                case _:
                    world.failed(f"{kind} {key}: outcome unknown")
                    if kind == "write":
                        world.note(key, Call(began, NEVER, "write", value))
            then(result is not None and result[0] == "ok")

        schedule.at(ANSWER, None, answered, None)
        self._links[place].call(primary.client_call, answered, kind, key, value)
