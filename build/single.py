"""Packs a folder into one executable file that unpacks itself: ``build/single.c`` and what it needs behind it."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path
from typing import Final

import zstandard

MAGIC: Final = b"CKVFILE1"

LEVEL: Final = 12
"""zstd's level of compression. 19 makes the file an eighth smaller, and takes ten times as long."""

_HERE: Final = Path(__file__).parent


def pack(folder: Path, target: Path, name: str) -> None:
    """Writes the executable ``target``; it will unpack into a folder called ``name`` and a digest of the contents.

    Raises CalledProcessError if the head cannot be compiled, and ValueError for what only a folder can hold.
    """
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    if any(path.is_symlink() for path in files):
        raise ValueError("a symbolic link cannot be packed")
    index = bytearray()
    contents = bytearray()
    for path in files:
        data = path.read_bytes()
        mode = 0o755 if os.access(path, os.X_OK) else 0o644
        index += os.fsencode(path.relative_to(folder)) + b"\0" + struct.pack("=QQ", len(data), mode)
        contents += data
    index += b"\0"
    digest = hashlib.sha256(index + contents).hexdigest()[:16]
    # One thread: more of them would make other bytes on another machine.
    payload = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(bytes(contents))

    compile_head = ["gcc", "-O2", "-s", "-o", str(target), str(_HERE / "single.c"), "-l:libzstd.a"]
    subprocess.run(compile_head, check=True)
    head = target.read_bytes()
    at = len(head)
    end = at + len(index) + len(payload)
    footer = struct.pack("=QQQ40s8s", at, at + len(index), end, f"{name}-{digest}".encode(), MAGIC)
    target.write_bytes(head + index + payload + footer)
    target.chmod(0o755)
