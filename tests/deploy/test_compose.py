"""The files of compose are valid and right, and mistakes in them are seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.commandline import parse
from tests.deploy.compose import FILE, SECURE, problems, read
from tests.deploy.rendered import Object

WAYS = pytest.mark.parametrize("over", [(), (SECURE,)], ids=["plain", "secure"])


@WAYS
def test_the_file_is_right(over: tuple[Path, ...]) -> None:
    assert list(problems(read(*over))) == []


@WAYS
def test_its_own_manual_gives_ckv_commands_that_it_takes(over: tuple[Path, ...]) -> None:
    found = re.findall(r"#.* exec (\S+) (/ckv/ckv) (.*)", (FILE, *over)[-1].read_text())
    assert found
    services = read(*over)["services"]
    for service, program, arguments in found:
        assert services[service]["healthcheck"]["test"][1] == program
        health = parse(services[service]["healthcheck"]["test"][2:], {})
        assert parse(arguments.split(), {}).address.port == health.address.port


def test_its_own_manual_makes_the_secrets_that_it_reads() -> None:
    (names,) = re.findall(r"#\s+for name in (.*?);", FILE.read_text())
    assert {f"./secrets/{name}" for name in names.split()} == {entry["file"] for entry in read()["secrets"].values()}


def swap(words: list[str], one: int, other: int) -> None:
    words[one], words[other] = words[other], words[one]


MISTAKES: dict[str, Callable[[Any], object]] = {
    "a field that does not exist": lambda s: s["primary"].update(readonly=True),
    "a duration without a unit": lambda s: s["primary"].update(stop_grace_period="forty"),
    "arguments are swapped": lambda s: swap(s["secondary-0"]["command"], 4, 5),
    "an argument is left out": lambda s: s["secondary-0"]["command"].pop(1),
    "an option that ckv does not have": lambda s: s["primary"]["environment"].update(CKV_DRAIN="30s"),
    "a list of secondaries": lambda s: s["primary"]["command"].append("secondary-0:8081"),
    "a secondary joins at the wrong port": lambda s: s["secondary-0"]["command"].__setitem__(1, "primary:8081"),
    "a secondary joins elsewhere": lambda s: s["secondary-1"]["command"].__setitem__(1, "ckv:8080"),
    "the health check asks another port": lambda s: s["primary"]["healthcheck"]["test"].__setitem__(4, "8081"),
    "the health check needs a shell": lambda s: s["primary"]["healthcheck"].update(test="/ckv/ckv ping 127.0.0.1 8080"),
    "the health check ends too early": lambda s: s["primary"]["healthcheck"].update(timeout="1s"),
    "no time for MySQL to be set up": lambda s: s["primary"]["healthcheck"].update(start_period="30s"),
    "nobody looks during the start": lambda s: s["secondary-1"]["healthcheck"].pop("start_interval"),
    "no time for the drain": lambda s: s["secondary-0"].update(stop_grace_period="10s"),
    "a secondary with another name in each container": lambda s: s["secondary-0"].pop("hostname"),
    "two secondaries of one name": lambda s: s["secondary-1"].update(hostname="secondary-0"),
    "the database on another network": lambda s: s["mysql"].update(networks=["clients"]),
    "a password": lambda s: s["mysql"]["environment"].update(MYSQL_PASSWORD="letmein"),
    "a secret that is not there": lambda s: s["mysql"]["secrets"].append("token"),
    "a file that no secret is": lambda s: s["secondary-1"].update(secrets=[]),
    "a database that may not read its password": lambda s: s["mysql"].pop("group_add"),
    "another account": lambda s: s["mysql"]["environment"].update(MYSQL_USER="app"),
    "more clients than the memory is enough for": lambda s: s["primary"]["environment"].pop("CKV_MAX_CONNECTIONS"),
    "less memory than the clients take": lambda s: s["primary"].update(mem_limit="192m"),
    "more clients than a secondary has memory for": lambda s: s["secondary-0"]["environment"].update(
        CKV_MAX_CONNECTIONS="10000"
    ),
    "a port for everybody": lambda s: s["primary"].update(ports=["8080:8080"]),
    "the wrong port": lambda s: s["primary"].update(ports=["127.0.0.1:8080:8081"]),
    "a root file system that can be written to": lambda s: s["mysql"].update(read_only=False),
    "capabilities": lambda s: s["secondary-1"].update(cap_drop=[]),
    "root": lambda s: s["secondary-1"].pop("user"),
    "an image without a version": lambda s: s["mysql"].update(image="mysql"),
    "another version of ckv": lambda s: s["secondary-1"].update(image="ckv:0.0.1"),
    "a volume that is not there": lambda s: s["mysql"].update(volumes=["data:/var/lib/mysql"]),
    "it waits for nobody": lambda s: s["primary"].update(depends_on=["secondary-2"]),
}


def copied(value: Any) -> Any:
    """The same without anything that is shared: an anchor of YAML is one object wherever it is used."""
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("make", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_seen(make: Callable[[Any], object]) -> None:
    check_that_it_is_seen(make)


SECURE_MISTAKES: dict[str, Callable[[Any], object]] = {
    "a node without users": lambda s: s["primary"]["environment"].pop("CKV_USERS"),
    "a node without TLS": lambda s: [s["primary"]["environment"].pop(f"CKV_TLS_{of}") for of in ("CERT", "KEY", "CA")],
    "certificates with the host of each node": lambda s: s["secondary-1"]["environment"].pop("CKV_TLS_NAME"),
    "a node that takes anybody": lambda s: s["primary"]["command"].append("--insecure"),
    "a database that takes anybody": lambda s: s["mysql"]["command"].pop(),
    "a database whose certificate nobody looks at": lambda s: s["secondary-0"]["environment"].update(
        CKV_MYSQL_TLS="prefer"
    ),
    "a certificate that no secret is": lambda s: s["primary"]["secrets"].remove("node-cert"),
    "a key of the database that no secret is": lambda s: s["mysql"]["secrets"].remove("mysql-key"),
    "no more memory than without TLS": lambda s: s["primary"].update(mem_limit="256m"),
}


@pytest.mark.parametrize("make", SECURE_MISTAKES.values(), ids=SECURE_MISTAKES)
def test_a_mistake_of_the_secure_one_is_seen(make: Callable[[Any], object]) -> None:
    check_that_it_is_seen(make, SECURE)


def check_that_it_is_seen(make: Callable[[Any], object], *over: Path) -> None:
    broken: Object = copied(read(*over))
    make(broken["services"])
    assert broken != read(*over)
    assert list(problems(broken)) != []
