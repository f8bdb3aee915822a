"""Scenarios of clients that are not Python, each run as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.conftest import Server
from tests.support.nodes import ROOT

NODE_FOLDER = Path(sys.prefix) / "clients" / "node"
"""Where ``make test-clients`` installs the packages of Node. The scenarios are copied there, as Node looks for packages
beside the file that wants them."""


def run_node(file: str, scenario: str, server: Server, prefix: str) -> None:
    """One scenario of a file in ``tests/clients/node``. Fails with all that it printed."""
    if shutil.which("node") is None or not (NODE_FOLDER / "node_modules").exists():
        pytest.skip("Node and its packages are not there (Debian: nodejs, npm; then `make test-clients`)")
    for path in (Path(__file__).parent / "node").glob("*.mjs"):
        shutil.copy(path, NODE_FOLDER)
    run(["node", str(NODE_FOLDER / file), server.host, str(server.port), prefix, scenario])


def run(command: list[str], stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """What a command says when it passes; else the test fails with that."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
    )
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
