"""``redis-benchmark``, for requests that the generator of the other parts does not have. It looks at no value.

https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/benchmarks/
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Sequence

from bench.results import Sample
from bench.servers import Contender, installed

ANY_KEY = "key:__rand_int__"
"""A word that is another one of so many keys in each request."""


def run(contender: Contender, calls: int, command: Sequence[str], *, keys: int, options: Sequence[str] = ()) -> Sample:
    """So many calls. Raises :class:`subprocess.CalledProcessError`, and :class:`FileNotFoundError` without it."""
    before = contender.cpu_seconds()
    settings = ("-n", str(calls), "-r", str(keys), "--csv", *options)
    program = [installed("redis-benchmark"), "-h", "127.0.0.1", "-p", str(contender.port), *settings, *command]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    row = list(csv.reader(done.stdout.splitlines()))[-1]
    return {
        "calls_per_second": float(row[1]),
        "server_cpu_us": (contender.cpu_seconds() - before) / calls * 1e6,
    }
