"""What the address of a persistent tier or of a coordinator may look like, and what an environment adds to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckv.errors import BadSetting
from ckv.persistent.mysql.address import parse
from ckv.persistent.opening import open_coordinator, open_tier

FILE = "CKV_MYSQL_PASSWORD_FILE"


@pytest.mark.parametrize(
    ("address", "name", "password"),
    [
        ("localhost:3306", "mysql://root@localhost:3306/celonis", b"password"),
        ("[::1]:3307", "mysql://root@[::1]:3307/celonis", b"password"),
        ("mysql://db.example.com", "mysql://root@db.example.com:3306/celonis", b"password"),
        ("mysql://[::1]/x", "mysql://root@[::1]:3306/x", b"password"),
        ("mysql://ann@db:1/", "mysql://ann@db:1/celonis", b"password"),
        ("mysql://ann:secret@db:1/x", "mysql://ann@db:1/x", b"secret"),
        ("mysql://ann:@db:1/x", "mysql://ann@db:1/x", b""),
        ("mysql://:secret@db:1", "mysql://root@db:1/celonis", b"secret"),
        ("mysql://a%40b:p%2Fw%25@db:1/x%60y%2F", "mysql://a%40b@db:1/x%60y%2F", b"p/w%"),
        ("mysql://ann:s/e:c@r#e?t@db:1/x", "mysql://ann@db:1/x", b"s/e:c@r#e?t"),
        ("mysql://ann:%FFé@db:1/x", "mysql://ann@db:1/x", b"\xff\xc3\xa9"),
    ],
)
def test_mysql_addresses(address: str, name: str, password: bytes) -> None:
    assert open_tier(address, environ={}).name == name
    assert parse(address, {}).password() == password


def test_the_environment_fills_what_the_address_leaves_out() -> None:
    environ = {"CKV_MYSQL_USER": "ann", "CKV_MYSQL_PASSWORD": "secret", "CKV_MYSQL_DATABASE": "x"}
    assert open_tier("db:1", environ=environ).name == "mysql://ann@db:1/x"
    assert parse("db:1", environ).password() == b"secret"
    assert open_tier("mysql://bob:other@db:1/y", environ=environ).name == "mysql://bob@db:1/y"
    assert parse("mysql://bob:other@db:1/y", environ).password() == b"other"
    assert open_tier("db:1", environ={"CKV_MYSQL_USER": "", "CKV_MYSQL_DATABASE": ""}).name == (
        "mysql://root@db:1/celonis"
    )
    assert parse("db:1", {"CKV_MYSQL_PASSWORD": ""}).password() == b""


def test_a_password_file_is_read_anew_each_time_without_its_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"one\n\n")
    server = parse("db:1", {FILE: str(file)})
    assert server.password() == b"one\n"
    file.write_bytes(b"two")
    assert server.password() == b"two"


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("", "host:port"),
        ("localhost", "'localhost'"),
        ("localhost:", "'localhost:'"),
        (":3306", "':3306'"),
        ("localhost:0", "'localhost:0'"),
        ("localhost:65536", "'localhost:65536'"),
        ("localhost:mysql", "'localhost:mysql'"),
        ("local host:1", "'local host:1'"),
        ("::1:3306", "'::1:3306'"),
        ("localhost:3306/celonis", "'localhost:3306/celonis'"),
        ("postgres://db:1/x", "'postgres://db:1/x'"),
        ("mysql:db:1", "'mysql:db:1'"),
        ("mysql://", "host"),
        ("mysql:///x", "host"),
        ("mysql://db:0/x", "'mysql://db:0/x'"),
        ("mysql://db:1/x/y", "'mysql://db:1/x/y'"),
        ("mysql://db:1/x?charset=latin1", "'mysql://***': behind the name"),
        ("mysql://root:12?ret", "'mysql://***': behind the name"),
        ("mysql://root:12/x?ret", "'mysql://***': behind the name"),
        ("mysql://db:1/x?tls=off&tls=off", "'mysql://db:1/x': behind the name"),
        ("mysql://u:p@db/x?tls=verify&tls-ca=/etc/ca@corp.pem", "an @ in them is written %40"),
        ("mysql://u:p@db/x?tls-ca=/etc/ca@corp.pem&tls=verify", "an @ in them is written %40"),
        ("mysql://db/x?tls=verify&tls-ca=/etc/ca@corp.pem", "an @ in them is written %40"),
        ("mysql://u:p@db/x?tls=verify&tls-ca=/no%40where", ": /no@where: No such"),
        ("mysql://db:1/x#y", "'mysql://db:1/x#y'"),
        ("mysql://db:1/x%00y", "database 'x\\x00y'"),
        ("mysql://db:1/" + "x" * 65, "64"),
        ("mysql://db:1/%FF", "database"),
        ("mysql://a%0Ab@db:1/x", "user"),
        ("sqlite:", "'sqlite:'"),
        ("sqlite::memory:", "'sqlite::memory:'"),
        ("sqlite:a\0b", "'sqlite:a\\x00b'"),
    ],
)
def test_bad_addresses_are_named(address: str, named: str) -> None:
    with pytest.raises(BadSetting) as caught:
        open_tier(address, environ={})
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "root:secret@db:3306",
        "mysql://root:secret@db:x/celonis",
        "mysql://root:secret@db:1/x/y",
        "mysql://root:secret@db:1/x?y",
        "mysql://root:secret?tls=verify",
        "mysql://root:secret?tls-ca=a:1",
        "mysql://root:1?secret",
        "mysql://root:secret@db:1/x?tls=verify&tls-ca=/nowhere",
        "mysql://root:secret@",
        "mysql://root:secret@/x",
        "mysql://root:secret",
        "mysql://root:secret/x",
        "mysql://root:/secret",
        "mysql://root:s:secret",
        "mysql://root:secret@db:1/%FF",
        "postgres://root:secret@db:1/x",
    ],
)
def test_a_bad_address_does_not_show_its_password(address: str) -> None:
    with pytest.raises(BadSetting) as caught:
        open_tier(address, environ={})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"CKV_MYSQL_USER": "a\nb"}, "CKV_MYSQL_USER"),
        ({"CKV_MYSQL_USER": "\udcff"}, "CKV_MYSQL_USER"),
        ({"CKV_MYSQL_DATABASE": "x" * 65}, "CKV_MYSQL_DATABASE"),
        ({"CKV_MYSQL_PASSWORD": "secret", FILE: "/nowhere"}, f"CKV_MYSQL_PASSWORD and {FILE}"),
        ({FILE: "/nowhere/at/all"}, f"{FILE}: No such file or directory: /nowhere/at/all"),
        ({FILE: "/"}, f"{FILE}: Is a directory"),
    ],
)
def test_bad_variables_are_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(BadSetting) as caught:
        open_tier("db:1", environ=environ)
    assert named in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_environment_is_that_of_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKV_MYSQL_DATABASE", "elsewhere")
    assert open_tier("db:1").name == "mysql://root@db:1/elsewhere"


def test_a_sqlite_address_is_the_path() -> None:
    # Absolute, so that the log and INFO say which file it is, wherever the node was started.
    assert open_tier("sqlite:a b/c.db", environ={}).name == f"sqlite:{Path.cwd()}/a b/c.db"
    assert open_tier("sqlite:/a/../b.db", environ={}).name == "sqlite:/b.db"
    assert "password" not in repr(parse("db:1", {}))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("zk://localhost", "zk://localhost:2181/ckv"),
        ("zk://a,b:1,[::1],[::1]:2/x", "zk://a:2181,b:1,[::1]:2181,[::1]:2/x"),
        ("zk://a/x/y-1_2.3/", "zk://a:2181/x/y-1_2.3"),
        ("zk://a/", "zk://a:2181/ckv"),
        ("zk://ann:s/e@c#r,e?t@a,b/x", "zk://ann@a:2181,b:2181/x"),
        ("zk://a%40b:secret@a", "zk://a%40b@a:2181/ckv"),
    ],
)
def test_zookeeper_addresses(address: str, name: str) -> None:
    made = open_coordinator(address)
    assert made is not None
    assert made.name == name


@pytest.mark.parametrize(
    "address",
    [
        "zk://",
        "zk:///x",
        "zk://a:0",
        "zk://a:x",
        "zk://a,,b",
        "zk://a b",
        "zk://a/x//y",
        "zk://a/../x",
        "zk://a/x y",
        "zk://a/x?y",
        "zk://@a",
        "zk://ann@a",
        "zk://:secret@a",
        "zk://ann:@a",
        "zk://ann:se%3Acret@a",
        "zk://root:secret",
        "zk://root:secret,b/x",
    ],
)
def test_bad_addresses_of_zookeeper(address: str) -> None:
    with pytest.raises(
        BadSetting, match=r"^coordinator 'zk://.*': allowed is zk://user:password@host:port,host"
    ) as caught:
        open_coordinator(address)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
