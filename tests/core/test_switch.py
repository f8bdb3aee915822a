"""A node says what it runs on, and runs on the twins where it is told to."""

from __future__ import annotations

import pytest

from ckv import Client, core
from ckv.core import SWITCH
from tests.support.nodes import Nodes, run_ckv

KINDS = {"off": "python"} | ({"": "compiled"} if core.COMPILED else {})


@pytest.mark.parametrize("switch", KINDS)
def test_a_node_runs_on_the_core_or_on_its_twin(nodes: Nodes, switch: str) -> None:
    node = nodes.start_secondary(capacity=3, env={SWITCH: switch})
    assert f" core={KINDS[switch]} " in node.wait_for_log("secondary ready on")
    with Client("127.0.0.1", node.port) as client:
        for key in "abcd":
            client.put(key, f"value of {key}")
        assert [client.get(key) for key in "abcd"] == [None, "value of b", "value of c", "value of d"]
    assert f", core {KINDS[switch]}, " in run_ckv("--version", env={SWITCH: switch}).stdout
    assert node.terminate() == 0
