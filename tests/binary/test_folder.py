"""The native program: what it is made of works, wherever and however it is started."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import ckv
from ckv import Client
from ckv.errors import CkvError
from ckv.node.page import document
from tests.binary.logins import check_mysql_8, check_tls
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDB
from tests.support.nodes import ROOT, Node, Nodes, ckv_environment, run_ckv
from tests.support.ports import free_port
from tests.support.products import Template
from tests.system.test_http import ask


def loaded(node: Node) -> str:
    """The names of all files that are mapped into the process."""
    return Path(f"/proc/{node.pid}/maps").read_text()


def test_it_says_what_it_is(program: Path) -> None:
    told = run_ckv("--version").stdout
    assert told.startswith(f"ckv {ckv.__version__} (commit ")
    # Baked in: it is the same from wherever it is started, and without git.
    done = subprocess.run([program, "--version"], cwd="/", env={"PATH": "/nonexistent"}, capture_output=True, text=True)
    assert done.stdout == told
    assert "(commit unknown," not in told


def test_the_fast_parts_are_the_compiled_ones(program: Path, nodes: Nodes) -> None:
    maps = loaded(nodes.start_secondary())
    for part in (
        "/compiled/ckv__mypyc.so",
        "/compiled/ckv.net.connection.so",
        "/msgpack/_cmsgpack.so",
        "/gevent/libev/corecext.so",
        "/compiled/ckv.core.records.so",
        "/_json.so",
    ):
        assert f"{program.parent}{part}" in maps, part


def test_it_brings_the_status_page(program: Path, nodes: Nodes) -> None:
    answer, text = ask(nodes.start_secondary(options=["--http=0"]), "/")
    assert (answer.status, text) == (200, document().text)


def test_nothing_comes_from_a_python_of_the_machine(program: Path, nodes: Nodes, mariadb: MariaDB) -> None:
    node = nodes.start_secondary(persistent=mariadb.address)
    node.wait_for_log("database connected")
    files = {line.split(maxsplit=5)[5] for line in loaded(node).splitlines() if line.count("/")}
    foreign = {file for file in files if file.endswith(".so") or "python" in file} - {
        file for file in files if Path(file).is_relative_to(program.parent)
    }
    assert foreign == set()


# What every glibc system has, and libz; docs/releasing.md lists them, for whoever builds an image from nothing.
OF_THE_SYSTEM = {
    "ld-linux",
    "libc",
    "libdl",
    "libgcc_s",
    "libm",
    "libpthread",
    "librt",
    "libstdc++",
    "libz",
    "linux-vdso",
}


def test_it_brings_its_libraries(program: Path) -> None:
    beside = {**os.environ, "LD_LIBRARY_PATH": str(program.parent)}
    foreign = set()
    for file in [program, *sorted(program.parent.rglob("*.so*"))]:
        done = subprocess.run(["ldd", file], env=beside, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            name, _, place = line.strip().partition(" => ")
            if name != "statically linked" and not place.startswith(f"{program.parent}/"):
                foreign.add(Path(name.split()[0]).name.split(".so")[0].split("-x86")[0].split("-aarch64")[0])
    assert foreign <= OF_THE_SYSTEM


def test_tls_to_the_database(program: Path, mariadb_template: Template, tmp_path: Path, nodes: Nodes) -> None:
    check_tls(nodes, mariadb_template, tmp_path)


def test_the_login_of_mysql_8(program: Path, nodes: Nodes) -> None:
    check_mysql_8(nodes)


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL"])
@pytest.mark.parametrize("name", ["C", "POSIX", "C.UTF-8", "de_DE.UTF-8", "xx_YY.ISO-8859-1", "", "/", "\udcff"])
def test_the_locale_may_be_anything(program: Path, variable: str, name: str, nodes: Nodes) -> None:
    node = nodes.start_secondary(env={variable: name})
    key = "schlüssel €"
    done = run_ckv("shell", "127.0.0.1", str(node.port), stdin=f"PUT '{key}' ü€\nGET '{key}'\n", env={variable: name})
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\nü€\n", "")
    assert node.terminate() == 0


def test_a_machine_without_any_locale(program: Path) -> None:
    hidden = 'mount -t tmpfs none /usr/lib/locale && exec "$0" --version'
    command = ["unshare", "--mount", "sh", "-c", hidden]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("a namespace of one's own takes root")
    for name in ("", "C", "C.UTF-8", "xx_YY.UTF-8"):
        environment = ckv_environment({"LANG": name})
        done = subprocess.run([*command, program], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout.endswith(", compiled)\n")


def is_stored(client: Client) -> bool:
    try:
        client.put("bob", "1")
    except CkvError:  # it is not there yet, or does not know yet what it serves
        return False
    return True


def test_as_process_1_it_drains_and_stops(program: Path, mariadb: MariaDB, tmp_path: Path) -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("a namespace of one's own takes root")
    port = free_port()
    arguments = ["secondary", "--drain-timeout=20s", "localhost:1", str(port), mariadb.address]
    with subprocess.Popen([*command, program, *arguments], env=ckv_environment(), stderr=subprocess.PIPE) as outer:
        try:
            with Client("127.0.0.1", port) as client:
                eventually(lambda: is_stored(client), what="the node serves")
            (inner,) = map(int, Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split())
            status = Path(f"/proc/{inner}/status").read_text()
            assert next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1] == "1"
            os.kill(inner, signal.SIGTERM)
            _, log = outer.communicate(timeout=20)
        finally:
            outer.kill()
    assert outer.returncode == 0, log.decode()
    assert mariadb.rows() == {b"bob": b"1"}


def test_the_folder_may_be_moved_and_read_only(program: Path, tmp_path: Path) -> None:
    moved = tmp_path / "some where"
    shutil.copytree(program.parent, moved)
    before = sorted(moved.rglob("*"))
    done = subprocess.run([moved / "ckv", "demo"], cwd="/", env=ckv_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(moved.rglob("*")) == before


def test_an_error_has_a_traceback_without_paths_of_the_build(program: Path, nodes: Nodes) -> None:
    text = (program.parent / "ckv").read_bytes()
    assert str(ROOT).encode() not in text


def test_status_and_json_logs(program: Path, nodes: Nodes) -> None:
    node = nodes.start_secondary(options=["--log-format=json"])
    done = run_ckv("status", "--format=json", "127.0.0.1", str(node.port))
    assert json.loads(done.stdout)["process_id"] == node.pid
    assert json.loads(node.log[0])["level"] == "WARNING"


def test_it_is_for_this_machine(program: Path) -> None:
    assert program.parent.name == f"ckv-{ckv.__version__}-linux-{platform.machine()}"
