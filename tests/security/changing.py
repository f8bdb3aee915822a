"""A cluster that changes while it runs: its nodes are started again with other options, or read their files again."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ckv.errors import CkvError
from ckv.tools.slots import read
from tests.security.load import NOBODY, PATIENCE, Access
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes
from tests.system.registered import SETTLE, SLOTS

NAMES: Final = ("a", "b")
"""The secondaries."""


class Changing:
    """A primary, and two secondaries that join it, over one database."""

    def __init__(
        self,
        nodes: Nodes,
        persistent: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        access: Access = NOBODY,
    ) -> None:
        """``options`` and ``env``: those of all nodes. ``access``: by what an operator is let in."""
        self.access = access
        self._nodes = nodes
        self._persistent = persistent
        self._options = list(options)
        self._env = env
        self.primary = self._start_primary()
        self.secondaries = {name: self._start_secondary(name) for name in NAMES}
        self.wait_level()

    @property
    def port(self) -> int:
        """Where clients come."""
        return self.primary.port

    @property
    def all(self) -> list[Node]:
        """The nodes."""
        return [self.primary, *self.secondaries.values()]

    def start_again(self, *options: str) -> Iterator[str]:
        """Starts each node again with these options, one after the other, and gives its name when the cluster is as it
        was before."""
        self._options = list(options)
        for name in NAMES:
            self.start_secondary_again(name)
            yield name
        assert self.primary.terminate() == 0, self.primary.tail()
        self.primary = self._start_primary(self.port)
        self.wait_level()
        yield "primary"

    def start_secondary_again(self, name: str) -> None:
        """Tells one to stop, which hands over what it has, and starts it again."""
        before = self.secondaries[name]
        assert before.terminate() == 0, before.tail()
        self.secondaries[name] = self._start_secondary(name, before.port)
        self.wait_level()

    def read_files_again(self) -> None:
        """SIGHUP to each node."""
        for node in self.all:
            since = len(node.log)
            node.signal(signal.SIGHUP)
            node.wait_for_log("users read from", since=since)
            node.wait_for_log("certificate read from", since=since)

    def wait_level(self) -> None:
        """Until both secondaries have half of the slots, and the primary is connected to them."""

        def level() -> bool:
            try:
                with self.access.client(self.port) as client:
                    rows, _ = read(client)
            except CkvError as error:
                raise AssertionError(str(error)) from None
            assert [(row[0], row[3], row[5]) for row in rows] == [(name, "up", SLOTS // 2) for name in NAMES]
            return True

        eventually(level, PATIENCE, "each secondary has half of the slots")

    def _start_primary(self, port: int = 0) -> Node:
        options = [*self._options, f"--settle={SETTLE}"]
        return self._nodes.start_primary(port=port, options=options, env=self._env)

    def _start_secondary(self, name: str, port: int = 0) -> Node:
        return self._nodes.start_secondary(
            primary=self.primary.address,
            port=port,
            persistent=self._persistent,
            options=[*self._options, f"--name={name}"],
            env=self._env,
            name=name,
        )
