"""The native program, in both of its forms. ``make test-binary`` makes it, and names it in ``CKV_COMMAND``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.nodes import run_ckv


@pytest.fixture(scope="session")
def program() -> Path:
    """The program in its folder. Skips where another ckv is tested."""
    named = os.environ.get("CKV_COMMAND", "")
    if not named or Path(named).name != "ckv":
        pytest.skip("CKV_COMMAND names no native program: make test-binary")
    assert run_ckv("--version").stdout.endswith(", compiled)\n"), named
    return Path(named)


@pytest.fixture(scope="session")
def single(program: Path) -> Path:
    """The same as a single file, which ``make build`` puts beside the folder."""
    return program.parents[1] / "bin" / program.parent.name
