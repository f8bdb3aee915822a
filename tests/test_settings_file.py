"""The file of options: what it may say, what beats it, and how ``ckv config`` helps with it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from ckv import Client
from ckv.errors import BadSetting
from ckv.settings import file, roles
from ckv.settings.table import SETTINGS
from tests.support.nodes import Nodes, run_ckv

SECONDARY: dict[str, Any] = {"<primary>": "localhost:8080", "<port>": "8081"}
PRIMARY: dict[str, Any] = {"<port>": "8080", "<secondary>": []}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ckv.toml"


def secondary(path: Path, arguments: dict[str, Any] | None = None, **environ: str) -> roles.SecondarySettings:
    words = SECONDARY | {"--config": str(path), "--allow-flush": False} | (arguments or {})
    chosen: roles.SecondarySettings = roles.read("secondary", words, environ)
    return chosen


def test_what_beats_what(path: Path) -> None:
    path.write_text(
        'log-level = "debug"\nkeys-max = 50\nallow-flush = true\n'
        '[secondary]\nload-timeout = "2s"\npending-wait = 0.5\nkeys-max = 60\n[primary]\nkeys-max = 70\nsettle = 1\n'
    )
    chosen = secondary(path)
    assert (chosen.log_level, chosen.load_timeout, chosen.pending_wait) == ("debug", 2.0, 0.5)
    assert (chosen.keys_max, chosen.allow_flush, chosen.write_mode) == (60, True, "evict")
    primary = roles.read("primary", PRIMARY | {"--config": str(path)}, {})
    assert (primary.keys_max, primary.settle, primary.log_level) == (70, 1.0, "debug")
    assert secondary(path, CKV_LOAD_TIMEOUT="4s").load_timeout == 4.0
    assert secondary(path, {"--load-timeout": "5s"}, CKV_LOAD_TIMEOUT="4s").load_timeout == 5.0
    assert secondary(path, {"--config": None}, CKV_CONFIG=str(path)).keys_max == 60
    assert secondary(path, {"--config": None}).keys_max == 100_000
    assert secondary(path, {"--config": "-"}, CKV_CONFIG=str(path)).keys_max == 100_000


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("keys-max = \n", r"no TOML: .*line 1"),
        ("key-max = 5\n", r"key-max: no such option \(did you mean keys-max\?\)"),
        ("settle = 'x'\n[secondary]\nsettle = '1s'\n", r"\[secondary\] settle: no such option"),
        ("[shell]\ntimeout = '1s'\n", "shell: no such option"),
        ("primary = 8\n", r"primary: it is a table: allowed is \[primary\]"),
        ("config = 'other.toml'\n", "config: no such option"),
        ("keys_max = 5\n", r"keys_max: no such option \(did you mean keys-max\?\)"),
        ("allow-flush = 'yes'\n", "allow-flush: 'yes' is str: allowed is true or false"),
        ("keys-max = true\n", "keys-max: True is bool: allowed is text or a number"),
        ("keys-max = [1]\n", r"keys-max: \[1\] is list: allowed is text or a number"),
        ("[secondary]\nwrite-mode = 'never'\n", "write-mode: 'never' is not a write mode: allowed is evict, "),
        ("keys-max = 0\n", "keys-max: "),
    ],
)
def test_what_is_wrong_is_named_with_the_file(path: Path, text: str, error: str) -> None:
    path.write_text(text)
    with pytest.raises(BadSetting, match=f"^{re.escape(str(path))}: {error}") as caught:
        secondary(path)
    assert "\n" not in str(caught.value)
    done = run_ckv("config", "check", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ckv: {caught.value}\n")


def test_a_file_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(BadSetting, match=f"^{re.escape(str(path))}: No such file or directory$"):
        secondary(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadSetting, match=f"^{re.escape(str(path))}: no TOML: "):
        secondary(path)


def test_the_sample_has_all_options_with_their_defaults(path: Path) -> None:
    done = run_ckv("config", "sample")
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(done.stdout)
    assert file.read(path) == {"primary": {}, "secondary": {}}
    path.write_text(re.sub(r"(?m)^#(?! )", "", done.stdout))
    found = file.read(path)
    for role in file.NODES:
        known = {
            each.name: each for each in SETTINGS if role in each.roles and each.is_option and each.name != file.OPTION
        }
        assert found[role] == {name: each.default if each.unit else False for name, each in known.items()}
    assert dataclasses.replace(secondary(path), config=None) == secondary(path, {"--config": "-"})


def test_what_nodes_would_be_started_with_and_from_where(path: Path) -> None:
    path.write_text(
        '[primary]\ncoordinator = "mysql://me:secret@db/ckv"\nmove-slots = 9\n[secondary]\nwrite-mode = "through"\n'
    )
    done = run_ckv("config", "show", str(path), env={"CKV_WRITE_DELAY": "3s"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for line in (
        f'coordinator = "mysql://***@db/ckv"  # {path}',
        f'move-slots = "9"  # {path}',
        f'write-mode = "through"  # {path}',
        'write-delay = "3s"  # CKV_WRITE_DELAY',
        'load-timeout = "3s"  # default',
        "cluster-clients = false  # default",
    ):
        assert line in lines
    path.write_text(done.stdout.replace("***@", ""))
    assert run_ckv("config", "check", str(path)).stdout == f"{path}: no mistake was found\n"
    wrong = run_ckv("config", "show", str(path), env={"CKV_WRITE_DELAY": "long"})
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("ckv: CKV_WRITE_DELAY: 'long'")


def test_users_are_named_in_it_and_no_secret_is_shown(path: Path, tmp_path: Path) -> None:
    users, secret = tmp_path / "users", tmp_path / "secret"
    users.touch(0o600)
    users.write_text(f"bob read sha256:{'0' * 64}\n")
    secret.write_text("of-the-node\n")
    named = f'users = "{users}"\nnode-user = "other"\nnode-password-file = "{secret}"\n'
    path.write_text(f'bind = "0.0.0.0"\n{named}')
    chosen = secondary(path)
    assert chosen.users is not None
    assert list(chosen.users.users.by_name) == ["bob"]
    assert chosen.account is not None
    assert (chosen.account.name, chosen.account.secret()) == ("other", b"of-the-node")
    done = run_ckv("config", "show", str(path), env={"CKV_NODE_PASSWORD": "of-the-node", "CKV_PASSWORD": "of-a-tool"})
    assert f'users = "{users}"  # {path}' in done.stdout.splitlines()
    assert not [word for word in ("of-the-node", "of-a-tool", "0" * 64) if word in done.stdout + done.stderr]
    users.write_text("bob\n")
    done = run_ckv("config", "check", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"ckv: {path}: users: {users}:1: not a user: ")


def test_it_may_say_that_no_users_are_meant(path: Path) -> None:
    path.write_text('bind = "0.0.0.0"\n')
    with pytest.raises(BadSetting, match=r"^--bind: '0\.0\.0\.0' without users: "):
        secondary(path)
    path.write_text('bind = "0.0.0.0"\ninsecure = true\n')
    assert secondary(path).insecure


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("check",), "missing: allowed is the path of a file, to check"),
        (("show", "-"), "missing: allowed is the path of a file, to show"),
        (("sample", "ckv.toml"), "'ckv.toml' with sample: allowed is none"),
    ],
)
def test_a_file_where_it_is_needed(words: tuple[str, ...], why: str) -> None:
    done = run_ckv("config", *words)
    assert (done.returncode, done.stderr) == (2, f"ckv: <file>: {why}\n")


def test_a_node_is_started_with_it(nodes: Nodes, path: Path) -> None:
    path.write_text("[secondary]\nmax-value-bytes = 10\n")
    node = nodes.start_secondary(options=[f"--config={path}"])
    with Client("127.0.0.1", node.port) as client, pytest.raises(Exception, match="10 are allowed"):
        client.put("k", "v" * 11)
