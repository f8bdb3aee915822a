"""The load generator, compiled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bench.generator import program


@pytest.fixture(scope="session")
def loadgen() -> str:
    """The path of the generator. Skips where there is no compiler, and fails in CI, where there has to be one."""
    if shutil.which("gcc") is None:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail("gcc is not installed")
        pytest.skip("gcc is not installed")
    return str(program("loadgen"))


@pytest.fixture(scope="session")
def loadgen_tls(loadgen: str) -> str:
    """The path of the generator that speaks TLS. Skips where OpenSSL has no headers."""
    if not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("libssl-dev is not installed")
    return str(program("loadgen-tls"))
