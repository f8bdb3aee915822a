"""The exporter of Redis's figures for Prometheus, run as a process, and what it exports."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.server import Server
from tests.clients.serving import fetch, serving
from tests.support.ports import free_port

INSTALLED = Path(sys.prefix) / "clients" / "exporter" / "usr" / "bin" / "prometheus-redis-exporter"
"""Where ``make test-clients`` unpacks the package of Debian: whoever installs it has a service started as well."""

METRIC = re.compile(r"^redis_(\w+(?:\{.*\})?) (\S+)$", re.MULTILINE)

Metrics = dict[str, float]
"""Values by names and labels, as ``db_keys{db="db0"}``: without the ``redis_`` that all have in common."""

Scrape = Callable[[str], Metrics]
"""What is at a path of the exporter, as Prometheus would read it."""


@contextmanager
def exporting(server: Server, *options: str) -> Iterator[Scrape]:
    """An exporter with further options that asks this server. Skips the test where there is none."""
    command = shutil.which("prometheus-redis-exporter") or (str(INSTALLED) if INSTALLED.exists() else None)
    if command is None:
        pytest.skip("the exporter is not there (Debian: prometheus-redis-exporter)")
    port = free_port()
    process = [command, "-redis.addr", server.url, "-web.listen-address", f"127.0.0.1:{port}", *options]
    with serving(process, port, "/health"):
        yield lambda path: {name: float(value) for name, value in METRIC.findall(fetch(port, path))}
