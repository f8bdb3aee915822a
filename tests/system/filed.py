"""Clusters whose secondaries have a file of SQLite each, which tests need not wait for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.eventually import eventually
from tests.support.nodes import Nodes
from tests.system.registered import Joined, info


class Pair(NamedTuple):
    """Two secondaries that have joined and have half of the slots each, without records."""

    files: Path
    ports: dict[str, int]
    """Where they listen, by name: at another port they would have to wait, for the one of before may still serve."""


def make_pair(files: Path) -> Pair:
    """Takes ten seconds, for a primary that finds no map waits for whoever may know one."""
    with Nodes() as nodes:
        cluster = Joined(nodes, files)
        cluster.add("a", "b")
        cluster.wait_level("a", "b")
        return Pair(files, {name: node.port for name, node in cluster.secondaries.items()})


def start_pair(
    nodes: Nodes,
    pair: Pair,
    folder: Path,
    mode: str = "through",
    *options: str,
    capacity: int,
    primary: Sequence[str] = (),
    primary_options: Sequence[str] = (),
) -> Joined:
    """Starts them again, with a copy of their files: so their primary finds a map. ``options``: of the secondaries.
    ``primary``: by which command that is started, if not the usual one."""
    shutil.copytree(pair.files, folder, dirs_exist_ok=True)
    cluster = Joined(
        nodes,
        folder,
        mode,
        "--write-delay=1s",
        *options,
        capacity=capacity,
        primary_options=primary_options,
        primary_command=primary,
    )
    cluster.add(*pair.ports, ports=pair.ports)
    secondaries = cluster.secondaries.values()
    eventually(lambda: all(info(node)["ready"] for node in secondaries), what="they serve what is their own")
    for node in secondaries:
        cluster.primary.wait_peer(node.address)
    return cluster
