"""ckv in the image's root: process 1, an ordinary user, no capabilities, and nothing but /tmp and /data to write to."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ckv import Client
from ckv.errors import CommitTimeout
from tests.binary.logins import check_mysql_8, check_tls
from tests.image.conftest import in_container
from tests.image.container import read_dockerfile
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.products import Template

IMAGE = read_dockerfile()


def process_1(pid: int) -> int:
    """The program that an engine started, as this machine numbers it."""
    (inner,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return inner


def status(node: Node) -> dict[str, list[str]]:
    """What the kernel tells of the program of a node."""
    lines = Path(f"/proc/{process_1(node.pid)}/status").read_text().splitlines()
    return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}


def test_the_demo_without_a_network(root: Path, allowed: None) -> None:
    command = [*in_container(root, "--network=none"), "demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Congratulation, databases are working!"


def test_without_arguments_it_tells_its_usage(contained: Path) -> None:
    done = run_ckv()
    assert done.returncode == 0
    assert "Usage:\n  ckv primary " in done.stdout


def test_it_is_confined(contained: Path, nodes: Nodes) -> None:
    node = nodes.start_secondary()
    told = status(node)
    assert told["NSpid"][-1] == "1"
    assert set(told["Uid"] + told["Gid"]) == {str(IMAGE.user), str(IMAGE.group)} == {"65532"}
    assert told["Groups"] == []
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(told[name][0], 16) == 0, name
    assert told["NoNewPrivs"] == ["1"]
    mounts = [line.split() for line in Path(f"/proc/{process_1(node.pid)}/mountinfo").read_text().splitlines()]
    writable = {fields[4] for fields in mounts if "ro" not in fields[5].split(",")}
    assert {"/tmp", "/data"} <= writable
    assert "/" not in writable
    assert node.terminate() == 0


@pytest.mark.parametrize("path", ["/data/records.db", "records.db", "/tmp/records.db"])
def test_records_can_be_kept_in_data(contained: Path, nodes: Nodes, path: str) -> None:
    node = nodes.start_secondary(persistent=f"sqlite:{path}", options=["--write-mode=through"])
    with Client("127.0.0.1", node.port) as client:
        client.put("bob", "1")  # the answer means that it is in the file
    assert node.terminate() == 0


def test_nothing_can_be_written_elsewhere(contained: Path, nodes: Nodes) -> None:
    options = ["--write-mode=through", "--load-timeout=100ms"]
    node = nodes.start_secondary(persistent="sqlite:/ckv/records.db", options=options)
    with Client("127.0.0.1", node.port) as client, pytest.raises(CommitTimeout):
        client.put("bob", "1")
    node.wait_for_log("unable to open database file")


def test_a_cluster_before_a_database(contained: Path, mariadb: MariaDB, nodes: Nodes) -> None:
    cluster = nodes.start_cluster(2, persistent=mariadb.address, capacity=5, policy="lru", pool_size=2)
    port = str(cluster.primary.port)
    records = {f"key {number}": f"wert ü {number}" for number in range(40)}
    typed = "".join(f"PUT '{key}' '{value}'\n" for key, value in records.items()) + "DEL 'key 7'\n"
    done = run_ckv("shell", "localhost", port, stdin=typed)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["OK"] * 40 + ["1"]
    del records["key 7"]
    with Client("127.0.0.1", cluster.primary.port) as client:
        assert {key: client.get(key) for key in records} == records
        assert client.get("key 7") is None
    for node in (cluster.primary, *cluster.secondaries):
        assert run_ckv("ping", "localhost", str(node.port)).returncode == 0
        assert run_ckv("status", "localhost", str(node.port)).returncode == 0
    secondary = cluster.secondaries[0]
    assert run_ckv("verify", "localhost", str(secondary.port), mariadb.address).returncode == 0
    for node in (cluster.primary, *cluster.secondaries):
        assert node.terminate() == 0, node.tail()
    assert mariadb.rows() == {key.encode(): value.encode() for key, value in records.items()}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_process_1_saves_every_record(
    contained: Path, mariadb: MariaDB, nodes: Nodes, how: signal.Signals
) -> None:
    seconds = 20
    node = nodes.start_secondary(persistent=mariadb.address, options=[f"--drain-timeout={seconds}s"])
    records = {f"key {number}": f"value {number}" for number in range(2000)}
    with Client("127.0.0.1", node.port) as client, client.pipeline() as pipeline:
        for key, value in records.items():
            pipeline.put(key, value)
    assert mariadb.rows() == {}
    # To the program itself, as an engine does it, and not to what started it here.
    os.kill(process_1(node.pid), how)
    assert node.wait(timeout=seconds) == 0, node.tail()
    assert mariadb.rows() == {key.encode(): value.encode() for key, value in records.items()}


def test_the_health_check(root: Path, allowed: None) -> None:
    # In a network of its own the node can have the very port that the image asks.
    port = IMAGE.health[-1]
    command = [*in_container(root, "--network=none"), "secondary", "localhost:1", port]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as engine:
        try:
            assert engine.stderr
            assert any(f":{port}" in line for line in engine.stderr if "secondary ready on" in line)
            inner = process_1(engine.pid)
            healthy = subprocess.run(inside(inner, *IMAGE.health), capture_output=True, text=True, timeout=30)
            assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "", "")
            told = subprocess.run(inside(inner, *IMAGE.health[:-1], "1"), capture_output=True, text=True, timeout=30)
            assert (told.returncode, told.stderr) == (1, "ckv: 127.0.0.1:1 does not answer: Connection refused\n")
        finally:
            engine.kill()


def inside(pid: int, *words: str) -> list[str]:
    """A command that runs where a process runs, as ``exec`` of an engine does it."""
    user = [f"--setuid={IMAGE.user}", f"--setgid={IMAGE.group}"]
    return ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--root", "--wd", *user, *words]


def test_tls_to_the_database(contained: Path, mariadb_template: Template, tmp_path: Path, nodes: Nodes) -> None:
    check_tls(nodes, mariadb_template, tmp_path)


def test_the_login_of_mysql_8(contained: Path, nodes: Nodes) -> None:
    # Its cryptography is the largest of the modules that were stripped.
    check_mysql_8(nodes)


def test_the_engine_of_these_tests_takes_its_program_with_it(contained: Path, nodes: Nodes) -> None:
    node = nodes.start_secondary()
    inner = process_1(node.pid)
    node.kill()
    eventually(lambda: not Path(f"/proc/{inner}").exists(), what="the program is gone")
