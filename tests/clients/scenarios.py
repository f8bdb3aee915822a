"""Scenarios of clients that are not Python, each run as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.server import Server
from tests.support.nodes import ROOT

NODE_FOLDER = Path(sys.prefix) / "clients" / "node"
"""Where ``make test-clients`` installs the packages of Node. The scenarios are copied there, as Node looks for packages
beside the file that wants them."""


def run_node(file: str, scenario: str, server: Server, prefix: str) -> None:
    """One scenario of a file in ``tests/clients/node``. Fails with all that it printed."""
    access = {"CLIENT_USER": server.user, "CLIENT_PASSWORD": server.password, "CLIENT_CA": server.ca}
    run(node_command(file, scenario, server, prefix), env=access)


@contextmanager
def running_node(file: str, scenario: str, server: Server, prefix: str) -> Iterator[None]:
    """One that goes on until what stands in the block is done. Fails with all that it printed."""
    process = subprocess.Popen(
        node_command(file, scenario, server, prefix), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        yield
    finally:
        try:
            output, _ = process.communicate(timeout=60)  # which closes stdin
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        if process.returncode != 0:
            raise AssertionError(f"exit code {process.returncode}\n{output}")


def node_command(file: str, scenario: str, server: Server, prefix: str) -> list[str]:
    """How a scenario is run. Skips the test where Node or its packages are not there."""
    needs_node()
    for path in (Path(__file__).parent / "node").glob("*.mjs"):
        shutil.copy(path, NODE_FOLDER)
    return ["node", str(NODE_FOLDER / file), server.host, str(server.port), prefix, scenario]


def needs_node() -> None:
    """Skips the test where Node or its packages are not there."""
    if shutil.which("node") is None or not (NODE_FOLDER / "node_modules").exists():
        pytest.skip("Node and its packages are not there (Debian: nodejs, npm; then `make test-clients`)")


def php() -> str:
    """The command of PHP. Skips the test where that has no extension for Redis."""
    return with_package("php", "-r", "exit((int) !extension_loaded('redis'));", "php-cli, php-redis")


def with_package(name: str, option: str, check: str, packages: str) -> str:
    """The command ``name``. Skips the test where there is none, or where it fails with ``check`` for its ``option``;
    ``packages`` of Debian have all of it."""
    command = shutil.which(name)
    if command is None or subprocess.run([command, option, check], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"{name} and its package for Redis are not there (Debian: {packages})")
    return command


def run_php(file: str, scenario: str, server: Server, prefix: str) -> None:
    """One scenario of a file in ``tests/clients/php``. Fails with all that it printed."""
    run_file(php(), f"php/{file}", scenario, server, prefix)


def run_ruby(file: str, scenario: str, server: Server, prefix: str) -> None:
    """The same of ``tests/clients/ruby``."""
    run_file(with_package("ruby", "-e", "require 'redis'", "ruby-redis"), f"ruby/{file}", scenario, server, prefix)


def run_perl(file: str, scenario: str, server: Server, prefix: str) -> None:
    """The same of ``tests/clients/perl``."""
    run_file(with_package("perl", "-e", "use Redis;", "libredis-perl"), f"perl/{file}", scenario, server, prefix)


def run_file(command: str, path: str, scenario: str, server: Server, prefix: str) -> None:
    """One scenario of a file below this folder, by the command of its language."""
    run([command, str(Path(__file__).parent / path), server.host, str(server.port), prefix, scenario])


def run(command: list[str], stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """What a command says when it passes; else the test fails with that."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
    )
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
