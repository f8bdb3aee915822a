"""The newest peers: they take part where their folder is there, and only there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import newest
from bench.generator import Load, run
from bench.machine import describe
from bench.part import Context
from bench.servers import INTERPRETED, Servers

CONTEXT = Context(rounds=1, seconds=0.1, quick=True, full=False, say=lambda text: None)


def test_without_the_folder_nobody_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (None, "", str(tmp_path)):
        monkeypatch.delenv(newest.FOLDER, raising=False)
        if folder is not None:
            monkeypatch.setenv(newest.FOLDER, folder)
        with Servers() as servers:
            assert servers.newest(*newest.PROGRAMS) == []


@pytest.mark.skipif(newest.FOLDER not in os.environ, reason=f"{newest.FOLDER} names no folder")
@pytest.mark.usefixtures("loadgen")
@pytest.mark.parametrize("name", newest.PROGRAMS)
def test_a_newest_peer_is_driven_and_its_version_told(name: str) -> None:
    with Servers() as servers:
        (peer,) = servers.newest(name)
        load = Load(op="mixed", keys=500, connections=4, calls=2000, miss_percent=20)
        assert run(load, peer.protocol, peer.port, more=["--prefill"])["calls"] == load.calls
    assert describe("make bench", CONTEXT)[name][0].isdigit()


@pytest.mark.usefixtures("loadgen")
def test_a_secondary_is_interpreted_only_beside_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CKV_COMMAND", raising=False)
    with Servers() as servers:
        assert servers.interpreted() == []
        monkeypatch.setenv("CKV_COMMAND", "another")
        (twin,) = servers.interpreted(capacity=100)
        assert twin.name == INTERPRETED
        assert run(Load(keys=100).prefill(), twin.protocol, twin.port)["calls"] == 100
