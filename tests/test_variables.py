"""Variables that nobody reads are named at start, by every role; those of others are left alone."""

from __future__ import annotations

import re

import pytest

from ckv.settings import variables
from ckv.settings.table import SETTINGS
from tests.support.nodes import ROOT, Nodes, run_ckv
from tests.support.ports import free_port


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("CKV_WRITEMODE", "CKV_WRITEMODE (did you mean CKV_WRITE_MODE?)"),
        ("CKV_WRITE_MODES", "CKV_WRITE_MODES (did you mean CKV_WRITE_MODE?)"),
        ("CKV_MYSQL_PASWORD", "CKV_MYSQL_PASWORD (did you mean CKV_MYSQL_PASSWORD?)"),
        ("CKV_write_mode", "CKV_write_mode (did you mean CKV_WRITE_MODE?)"),
        ("CKV_XYZZY", "CKV_XYZZY"),
        ("CKV_", "CKV_"),
        ("CKV_" + "X" * 100, "CKV_" + "X" * 100),
    ],
)
@pytest.mark.parametrize("value", ["", "through"])
def test_a_stranger_is_named(name: str, value: str, told: str) -> None:
    assert variables.warning({name: value}) == f"ignored: no such variable: {told}"


def test_all_strangers_are_in_one_line() -> None:
    line = variables.warning({"CKV_B": "1", "CKV_BINDS": "::1", "HOME": "/", "CKV_BIND": "::1"})
    assert line == "ignored: no such variable: CKV_B, CKV_BINDS (did you mean CKV_BIND?)"


def test_arguments_have_no_variable() -> None:
    for name in ("CKV_CAPACITY", "CKV_PORT", "CKV_HOST"):
        assert f"no such variable: {name}" in str(variables.warning({name: "5"}))


def test_known_ones() -> None:
    names = [setting.environment for setting in SETTINGS if setting.environment]
    names += ["CKV_MYSQL_USER", "CKV_MYSQL_PASSWORD", "CKV_MYSQL_PASSWORD_FILE", "CKV_MYSQL_DATABASE"]
    assert variables.warning(dict.fromkeys(names, "x")) is None
    assert variables.warning({"HOME": "/", "XCKV_A": "1", "ckv_a": "1", "CKVA": "1"}) is None


def test_those_of_kubernetes_and_docker() -> None:
    # What the kubelet makes of a Service called ckv, and of one called ckv-primary.
    for name in ("CKV", "CKV_PRIMARY"):
        port = f"{name}_PORT"
        links = {
            f"{name}_SERVICE_HOST": "10.0.0.11", f"{name}_SERVICE_PORT": "8080", f"{name}_SERVICE_PORT_CLIENTS": "8080",
            port: "tcp://10.0.0.11:8080", f"{port}_8080_TCP": "tcp://10.0.0.11:8080", f"{port}_8080_TCP_PROTO": "tcp",
            f"{port}_8080_TCP_PORT": "8080", f"{port}_8080_TCP_ADDR": "10.0.0.11",
        }  # fmt: skip
        assert variables.warning(links) is None


def test_those_of_the_tests_and_the_benchmark() -> None:
    used = set()
    for folder in ("tests", "bench", "build", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".sh", "") and path.is_file() and not {"out", "cache", ".venv"} & set(path.parts):
                used.update(re.findall(r"""environ(?:\.get\(|\[)["'](CKV_[A-Z_]+)""", path.read_text(errors="replace")))
    assert used
    assert used <= {*variables.OF_TOOLS, *variables.known()}


@pytest.mark.parametrize(
    "words", [("shell", "127.0.0.1", "PORT", "PING"), ("status", "127.0.0.1", "PORT"), ("ping", "127.0.0.1", "PORT"),
              ("verify", "127.0.0.1", "PORT", "sqlite:x"), ("demo", "127.0.0.1", "PORT")],
)  # fmt: skip
def test_every_role_says_so(words: tuple[str, ...]) -> None:
    port = str(free_port())
    done = run_ckv(*(word.replace("PORT", port) for word in words), env={"CKV_WRITEMODE": "through"})
    first, *others = done.stderr.splitlines()
    assert first == "ckv: ignored: no such variable: CKV_WRITEMODE (did you mean CKV_WRITE_MODE?)"
    assert len(others) == 1


def test_a_node_logs_it(nodes: Nodes) -> None:
    secondary = nodes.start_secondary(env={"CKV_WRITEMODE": "through"})
    primary = nodes.start_primary(secondary, env={"CKV_WRITEMODE": "through"}, options=["--log-format=json"])
    for node in (secondary, primary):
        (line,) = [line for line in node.log if "CKV_WRITEMODE" in line]
        assert "WARNING" in line
        assert "did you mean CKV_WRITE_MODE?" in line
