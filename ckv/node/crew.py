"""Who of the workers of one kind is woken."""

from __future__ import annotations

from gevent.event import Event


class Crew:
    """The workers of one kind. One that has nothing to do is woken, and no other before it has looked."""

    def __init__(self) -> None:
        self.busy = 0
        """Workers that carry something, or try to."""
        self._idle: list[Event] = []

    def wake(self) -> None:
        """There is something to carry. Cheap, and never waits: the store calls it for every miss and every victim."""
        if self._idle:
            self._idle[-1].set()

    def wait(self, seconds: float | None) -> None:
        """Returns when there is something to carry, or after these seconds."""
        woken = Event()
        self._idle.append(woken)
        try:
            woken.wait(seconds)
        finally:
            self._idle.remove(woken)
