"""Nodes to attack, and the fixtures of :mod:`tests.net.conftest`: a protocol is tested over real sockets too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.net.conftest import log, world
from tests.net.watch import MIB, Watch
from tests.protocol.attacks import NOISE, ROLES, pick
from tests.support.nodes import Cluster, Node, Nodes

__all__ = ["log", "world"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with Nodes() as nodes:
        # Each connection that is closed gets its line.
        yield nodes.start_cluster(1, secondary_options=["--log-level=debug"], primary_options=["--log-level=debug"])


@pytest.fixture(params=ROLES)
def node(request: pytest.FixtureRequest, shared: Cluster) -> Iterator[Node]:
    """The node under attack. Afterwards the nodes have met nothing unexpected, and are still connected."""
    everybody = (shared.primary, *shared.secondaries)
    since = [len(each.log) for each in everybody]
    yield pick(shared, request.param)
    for each, start in zip(everybody, since, strict=True):
        for line in each.log[start:]:
            assert not re.search(r" ERROR |Traceback|peer \S+ lost", line), each.tail()


@pytest.fixture
def watch(node: Node) -> Iterator[Watch]:
    with Watch(node) as watch:
        yield watch
        watch.served()
    assert watch.growth() < NOISE, f"{watch.growth() / MIB:.0f} MiB more"


@pytest.fixture(params=ROLES)
def fresh(request: pytest.FixtureRequest, nodes: Nodes) -> Node:
    """A node that nobody has used."""
    return pick(nodes.start_cluster(1), request.param)
