"""``docs/clients.md``, made of the tests: their docstrings say what is run, ``expected.py`` what does not work and why.

It imports none of the clients, for the page is made where they are not installed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.clients.expected import (
    EXPECTED,
    NOT_RUN_OF_DJANGO_REDIS,
    OF_DJANGO_REDIS,
    PASSES_OF_DJANGO_REDIS,
)
from tests.clients.lacks import CLIENTS, Client

HERE = Path(__file__).parent
PYTHON_LOCKS = [HERE.parents[1] / f"requirements-{name}.lock" for name in ("clients", "iredis")]
NODE_LOCK = HERE / "node" / "package-lock.json"


def tests_of(file: str) -> Iterator[tuple[str, str]]:
    """The tests of a file with what their docstrings say."""
    for node in ast.parse((HERE / f"{file}.py").read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def python_versions() -> dict[str, str]:
    """What the locks of Python have; of a package with several versions, that of the first for the oldest Python."""
    locks = "\n".join(path.read_text() for path in PYTHON_LOCKS)
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", locks, re.MULTILINE)
    return dict(reversed(found))


def node_versions() -> dict[str, str]:
    """What the lock of Node has."""
    packages = json.loads(NODE_LOCK.read_text())["packages"]
    return {name.removeprefix("node_modules/"): package["version"] for name, package in packages.items() if name}


def _versions(client: Client) -> str:
    if not client.packages:
        return f"the one of the machine (Debian 12: {client.of_debian})"
    versions = node_versions() if client.kind == "Node" else python_versions()
    return ", ".join(f"{package} {versions[package]}" for package in client.packages)


def _result(file: str, test: str) -> str:
    lack = EXPECTED.get(file, {}).get(test)
    return "works" if lack is None else f"no: ckv lacks {lack.reason}"


def page() -> str:
    """The page without the note that it is made."""
    overview = "\n".join(
        f"| [{client.name}](#{_anchor(client.name)}) | {_versions(client)} | {_count(file)} |"
        for file, client in CLIENTS.items()
    )
    details = "\n".join(
        f"## {client.name}\n\n| what was run | |\n|---|---|\n"
        + "".join(f"| {text} | {_result(file, test)} |\n" for test, text in tests_of(file))
        + (_own_tests_of_django_redis() if file == "test_django_redis" else "")
        for file, client in CLIENTS.items()
    )
    return f"""\
# Clients that were tried

`make test-clients` runs these clients of Redis, and what is built on them, each doing what its users do. They talk to a
primary with two secondaries that keep few records in memory, so that most come from MariaDB. Each of the tests passes
with Redis too. What is expected not to work is tested as well: when it begins to, that test fails until this page says
so. ckv keeps strings alone: whatever is made of lists, hashes, sets, sorted sets or streams does not work with it, such
as the queues of Celery, RQ, Huey, Dramatiq and BullMQ. The lines of [frameworks.md](frameworks.md) are tried too, PHP
among them. The commands of Redis that ckv has, and what is different, are in [redis.md](redis.md).

Jedis, Lettuce, go-redis (of which Debian has one of 2017), StackExchange.Redis, RedisInsight and memtier_benchmark
were not tried: they are not to be had where the run has all of these from, which is PyPI, npm and Debian 12.

| client | version | works |
|---|---|---|
{overview}

Each row below is a test, in the test's own words. A run fails where a test ends otherwise than its row says, in either
direction, so that what a run showed and this page are the same; clients that a machine does not have are skipped there.
Where a test lacks several things, the first that it met is named.

{details}"""


def _own_tests_of_django_redis() -> str:
    passes = " and ".join(f"{number} with the setting `{name}`" for name, number in PASSES_OF_DJANGO_REDIS.items())
    left_out = "".join(
        f"| {lack.reason} | {', '.join(f'`{test}`' for test in tests.split())} |\n"
        for lack, tests in OF_DJANGO_REDIS.items()
    )
    not_run = "".join(
        f"- {', '.join(f'`{name}`' for name in names.split(', '))}: {reason}.\n"
        for names, reason in NOT_RUN_OF_DJANGO_REDIS.items()
    )
    return f"""
Of its own tests {passes} pass. These fail with each of the two, and have to, for what ckv lacks; one that passes, and
another number of those that pass, is a failure of the run until this page says so:

| what ckv lacks | tests |
|---|---|
{left_out}
The other settings are not run:

{not_run}"""


def _count(file: str) -> str:
    tests = [test for test, _ in tests_of(file)]
    return f"{len(tests) - len(EXPECTED.get(file, {}))} of {len(tests)}"


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
