"""What a run ran on, and which programs took part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import newest
from bench.part import Context
from bench.servers import installed
from tests.support.nodes import ROOT, ckv_command, run_ckv


def describe(command: str, context: Context) -> dict[str, str]:
    """Date, machine and versions, by names that the page shows."""
    turns = (
        f"{context.rounds} ({context.side_rounds} where no target is set, {context.shallow_rounds} of a secondary at "
        f"depth 1), with turns of {context.seconds:g} s or more"
    )
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": command,
        "rounds": turns,
        **({"kind": "quick: short runs on little data; do not quote these figures"} if context.quick else {}),
        "machine": f"{os.cpu_count()} x {_cpu()}, {_memory_gib():.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "ckv": run_ckv("--version").stdout.strip(),
        "ckv runs as": _how(),
        "harness": f"Python {platform.python_version()}",
        "Redis": _version([installed("redis-server")], r"v=(\S+)"),
        "memcached": _version([installed("memcached")], r"memcached (\S+)"),
        **{
            name: _version(program, r"(?:v=|memcached )(\S+)")
            for name in newest.PROGRAMS
            if (program := newest.command(name)) is not None
        },
        "nutcracker": _version([installed("nutcracker")], r"nutcracker-(\S+)"),
        "MariaDB": _version([installed("mariadbd")], r"Ver (\S+)"),
        "compiler of the generator": _version([installed("gcc")], r"gcc \(.*?\) (\S+)"),
    }


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _how() -> str:
    """Which interpreter, or which other command."""
    first, *rest = ckv_command()
    if first != sys.executable or not rest:
        program = Path(first)
        return str(program.relative_to(ROOT) if program.is_relative_to(ROOT) else program.name)
    base = Path(sys._base_executable).resolve() if hasattr(sys, "_base_executable") else Path(sys.executable).resolve()
    return (
        f"{base}, {platform.python_implementation()} {platform.python_version()} ({' '.join(platform.python_build())})"
    )


def _version(program: Sequence[str], pattern: str) -> str:
    run = subprocess.run([*program, "--version"], capture_output=True, text=True)
    found = re.search(pattern, run.stdout + run.stderr)
    return found[1] if found else "unknown"
