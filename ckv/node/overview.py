"""All that a node tells of itself at once, for the status page: its figures, what is wrong, its cluster, slow requests,
and what its counters were in the last ten minutes.

Round-robin samples in a bounded ring, as `RRDtool <https://oss.oetiker.ch/rrdtool/>`_ keeps them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ckv.node.figures import Info
from ckv.node.others import Others
from ckv.node.picture import Picture
from ckv.node.problems import LATELY, problems
from ckv.protocol.handler import Handler
from ckv.protocol.latencies import Latencies
from ckv.protocol.slow import SlowLog

SAMPLES: Final = 600
"""Samples that are kept: ten minutes, at one a second."""

RECENT: Final = 300
"""Samples back from now that still count as lately."""

SLOW: Final = 10
"""Slow requests that are told."""

TIMED: Final = ("timed_calls", "timed_calls_seconds")
"""Calls for single keys, and the time that they took together. They are no figures of INFO, which has no histograms."""

SAMPLED: Final = (
    *("total_commands_processed", "total_error_replies", "slow_requests", *TIMED, *LATELY),
    *("hits_memory", "hits_pending", "hits_persistent", "keyspace_misses", "flushes", "flush_seconds_total"),
)
"""Counters that are kept, where the role has them."""


class Overview:
    """What a node tells. It costs a node without ``--http`` nothing, as nobody calls :meth:`tick` there."""

    def __init__(
        self,
        figures: Callable[[], Info],
        picture: Callable[[], Picture],
        slow: SlowLog,
        now: Callable[[], float],
        nodes: Handler,
    ) -> None:
        """``now``: seconds of the epoch. ``nodes``: the handler of NODES."""
        self._figures = figures
        self._picture = picture
        self._slow = slow
        self._now = now
        self._others = Others(nodes)
        self._names: list[str] = []
        self._samples: deque[list[float]] = deque(maxlen=SAMPLES)

    @property
    def latencies(self) -> Latencies:
        """How long calls took."""
        return self._slow.latencies

    def tick(self) -> None:
        """Takes a sample. To be called once a second."""
        info = self._measured()
        self._names = [name for name in SAMPLED if name in info]
        self._samples.append([round(self._now(), 3), *(float(info[name]) for name in self._names)])

    def status(self) -> dict[str, Any]:
        """The figures by their names, and those of :data:`TIMED`; beside them ``problems``, ``cluster`` and
        ``slow_latest``, and ``now``, the time of the node. To be called by a greenlet, which may have to wait for other
        nodes."""
        others = self._others.problems()
        info = self._measured()
        found = sorted(problems(info, self._lately(info)) + others, key=lambda problem: problem.level != "critical")
        return {
            **info,
            "now": round(self._now(), 3),
            "problems": [problem._asdict() for problem in found],
            "cluster": self._picture(),
            # Without the first argument, which may be a key: there is no login here.
            "slow_latest": [
                {"at": at, "microseconds": microseconds, "method": words[0], "client": peer}
                for _, at, microseconds, words, peer, _ in self._slow.latest(SLOW)
            ],
        }

    def history(self) -> dict[str, Any]:
        """``names``: what each of the ``samples`` has behind its time, the oldest first."""
        return {"names": self._names, "samples": list(self._samples)}

    def _measured(self) -> Info:
        return {**self._figures(), **dict(zip(TIMED, self._slow.latencies.total(), strict=True))}

    def _lately(self, info: Info) -> dict[str, float]:
        if not self._samples:
            return {}
        before = dict(zip(self._names, self._samples[-min(RECENT, len(self._samples))][1:], strict=True))
        return {name: float(info[name]) - before[name] for name in LATELY if name in before}
