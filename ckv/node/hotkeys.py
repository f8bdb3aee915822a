"""The keys that are asked for most often at this secondary lately: HOT; and how long handlers took.

It is always on, so it must cost next to nothing: of the requests for keys one in so many is looked at, chosen by chance
(Bernoulli sampling), by compiled code (``note`` in ``ckv/core/windows.pxi``) and around the handlers, which count down
to it. How many follows from how many come, so that not many more than :data:`MOST` are looked at in a second; while
there are fewer, all are. What is noted goes to a sketch (:mod:`ckv.node.frequent`).

How long it is to the next one has no memory: drawing it anew at any moment changes nothing of who is chosen. So
the same chance holds for all, wherever they are counted, and also when it changes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ckv.commands import COMMANDS
from ckv.node.frequent import Frequent
from ckv.protocol.handler import LATER, Caller, Handler
from ckv.protocol.latencies import BOUNDS, Latencies
from ckv.values import MAX_KEY_BYTES, checked_count, to_bytes, to_text

MOST: Final = 250
"""Keys that are looked at in a second, about, at some microseconds each. In a half-life these are thousands."""

HALF_LIFE: Final = 60.0
"""Seconds after which a call counts half."""

TOGETHER: Final = 25
"""Keys that are put into the sketch at a time: one by one, each would find its code in no cache of the processor."""

SKIPS: Final = 256
"""How often it is drawn beforehand how many requests to pass over, for the same reason."""

MAX_COUNT: Final = 100
"""The most keys in one answer."""

MAX_BYTES: Final = 48 * 1024
"""Of these keys: what nodes send each other is bounded."""


class Counting(Protocol):
    """Counts down to the next request whose key is noted: the ``Server`` of either protocol in ``ckv/core/``."""

    to_skip: int
    """Requests to pass over before that one."""


class _Handlers:
    __slots__ = ("to_skip",)

    def __init__(self) -> None:
        self.to_skip = 0


class HotKeys:
    """Those of one node."""

    def __init__(self, clock: Callable[[], float], latencies: Latencies) -> None:
        """``clock`` gives seconds that never go back. ``latencies``: is told how long requests took that are answered
        at once."""
        self._clock = clock
        self._latencies = latencies
        self._frequent = Frequent()
        self._stride = 1
        """One request in so many is noted."""
        self._log = 0.0
        """The logarithm of the chance that one is not."""
        self._taken = 0
        """That were noted in this second, or since the stride has changed in it, and are in the sketch."""
        self._noted: list[bytes] = []
        """Those that come next."""
        self._room = TOGETHER
        """How many of them there may be."""
        self._skips: list[int] = []
        """Drawn with the present chance."""
        self._raised = False
        """Whether it has."""
        self._handlers = _Handlers()
        self._counting: list[Counting] = [self._handlers]
        self._seconds = 0.0
        """In which the calls came; those of before count as their calls do."""
        self._known_until = self._second_ends = clock()
        self._halved = clock()

    # --- what is asked for -----------------------------------------------------------------------------------------

    def watch(self, server: Any) -> None:
        """Has compiled code, a ``Server`` of either protocol, note keys from now on."""
        self._counting.append(server)
        server.to_skip = self._to_skip()
        server.watch(self.sample, BOUNDS)
        self._latencies.take(server)

    def noting(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The handlers of methods, of which those about a key, their first argument, note it."""
        return {
            name: self._noting(name, handler) if COMMANDS[name].has_owner else handler
            for name, handler in handlers.items()
        }

    def _noting(self, name: str, handler: Handler) -> Handler:
        counting = self._handlers
        latencies = self._latencies
        clock = self._clock

        def noted(caller: Caller, msgid: int, params: tuple[object, ...]) -> object:
            counting.to_skip -= 1
            if counting.to_skip >= 0:
                return handler(caller, msgid, params)
            stride = self._stride
            counting.to_skip = self._sample_of(params)
            began = clock()
            result = handler(caller, msgid, params)
            if result is not LATER:
                latencies.add(name, clock() - began, stride)
            return result

        return noted

    def _sample_of(self, params: tuple[object, ...]) -> int:
        key = params[0] if params else None
        if isinstance(key, (str, bytes)) and len(key) <= MAX_KEY_BYTES:
            return self.sample(to_bytes(key))
        return self._to_skip()  # its handler refuses it

    def sample(self, key: bytes) -> int:
        """Takes note of a key that was asked for; how many requests to pass over before the next one."""
        noted = self._noted
        noted.append(key)
        if len(noted) >= self._room:
            self._take()
        return self._to_skip()

    def _take(self) -> None:
        """Puts into the sketch what was noted."""
        noted, self._noted = self._noted, []
        stride = self._stride
        for key in noted:
            self._frequent.add(key, stride)
        self._taken += len(noted)
        if self._taken >= MOST:
            self._raised = True
            self._change(2 * stride)
        self._room = min(TOGETHER, MOST - self._taken)

    def tick(self) -> None:
        """To be called several times a second."""
        now = self._clock()
        if now < self._second_ends:
            return
        self._second_ends = now + 1.0
        self._take()
        if not self._raised and self._stride > 1 and self._taken < MOST // 4:
            self._change(self._stride // 2)
        self._taken = 0
        self._room = TOGETHER
        self._raised = False
        self._go_on(now)
        if now >= self._halved + HALF_LIFE:
            self._halved = now
            self._seconds /= 2
            self._frequent.halve()

    def _change(self, stride: int) -> None:
        self._taken = 0
        self._stride = stride
        self._log = math.log1p(-1 / stride) if stride > 1 else 0.0
        self._skips = []
        for counting in self._counting:
            counting.to_skip = self._to_skip()

    def _to_skip(self) -> int:
        """By the geometric distribution: as often as it takes until a chance of one in the stride comes true."""
        if self._stride == 1:
            return 0
        if not self._skips:
            self._skips = [int(math.log(1.0 - random.random()) / self._log) for _ in range(SKIPS)]
        return self._skips.pop()

    # --- what is told ------------------------------------------------------------------------------------------------

    def told(self, count: object) -> list[object]:
        """What HOT answers: of how many seconds, calls a second for all keys, and up to ``count`` keys, each with its
        calls a second and how far off they may be. Raises BadArguments."""
        most = number_of_keys(count)
        self._take()
        self._go_on(self._clock())
        seconds = max(self._seconds, 1.0)
        keys: list[object] = []
        size = 0
        for key, calls, error in self._frequent.most(most):
            size += len(key)
            if size > MAX_BYTES:
                break
            keys.append([to_text(key), calls / seconds, error / seconds])
        return [seconds, self._frequent.calls / seconds, keys]

    def _go_on(self, now: float) -> None:
        self._seconds += now - self._known_until
        self._known_until = now


def number_of_keys(count: object) -> int:
    """How many keys are asked for. Raises BadArguments."""
    return checked_count(count, 1, MAX_COUNT)
