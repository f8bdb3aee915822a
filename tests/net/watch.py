"""Another client, who must be served whatever somebody else does to the node, and the memory of the node meanwhile."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from tests.support.eventually import eventually
from tests.support.nodes import Node
from tests.support.parallel import WORKERS
from tests.support.wire import RawClient

DEADLINE = 2.0 * WORKERS
"""Seconds within which the other client has its answer, always.

It takes 0.1 ms, and the most that a node does before everybody else gets a turn is one read of 256 KiB of the most
laborious bytes, 0.1 s. The rest is for a machine that is busy with something else, as it is with the other workers.
"""

PAUSE = 0.005
"""Seconds between two requests of the other client: it looks often, and leaves the processor to the test."""

MIB = 1024 * 1024


class Watch:
    """A client in a thread of its own that asks the node for a record all the time, and looks at the node's memory.

    Leaving it fails when one answer was wrong or late. It must be entered before the attack: what the memory has grown
    by is counted from then on.
    """

    def __init__(self, node: Node, *also: Node) -> None:
        """``also``: further processes whose memory to look at."""
        self._nodes = (node, *also)
        self._client = RawClient(node.address, timeout=DEADLINE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: Exception | None = None
        self._before: dict[Node, int] = {}
        self._peak: dict[Node, int] = {}
        self.answers = 0
        self.worst = 0.0
        """Seconds that the slowest answer took."""

    def _run(self) -> None:
        try:
            while not self._stop.wait(PAUSE):
                began = time.monotonic()
                answer = self._client.call("GET", "watched")
                self.worst = max(self.worst, time.monotonic() - began)
                assert answer == [True, "value"]
                self.answers += 1
                self._look()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
            self._failure = error

    def _look(self) -> None:
        for node in self._nodes:
            self._peak[node] = max(self._peak[node], node.rss_bytes())

    def served(self, times: int = 5) -> None:
        """Waits until the other client has had so many further answers."""
        enough = self.answers + times
        eventually(lambda: self.answers >= enough or self._failure, timeout=times * DEADLINE, what="the other client")
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise AssertionError(
                f"the other client was not served within {DEADLINE:g} s\n{self._nodes[0].tail()}"
            ) from self._failure

    def growth(self, node: Node | None = None) -> int:
        """The most bytes that the process had more than at the beginning."""
        node = node or self._nodes[0]
        self._peak[node] = max(self._peak[node], node.rss_bytes())
        return self._peak[node] - self._before[node]

    def __enter__(self) -> Watch:
        self._client.call("PUT", "watched", "value")
        for node in self._nodes:
            self._before[node] = self._peak[node] = node.rss_bytes()
        self._thread.start()
        self.served(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.served(3)
        finally:
            self._stop.set()
            self._thread.join()
            self._client.close()
