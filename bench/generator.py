"""The load generator, from Python: what to run, and what came of it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "loadgen"
BUILT = Path(__file__).resolve().parents[1] / ".bench"
"""Where the compiled programs are."""

_SHARED = ("data.c", "choice.c", "histogram.c", "wire.c", "msgpack.c", "resp.c", "memcached.c")
_PROGRAMS = {
    "loadgen": ("loadgen.c", "drive.c", "plain.c"),
    "loadgen-tls": ("loadgen.c", "drive.c", "tls.c"),
    "nullserver": ("nullserver.c",),
}
_LIBRARIES = {"loadgen-tls": ("-lssl", "-lcrypto")}
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")

PATIENCE = 30.0
"""Seconds without any answer after which a run fails."""

_COMPILING = threading.Lock()


class WrongAnswers(Exception):
    """A server answered wrongly, refused a call, lost a record or fell silent. What was measured counts for nothing."""


def program(name: str) -> Path:
    """The path of ``loadgen``, the same by TLS (``loadgen-tls``, for which OpenSSL's headers are needed) or
    ``nullserver``, compiled when its sources are newer."""
    target = BUILT / name
    with _COMPILING:
        newest = max(source.stat().st_mtime for source in SOURCES.iterdir())
        if not target.exists() or target.stat().st_mtime < newest:
            BUILT.mkdir(exist_ok=True)
            fresh = target.with_suffix(".new")
            sources = [SOURCES / source for source in (*_PROGRAMS[name], *_SHARED)]
            subprocess.run(["gcc", *_FLAGS, "-o", fresh, *sources, "-lm", *_LIBRARIES.get(name, ())], check=True)
            fresh.replace(target)
    return target


@dataclass(frozen=True)
class Load:
    """One run of the generator. The defaults are the setting from which the axes depart."""

    op: str = "get"
    """``put``, ``get`` or ``mixed``."""
    depth: int = 1
    """Requests in flight on each connection."""
    connections: int = 50
    value_bytes: int = 64
    keys: int = 100_000
    zipf: float = 0.0
    """The exponent of the keys' popularity; 0 is uniform."""
    get_percent: int = 90
    """Of ``mixed``."""
    first_key: int = 0
    sequential: bool = False
    calls: int = 0
    """Stop after so many; 0: after ``seconds``."""
    seconds: float = 1.0
    rate: float = 0.0
    """Calls a second, with the latency counted from when a call was due; 0: as fast as answers come."""
    seed: int = 1
    miss_percent: int = 0
    """Of the GETs, those of keys that nobody has put, which have to find nothing."""
    may_miss: bool = False
    """Whether any GET may find nothing."""
    patience: float = PATIENCE

    def prefill(self) -> Load:
        """The run that puts every key once."""
        return replace(self, op="put", sequential=True, calls=self.keys, rate=0.0, depth=min(self.depth_for(16), 16))

    def depth_for(self, depth: int) -> int:
        """At most that depth, and at most 1 MiB of values in flight on a connection."""
        return max(1, min(depth, (1 << 20) // max(1, self.value_bytes)))

    def arguments(self) -> list[str]:
        """The command line of the generator."""
        options = {
            "op": self.op,
            "depth": self.depth,
            "connections": self.connections,
            "value-bytes": self.value_bytes,
            "keys": self.keys,
            "zipf": self.zipf,
            "get-percent": self.get_percent,
            "miss-percent": self.miss_percent,
            "first-key": self.first_key,
            "seed": self.seed,
            "rate": self.rate,
            "patience": self.patience,
            **({"calls": self.calls} if self.calls else {"seconds": self.seconds}),
        }
        flags = [flag for flag, wanted in (("--sequential", self.sequential), ("--may-miss", self.may_miss)) if wanted]
        return [*(f"--{name}={value}" for name, value in options.items()), *flags]


def run(load: Load, protocol: str, port: int, *, tls: bool = False, more: Sequence[str] = ()) -> dict[str, Any]:
    """Run the generator against 127.0.0.1; returns its report. Raises :class:`WrongAnswers`."""
    generator = str(program("loadgen-tls" if tls else "loadgen"))
    command = [generator, f"--protocol={protocol}", *load.arguments(), *more, "127.0.0.1", str(port)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise WrongAnswers(f"{' '.join(command)}\nexited with {done.returncode}\n{done.stdout}{done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
