"""Celery, with ckv for the results of tasks. The tasks themselves travel through a folder: in Redis they are lists."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.clients.scenarios import run
from tests.clients.server import Server
from tests.support.nodes import ROOT

Carry = Callable[[str], str]


@pytest.fixture(scope="module")
def carry_out(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carry]:
    """Carries out a scenario of ``celery_app.py``, for which there is a worker."""
    folder = tmp_path_factory.mktemp("celery")
    env = {"CLIENTS_URL": server.url, "CLIENTS_FOLDER": str(folder)}
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--app=tests.clients.celery_app:app", "worker", "--pool=solo"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            cwd=ROOT,
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        )
    try:
        yield lambda scenario: run([sys.executable, "-m", "tests.clients.celery_app", scenario], env=env)
    finally:
        worker.kill()
        worker.wait()


def test_a_result_is_kept(carry_out: Carry) -> None:
    """The result of a task: what the backend writes and reads"""
    carry_out("a_result_is_kept")


def test_a_worker_answers(carry_out: Carry) -> None:
    """Waiting for a task of a worker: `delay(...).get()`"""
    carry_out("a_worker_answers")


def test_a_group(carry_out: Carry) -> None:
    """Waiting for a group of tasks"""
    carry_out("a_group")


def test_a_chord(carry_out: Carry) -> None:
    """A task that begins when others are done: `chord`"""
    carry_out("a_chord")
