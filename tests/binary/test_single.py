"""The single file: it unpacks once, and then it is the program in the folder, in the same process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from ckv import Client
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Nodes, ckv_environment
from tests.support.ports import free_port


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file unpacks to: somewhere that is empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / "cache" / "ckv"


@pytest.fixture
def nodes_of_single(single: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, nodes: Nodes) -> Nodes:
    monkeypatch.setenv("CKV_COMMAND", str(single))
    return nodes


def run(single: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = ckv_environment(environ)
    return subprocess.run([single, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def folder_in(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def test_it_is_the_same_program(program: Path, single: Path, cache: Path) -> None:
    told = run(program, "--version")
    assert run(single, "--version").stdout == told.stdout
    unpacked = folder_in(cache)
    expected = {path.relative_to(program.parent): path for path in program.parent.rglob("*") if path.is_file()}
    found = {path.relative_to(unpacked): path for path in unpacked.rglob("*") if path.is_file()}
    assert set(found) == set(expected)
    for name, path in found.items():
        assert path.read_bytes() == expected[name].read_bytes(), name
        assert os.access(path, os.X_OK) == os.access(expected[name], os.X_OK), name
        assert path.stat().st_mode & 0o022 == 0, name


def test_the_second_start_writes_nothing(single: Path, cache: Path) -> None:
    run(single, "--version")
    before = {path: path.stat() for path in cache.rglob("*")}
    assert run(single, "--version").returncode == 0
    after = {path: path.stat() for path in cache.rglob("*")}
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items()
    }


def test_many_first_starts_at_once(single: Path, cache: Path) -> None:
    started = [
        subprocess.Popen([single, "--version"], env=ckv_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    told = {(process.communicate(timeout=60), process.returncode) for process in started}
    assert len(told) == 1
    assert {code for _, code in told} == {0}
    assert len(list(cache.iterdir())) == 1, "what lost the race is gone"


def test_a_folder_that_lost_a_file_is_made_again(single: Path, cache: Path) -> None:
    run(single, "--version")
    folder = folder_in(cache)
    (folder / "_json.so").unlink()
    os.truncate(folder / "ckv", 100)
    done = run(single, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert folder_in(cache) == folder
    assert (folder / "_json.so").exists()


def test_a_start_that_was_killed_leaves_nothing_that_is_taken_for_whole(single: Path, cache: Path) -> None:
    with subprocess.Popen([single, "--version"], env=ckv_environment(), stdout=subprocess.DEVNULL) as process:
        eventually(lambda: any(cache.rglob("*.so")), what="it has begun to unpack")
        process.kill()
    done = run(single, "--version")
    assert (done.returncode, done.stderr) == (0, "")


def test_where_it_unpacks_to(single: Path, tmp_path: Path, cache: Path) -> None:
    # A file in the place of a folder stops everybody, root too.
    cache.parent.write_text("")
    assert run(single, "--version").returncode == 0
    assert folder_in(tmp_path / "home" / ".cache" / "ckv")
    assert run(single, "--version", HOME=str(cache.parent)).returncode == 0
    assert folder_in(tmp_path / f"ckv-{os.geteuid()}")
    done = run(single, "--version", HOME=str(cache.parent), TMPDIR=str(cache.parent))
    assert (done.returncode, done.stdout) == (4, "")
    assert re.fullmatch("ckv: cannot unpack this program: .*\n", done.stderr)


def test_a_folder_that_others_can_write_to_is_not_used(single: Path, tmp_path: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert run(single, "--version").returncode == 0
    assert list(cache.iterdir()) == []
    assert folder_in(tmp_path / "home" / ".cache" / "ckv")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_used(single: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    os.chown(cache, 65532, -1)
    assert run(single, "--version").returncode == 0
    assert list(cache.iterdir()) == []


def test_a_file_that_was_cut_off_says_so(single: Path, tmp_path: Path, cache: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(single.read_bytes()[:-100_000])
    part.chmod(0o755)
    done = run(part, "--version")
    assert (done.returncode, done.stdout) == (4, "")
    assert re.fullmatch("ckv: this file is not complete: .*\n", done.stderr)


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_damaged_file_does_not_run(single: Path, tmp_path: Path, cache: Path, tenth: int) -> None:
    data = bytearray(single.read_bytes())
    data[len(data) * tenth // 10] ^= 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    damaged.chmod(0o755)
    done = run(damaged, "--version")
    assert (done.returncode, done.stdout) == (4, "")
    assert list(cache.iterdir()) == []


def test_a_node_is_one_process_that_takes_its_signals_itself(mariadb: MariaDB, nodes_of_single: Nodes) -> None:
    node = nodes_of_single.start_secondary(persistent=mariadb.address)
    node.wait_for_log("database connected")
    with Client("127.0.0.1", node.port) as client:
        client.put("bob", "1")
        assert client.call("INFO")["process_id"] == node.pid  # type: ignore[index]
    assert Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text() == ""
    assert node.terminate() == 0
    assert mariadb.rows() == {b"bob": b"1"}
    node.start()
    node.kill()
    # Nothing of it lives on: the port is free.
    assert nodes_of_single.start_secondary(port=node.port).port == node.port


def test_the_demo_starts_nodes(single: Path, cache: Path) -> None:
    done = run(single, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Congratulation, databases are working!"


def test_ctrl_c(single: Path, cache: Path) -> None:
    port = free_port()
    command = [str(single), "primary", str(port), "127.0.0.1:1"]
    with subprocess.Popen(command, env=ckv_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any("primary ready" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 0
