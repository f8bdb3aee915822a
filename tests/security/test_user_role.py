"""``ckv user``: the file that it keeps, and the one place where a secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckv.security.users import UsersFile
from tests.support.nodes import run_ckv


def asked(*words: str, stdin: str = "") -> str:
    result = run_ckv("user", *words, stdin=stdin)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def refused(*words: str, stdin: str = "") -> str:
    result = run_ckv("user", *words, stdin=stdin)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("ckv: ").rstrip("\n")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "users")


def secrets_of(path: str, name: str, *secrets: str) -> list[bool]:
    user = UsersFile(Path(path)).users.by_name[name]
    return [user.matching(secret.encode()) is not None for secret in secrets]


def test_a_user_is_added_and_the_secret_is_told_once(path: str) -> None:
    secret = asked("add", path, "bob", "--class=read", "--keys=~orders:* ~stock:*").removesuffix("\n")
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert secret not in Path(path).read_text()
    assert secrets_of(path, "bob", secret, "another") == [True, False]
    assert asked("list", path) == "bob read 1 secret ~orders:* ~stock:*\n"
    assert refused("add", path, "bob") == f"{path}: there is a user bob"


def test_after_a_rotation_two_secrets_are_good_and_after_another_the_oldest_is_not(path: str) -> None:
    told = [
        asked("add", path, "bob").strip(),
        asked("rotate", path, "bob").strip(),
        asked("rotate", path, "bob").strip(),
    ]
    assert secrets_of(path, "bob", *told) == [False, True, True]


def test_a_chosen_password_comes_from_stdin_and_is_not_told(path: str) -> None:
    assert asked("add", path, "bob", "--chosen", stdin="correct horse\n") == ""
    assert "scrypt:" in Path(path).read_text()
    assert secrets_of(path, "bob", "correct horse") == [True]
    assert refused("rotate", path, "bob", "--chosen", stdin="short\n").startswith("--chosen: allowed are 12 characters")
    assert asked("rotate", path, "bob", "--chosen", stdin="battery staple\n") == ""
    assert secrets_of(path, "bob", "correct horse", "battery staple") == [True, True]


def test_remarks_and_order_stay(path: str) -> None:
    for name in ("bob", "ann", "eve"):
        asked("add", path, name)
    Path(path).write_text("# who there is\n" + Path(path).read_text())
    asked("rotate", path, "ann")
    asked("remove", path, "bob")
    assert [line.split()[0] for line in Path(path).read_text().splitlines()] == ["#", "ann", "eve"]
    assert refused("remove", path, "bob") == f"{path}: there is no user bob: there are ann, eve"
    asked("remove", path, "eve")
    assert refused("remove", path, "ann").startswith(f"{path}: ann is the last user")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("show", "PATH"), "<action>: 'show' is not an action"),
        (("add", "PATH"), "<user>: missing"),
        (("list", "PATH", "bob"), "<user>: 'bob' with list"),
        (("add", "PATH", "b b"), "<user>: 'b b' is not the name of a user"),
        (("add", "PATH", "bob", "--class=root"), "--class: 'root' is not a class"),
        (("add", "PATH", "bob:secret"), "<user>: 'bob:***' is not the name of a user"),
        (("add", "PATH", "bob", "--keys=orders:*"), "--keys: 'orders:*' is not a prefix of keys"),
        (("add", "PATH", "bob", "--class=admin", "--keys=~a*"), "--keys: admin with prefixes"),
        (("list", "PATH"), "PATH: No such file"),
    ],
)
def test_what_is_refused_is_one_line(path: str, words: tuple[str, ...], why: str) -> None:
    assert refused(*(word.replace("PATH", path) for word in words)).startswith(why.replace("PATH", path))
    assert not Path(path).exists()
