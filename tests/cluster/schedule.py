"""Time, processes and connections of the simulation: nothing of it is real, and all of it comes from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from ckv.cluster.map import NO_VERSION, Version

NEXT: Final = 1e-7
"""Seconds between two messages of one connection that arrive at once."""


class Wrong(AssertionError):
    """Something that must not be."""


class Schedule:
    """What happens when. Whoever dies meanwhile does none of it; whoever is paused does it later."""

    def __init__(self, seed: str, say: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.links: list[Link] = []
        self.counts: dict[str, int] = {}
        self.saying = say
        self._next = 0
        self._heap: list[tuple[float, float, int, Process | None, int, Callable[..., object], tuple[Any, ...]]] = []

    def say(self, text: str, *arguments: object) -> None:
        """What a reader of the schedule sees, put together as in a log."""
        if self.saying is not None:
            self.saying(f"{self.now:8.4f}  {text % arguments}")

    def count(self, what: str, times: int = 1) -> None:
        """Counts how often something happened: what never does proves nothing."""
        self.counts[what] = self.counts.get(what, 0) + times

    def at(self, delay: float, process: Process | None, action: Callable[..., object], *arguments: Any) -> None:
        """Has it done after so many seconds, by that process in its present life."""
        self.at_time(self.now + delay, process, action, *arguments)

    def at_time(self, when: float, process: Process | None, action: Callable[..., object], *arguments: Any) -> None:
        """As :meth:`at`, at a moment."""
        self._next = number = self._next + 1
        life = process.life if process is not None else 0
        heappush(self._heap, (when, when, number, process, life, action, arguments))

    def run(self, until: float) -> None:
        """Has all done that is due by then."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, due, number, process, life, action, arguments = heappop(heap)
            self.now = when
            if process is not None:
                if process.life != life or not process.up:
                    continue
                if process.paused_until > when:
                    # Among those that wait for the same moment what was due first comes first.
                    heappush(heap, (process.paused_until, due, number, process, life, action, arguments))
                    continue
            action(*arguments)
        self.now = until


class Process:
    """What can stop, be paused, and start again."""

    def __init__(self, schedule: Schedule, name: str) -> None:
        self.schedule = schedule
        self.name = name
        self.life = 0
        self.up = True
        self.paused_until = 0.0

    def pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, self.schedule.now + seconds)
        self.schedule.say("%s is paused for %.2f s", self.name, seconds)

    def end(self) -> None:
        """It is no more: its connections break, and whoever waits for an answer of it hears that."""
        self.up = False
        self.life += 1
        self.paused_until = 0.0
        for link in self.schedule.links:
            if self in (link.client, link.server):
                link.reset()

    def every(self, seconds: float, action: Callable[[], object]) -> None:
        """Has it done again and again in this life, not quite evenly."""
        schedule = self.schedule

        def again() -> None:
            action()
            schedule.at(seconds * schedule.chance.uniform(0.9, 1.1), self, again)

        schedule.at(schedule.chance.uniform(0, seconds), self, again)

    def link_lost(self, link: Link) -> None:
        """A connection of which it is the server has broken."""


def ignored(_result: object) -> None:
    """For an answer that changes nothing."""


LINGERS: Final = 0.5
"""How often what was sent arrives though the connection has broken since."""

NOT_SENT: Final = ("not sent",)
"""The answer of a :class:`Link` to a call when there is no connection."""

Then = Callable[[Any], object]


class Link:
    """A connection from a client to a server, which is made anew when it has broken. Requests arrive in their order,
    and so do answers."""

    def __init__(self, schedule: Schedule, client: Process, server: Process, *, lingers: bool = False) -> None:
        """``lingers``: the server may read what is under way when it breaks, and answers nobody."""
        self.client, self.server = client, server
        self._lingers = lingers
        self._lingering: set[int] = set()
        """Of the connections before this one those of which what was sent still arrives."""
        self.declared: Version = NO_VERSION
        """What the server was told by EPOCH, and what the client has said."""
        self.said: Version = NO_VERSION
        self._schedule = schedule
        self._random = schedule.chance.random
        self._generation = 0
        self._there = self._back = 0.0
        self._stalled_until = 0.0
        self._down_until = 0.0
        self._calls = 0
        self._waiting: dict[int, Then] = {}
        schedule.links.append(self)

    def call(self, handler: Callable[..., object], then: Then, *arguments: Any) -> bool:
        """Has the server do ``handler(link, number, *arguments)``, which has to call :meth:`answer`. ``then`` is told
        the answer, None when the connection breaks before, or :data:`NOT_SENT`. Returns whether it was sent."""
        schedule = self._schedule
        if not self.server.up or schedule.now < self._down_until:
            if then is not ignored:
                schedule.at(0.01, self.client, then, NOT_SENT)
            return False
        self._calls = number = self._calls + 1
        self._waiting[number] = then
        when = schedule.now + self._latency()
        if when <= self._there:
            when = self._there + NEXT
        self._there = when
        schedule.at_time(when, self.server, self._arrived, self._generation, handler, number, arguments)
        return True

    def _latency(self) -> float:
        """Seconds: mostly one or two thousandths, sometimes up to thirty."""
        drawn = self._random()
        return 0.6 * drawn if drawn < 0.05 else 0.0005 + 0.002 * drawn

    def _arrived(
        self, generation: int, handler: Callable[..., object], number: int, arguments: tuple[Any, ...]
    ) -> None:
        if generation != self._generation and generation not in self._lingering:
            return
        if self._stalled_until > self._schedule.now:
            again = (generation, handler, number, arguments)
            self._schedule.at_time(self._stalled_until, self.server, self._arrived, *again)
            return
        handler(self, number, *arguments)

    def answer(self, number: int, result: Any) -> None:
        """Tells the client."""
        then = self._waiting.get(number)
        if then is ignored:
            del self._waiting[number]
        elif then is not None:
            when = self._schedule.now + self._latency()
            if when <= self._back:
                when = self._back + NEXT
            self._back = when
            self._schedule.at_time(when, self.client, self._answered, number, result)

    def _answered(self, number: int, result: Any) -> None:
        if self._stalled_until > self._schedule.now and number in self._waiting:
            self._schedule.at_time(self._stalled_until, self.client, self._answered, number, result)
            return
        then = self._waiting.pop(number, None)
        if then is not None:
            then(result)

    def is_open(self, number: int) -> bool:
        """Whether anybody waits for this answer."""
        return number in self._waiting

    def reset(self) -> None:
        """It breaks: what is under way arrives never, or nobody hears of it. Both ends know at once."""
        if self._lingers and self._random() < LINGERS:
            self._lingering.add(self._generation)
        self._generation += 1
        self.declared = self.said = NO_VERSION
        self._there = self._back = self._stalled_until = 0.0
        waiting, self._waiting = self._waiting, {}
        if self.client.up:
            for then in waiting.values():
                self._schedule.at(0.0005, self.client, then, None)
        if self.server.up:
            self.server.link_lost(self)

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes now."""
        return max(self._stalled_until, self._down_until) > self._schedule.now

    def cut(self, seconds: float, *, breaks: bool) -> None:
        """Nothing passes for so long; it ``breaks``, or all arrives late."""
        until = self._schedule.now + seconds
        if breaks:
            self.reset()
            self._down_until = max(self._down_until, until)
        else:
            self._stalled_until = max(self._stalled_until, until)
            # What is sent from now on comes behind what is on its way.
            self._there = max(self._there, until)
            self._back = max(self._back, until)


class Beside(Link):
    """One within a machine: nothing of it is on its way for any time, and it breaks with the server alone."""

    def __init__(self, schedule: Schedule, server: Process) -> None:
        super().__init__(schedule, server, server)

    def call(self, handler: Callable[..., object], then: Then, *arguments: Any) -> bool:
        schedule = self._schedule
        if not self.server.up:
            schedule.at(0.01, None, then, NOT_SENT)
            return False
        self._calls = number = self._calls + 1
        self._waiting[number] = then
        if self.server.paused_until > schedule.now:
            schedule.at(0, self.server, handler, self, number, *arguments)
        else:
            handler(self, number, *arguments)
        return True

    def answer(self, number: int, result: Any) -> None:
        then = self._waiting.pop(number, None)
        if then is not None:
            then(result)

    def reset(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for then in waiting.values():
            self._schedule.at(0.0005, None, then, None)
