"""What is wrong with the secondaries of a primary, for its status page: who looks at it looks at the whole cluster.

They are asked by NODES, as ``ckv top`` asks. One that hangs answers a second late, so nobody waits for the answers but
who looks after a while without any: all others are told those of the look before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import gevent
from gevent.event import AsyncResult

from ckv.net.asker import Asker
from ckv.node.figures import Info
from ckv.node.problems import Problem, problems
from ckv.node.survey import AWAY, Row
from ckv.protocol.handler import LATER, Handler

OLD: Final = 5.0
"""Seconds after which what was answered is not told any more."""


class Others:
    """Those that a node knows beside itself."""

    def __init__(self, nodes: Handler, clock: Callable[[], float] = time.monotonic) -> None:
        """``nodes``: the handler of NODES. ``clock``: seconds."""
        self._nodes = nodes
        self._clock = clock
        self._rows: list[Row] = []
        self._asked_at = float("-inf")
        """When these rows were asked for."""
        self._asking: gevent.Greenlet[[], None] | None = None

    def problems(self) -> list[Problem]:
        """What is wrong with them; to be called by a greenlet, which may have to wait for a second."""
        if self._asking is None or self._asking.dead:
            self._asking = gevent.spawn(self._ask)
        if self._clock() - self._asked_at > OLD:
            self._asking.join()
        return merged((name_of(row), problem) for row in sorted(self._rows, key=name_of) for problem in of_row(row))

    def _ask(self) -> None:
        at = self._clock()
        answer: AsyncResult[object] = AsyncResult()
        found = self._nodes(Asker(lambda _error, result: answer.set(result)), 0, ())
        if found is LATER:
            found = answer.get()
        if isinstance(found, list):
            self._rows, self._asked_at = found[1:], at  # the first is the node itself


def name_of(row: Row) -> str:
    """What people call the node of a row."""
    address, _, pairs = row
    name = dict(pairs).get("name", "-")
    return address if name in ("-", address) else str(name)


def of_row(row: Row) -> Sequence[Problem]:
    """What is wrong with the node of a row. Of one that is not connected its primary tells by itself."""
    _, trouble, pairs = row
    if trouble.startswith(AWAY):
        return ()
    if trouble:
        return (Problem("critical", f"It does not tell its figures: {trouble}", "CkvPeerNotConnected"),)
    info: Info = dict(pairs)
    return problems(info, {})


def merged(found: Iterable[tuple[str, Problem]]) -> list[Problem]:
    """One problem for all nodes that have it, with the words of the first one.

    >>> slow = Problem("warning", "The database has been slow for 5 s", "CkvDatabaseSlow")
    >>> [problem.sentence for problem in merged([("a", slow), ("b", slow), ("c", slow)])]
    ['a, and 2 more: The database has been slow for 5 s']
    """
    nodes: dict[str, list[tuple[str, Problem]]] = {}
    for name, problem in found:
        nodes.setdefault(problem.section or problem.sentence, []).append((name, problem))
    return [_together(of) for of in nodes.values()]


def _together(of: Sequence[tuple[str, Problem]]) -> Problem:
    name, problem = of[0]
    more = f", and {len(of) - 1:,} more" if len(of) > 1 else ""
    return problem._replace(sentence=f"{name}{more}: {problem.sentence}")
