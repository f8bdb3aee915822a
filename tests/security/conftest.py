from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.guarded import Guarded
from tests.security.sealed import Sealed
from tests.support.nodes import Cluster, Node, Nodes


@pytest.fixture
def guarded(nodes: Nodes, tmp_path: Path) -> Guarded:
    """Starts nodes with users."""
    return Guarded(nodes, tmp_path)


@pytest.fixture
def sealed(nodes: Nodes, tmp_path: Path) -> Sealed:
    """Starts nodes that speak TLS."""
    return Sealed(nodes, tmp_path)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A primary and two secondaries with users, for tests that leave them as they are."""
    with Nodes() as started:
        yield Guarded(started, tmp_path_factory.mktemp("users")).cluster()
        print(started.tails())


@pytest.fixture(params=["primary", "secondary"])
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Node:
    """One of them: both roles ask who it is in the same way."""
    return cluster.primary if request.param == "primary" else cluster.secondaries[0]
