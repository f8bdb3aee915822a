"""The hash of the table is SipHash-1-3: Python's own of bytes is the reference."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nodes import ROOT

CALLED = """
#include "siphash.h"
uint64_t hash(const void *data, size_t bytes) { return siphash13(data, bytes, 0, 0); }
"""

# With this seed Python's key is zero. Of no bytes its hash is 0 without any computing.
REFERENCE = "import sys; print(*(hash(bytes.fromhex(word)) % 2**64 for word in sys.argv[1:]))"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no compiler")
@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python has another hash")
def test_it_is_siphash(tmp_path: Path) -> None:
    (tmp_path / "called.c").write_text(CALLED)
    build = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{ROOT / 'ckv' / 'core'}"]
    subprocess.run([*build, str(tmp_path / "called.c"), "-o", str(tmp_path / "called.so")], check=True)
    called = ctypes.CDLL(str(tmp_path / "called.so")).hash
    called.restype = ctypes.c_uint64
    called.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    chance = random.Random(13)
    words = [chance.randbytes(length) for length in [*range(1, 70), 1024]]
    told = subprocess.run(
        [sys.executable, "-c", REFERENCE, *(word.hex() for word in words)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert [called(word, len(word)) for word in words] == [int(number) for number in told.stdout.split()]
