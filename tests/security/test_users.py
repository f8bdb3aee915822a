"""The file of users: what it may look like, who may read it, and what nobody is told about who is in it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckv.errors import BadSetting
from ckv.security import editing, secrets
from ckv.security.rights import Rights, rights_of
from ckv.security.users import User, Users, UsersFile, parse, read
from tests.fuzz import users as fuzzed

HASH = str(secrets.kept(b"secret", "sha256"))
SCRYPT = str(secrets.kept(b"a password", "scrypt"))


def refusal(text: str) -> str:
    """What is said of a file with this text; empty if it is taken."""
    try:
        parse(text, "users")
    except BadSetting as error:
        return str(error)
    return ""


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "users"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_line_for_each_user() -> None:
    users = parse(f"# who\n\nbob write {HASH},{SCRYPT} ~orders:* ~stock:*\n  ann   admin {HASH}  \n", "users")
    assert list(users.by_name) == ["bob", "ann"]
    bob, ann = users.by_name.values()
    assert bob.rights == Rights("write", ("orders:", "stock:"))
    assert ann.rights == Rights("admin")
    assert [bob.matching(b"secret"), bob.matching(b"a password")] == list(bob.kept)
    assert bob.matching(b"Secret") is None
    assert bob.is_slow
    assert not ann.is_slow


def test_what_is_written_is_what_is_read() -> None:
    user = User("bob", rights_of("read", ["~a*", "~b:*"]), (secrets.kept(b"x", "sha256"), secrets.kept(b"y", "scrypt")))
    assert parse(str(user), "users").by_name == {"bob": user}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("bob", "not a user"),
        ("bob write", "not a user"),
        ("bob writer HASH", "no such class"),
        ("b/b write HASH", "not the name of a user"),
        (f"{'b' * 65} write HASH", "not the name of a user"),
        ("bob write secret", "no hash of a secret"),
        ("bob write sha256:12", "no hash of a secret"),
        ("bob write sha256:zz", "no hash of a secret"),
        ("bob write scrypt:HASH", "no hash of a secret"),
        ("bob write HASH,HASH,HASH", "3 secrets of one user"),
        ("bob write HASH orders:*", "bob: not a prefix of keys"),
        ("bob write HASH ~orders:", "bob: not a prefix of keys"),
        ("bob write HASH ~or*ers:*", "bob: not a prefix of keys"),
        ("bob admin HASH ~orders:*", "bob: admin with prefixes"),
        ("bob node HASH ~orders:*", "bob: node with prefixes"),
        ("bob node HASH rate=1", "bob: node with limits"),
        ("bob read HASH size=1", "bob: not a limit"),
        ("bob read HASH rate=1 rate=1", "bob: not a limit"),
        ("bob read HASH rate=HASH", "bob: rate is not in range: allowed is 0 to 10000000 requests a second"),
        ("bob node HASH connections=1", "bob: node with limits"),
        ("bob read HASH connections=-1", "bob: connections is not in range: allowed is 0 to 1000000, as in"),
        ("bob read HASH bytes=16Me=HASH", "bob: bytes is not in range: allowed is 0 to 1024GiB"),
        ("ann read HASH", "a second user ann"),
    ],
)
def test_a_broken_line_is_named_and_not_shown(line: str, why: str) -> None:
    with pytest.raises(BadSetting) as caught:
        parse(f"ann read {HASH}\n{line.replace('HASH', HASH)}\n", "/etc/users")
    assert str(caught.value).startswith(f"/etc/users:2: {why}")
    assert HASH.partition(":")[2] not in str(caught.value)
    assert "\n" not in str(caught.value)


STRANGE: Final = "\N{SECTION SIGN}"
"""What no message has."""


@pytest.mark.parametrize("number", range(2))
def test_no_word_of_a_broken_line_is_shown_wherever_it_is_broken(number: int) -> None:
    line = fuzzed.SEEDS[number].splitlines()[-1]
    refused = 0
    for at in range(len(line) + 1):
        for broken in (line[:at] + STRANGE + line[at:], line[:at] + STRANGE + line[at + 1 :], line[:at] + STRANGE):
            told = refusal(broken)  # none within a prefix of keys, where it stands for itself
            refused += told != ""
            assert told.isascii(), broken
    assert refused > len(line)


@pytest.mark.parametrize("number", range(2))
def test_what_is_left_of_a_line_that_was_cut_is_no_name_of_a_user(number: int) -> None:
    """Where a line is broken within a hash, the second half begins with what may be a name."""
    line = fuzzed.SEEDS[number].splitlines()[-1]
    for at in range(line.index("sha256:"), len(line)):
        assert refusal(line[at:] + " ~a ~b").startswith("users:1: no"), line[at:]


def test_a_file_without_users_lets_nobody_in_and_is_none() -> None:
    with pytest.raises(BadSetting, match="no users in it"):
        parse("# nobody\n", "users")


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o666, 0o644])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadSetting, match=f"mode {mode:04o}: allowed is 0600"):
        read(written(tmp_path, f"bob read {HASH}\n", mode))


@pytest.mark.skipif(os.geteuid() == 0, reason="what belongs to root a group may read")
def test_a_file_that_a_group_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="mode 0640: allowed is 0600"):
        read(written(tmp_path, f"bob read {HASH}\n", 0o640))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_root_that_a_group_may_read_is_one_that_root_may_edit(tmp_path: Path) -> None:
    path = written(tmp_path, f"bob read {HASH}\n", 0o640)
    os.chown(path, 0, 12345)
    editing.rotate(path, "bob", secrets.kept(b"another", "sha256"))
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 0, 12345)
    assert len(UsersFile(path).users.by_name["bob"].kept) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"bob read {HASH}\n")
    os.chown(path, 12345, 12345)
    with pytest.raises(BadSetting, match="it belongs to another user"):
        read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="No such file"):
        read(tmp_path / "none")
    with pytest.raises(BadSetting, match="directory"):
        read(tmp_path)
    with pytest.raises(BadSetting, match="more than"):
        read(written(tmp_path, "#" * (2**20 + 1)))


def test_a_broken_file_leaves_the_users_of_before(tmp_path: Path) -> None:
    path = written(tmp_path, f"bob read {HASH}\n")
    file = UsersFile(path)
    path.write_text("bob\n")
    with pytest.raises(BadSetting, match="users:1: not a user"):
        file.reload()
    assert list(file.users.by_name) == ["bob"]
    path.write_text(f"ann read {HASH}\n")
    file.reload()
    assert list(file.users.by_name) == ["ann"]


@given(st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    with suppress(BadSetting):
        assert parse(text, "users").by_name


# --- what nobody is told ---------------------------------------------------------------------------------------------


def test_nothing_shows_a_secret_or_what_is_kept_of_it(tmp_path: Path) -> None:
    file = UsersFile(written(tmp_path, f"bob read {HASH}\n"))
    for shown in (repr(file), repr(file.users), repr(file.users.by_name["bob"]), repr(file.users.by_name["bob"].kept)):
        assert HASH.partition(":")[2] not in shown


def test_in_the_place_of_who_is_not_there_stands_always_the_same_one() -> None:
    users = Users(
        [
            User("slow", Rights("read"), (secrets.kept(b"x", "scrypt"),)),
            User("quick", Rights("read"), (secrets.kept(b"x", "sha256"),)),
        ]
    )
    stands = {name: users.find(name)[0].name for name in map(str, range(100))}
    assert set(stands.values()) == {"slow", "quick"}, "it takes the time of either"
    assert stands == {name: users.find(name)[0].name for name in stands}
    assert not any(users.find(name)[1] for name in stands)
    assert users.find("slow") == (users.by_name["slow"], True)


def test_a_secret_is_made_by_chance_and_long() -> None:
    made = {secrets.made() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {43}


# --- rights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "may"),
    [
        ("read", {"anyone", "reader"}),
        ("write", {"anyone", "reader", "writer"}),
        ("admin", {"anyone", "reader", "writer", "operator"}),
        ("node", {"anyone", "reader", "writer", "operator", "node"}),
    ],
)
def test_each_class_may_do_what_those_before_it_may(level: str, may: set[str]) -> None:
    rights = rights_of(level, ())
    assert {access for access in ("anyone", "reader", "writer", "operator", "node") if rights.may("X", access)} == may
    assert rights.may("INFO", "operator")


def test_keys_and_patterns_have_to_begin_with_a_prefix() -> None:
    rights = Rights("read", ("a:", "b:"))
    assert [rights.may_name(key) for key in ("a:", "b:1", "a", "c:", "", "A:1")] == [True, True, *[False] * 4]
    assert [rights.may_match(pattern) for pattern in ("a:*", "b:1?", "a:\\*", "a:")] == [True] * 4
    assert not any(map(rights.may_match, ("*", "a*", "[ab]:*", "?:*", "\\a:*", "")))
    assert Rights("read").may_match("*")
    plain = [Rights("read"), Rights("write"), Rights("write", ("a",)), Rights("admin"), Rights("node")]
    assert [rights.are_plain for rights in plain] == [False, True, False, True, True]
