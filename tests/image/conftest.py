"""The image's root folder, and ckv as a process in it. ``make image-test`` says which program it is made from."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.binary.conftest import program
from tests.image import container
from tests.support.nodes import ROOT, run_ckv

__all__ = ["program"]

ASSEMBLE = ROOT / "build" / "root.py"


@pytest.fixture(scope="session")
def root(program: Path) -> Iterator[Path]:
    """The root folder, assembled as the Dockerfile does it. It is for reading only."""
    with tempfile.TemporaryDirectory(prefix="ckv-image-") as folder:
        target = Path(folder) / "root"
        subprocess.run([sys.executable, ASSEMBLE, program.parent, target], check=True)
        yield target


@pytest.fixture(scope="session")
def allowed(root: Path) -> None:
    """Skips where nobody may make namespaces, and fails in CI, where one has to."""
    done = subprocess.run([*in_container(root), "--version"], capture_output=True, text=True)
    if done.returncode == container.FAILED:
        reason = f"no namespaces here: {done.stderr.strip()}"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def contained(root: Path, allowed: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From here on ckv runs in the root, with the network of this machine; the root."""
    monkeypatch.setenv("CKV_COMMAND", shlex.join(in_container(root)))
    assert run_ckv("--version").stdout.endswith(", compiled)\n")
    return root


def in_container(root: Path, *options: str) -> list[str]:
    """The command that runs ckv in the root; arguments follow it."""
    return [sys.executable, str(Path(container.__file__)), *options, str(root)]
