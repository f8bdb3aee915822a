"""The certificates that deploy/certificate makes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.rendered import DEPLOY


def make_certificate(folder: Path, name: str, hosts: str) -> None:
    """As the manuals have it made; skips where there is no OpenSSL to make it with."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    subprocess.run([DEPLOY / "certificate", folder, name, hosts], check=True, capture_output=True)
