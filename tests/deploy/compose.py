"""deploy/compose.yaml, and what is put on top of it: reading them, and everything that can be wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import compose_spec
import yaml

import ckv
from ckv.address import Address
from ckv.errors import BadSetting
from tests.deploy.commandline import PASSWORD_FILE, parse, server, unknown_variables
from tests.deploy.hardening import USER_OF_CKV, tells_password
from tests.deploy.rendered import DEPLOY, Object
from tests.deploy.running import PROBE_START, most_bytes

FILE: Final = DEPLOY / "compose.yaml"
SECURE: Final = DEPLOY / "compose.secure.yaml"
"""Goes on top of the other one."""
SECRETS: Final = "/run/secrets"
"""Where compose mounts a secret, under its name."""


def read(*over: Path) -> Object:
    """A new copy of the file with its anchors and merges resolved, and other files on top of it."""
    found: Any = {}
    for path in (FILE, *over):
        found = _merged(found, yaml.safe_load(path.read_text()))
    return dict(found)


def _merged(below: Any, above: Any, field: str = "") -> Any:
    """What compose makes of two files: https://github.com/compose-spec/compose-spec/blob/main/13-merge.md."""
    if isinstance(below, dict):
        return below | {key: _merged(below[key], of, key) if key in below else of for key, of in above.items()}
    if isinstance(below, list) and field not in ("command", "test"):
        return [*below, *(each for each in above if each not in below)]
    return above


def memory_limit(service: Object) -> int:
    """The bytes that a service may take."""
    number, unit = re.fullmatch(r"(\d+)([kmg])", service["mem_limit"]).groups()  # type: ignore[union-attr]
    return int(number) << {"k": 10, "m": 20, "g": 30}[unit]


def problems(file: Object) -> Iterator[str]:
    """Everything that is wrong with the file, as the Compose Specification and ckv see it."""
    try:
        compose_spec.PyCompose.from_json(json.dumps(file))
    except ValueError as error:
        yield str(error)
        return
    services: dict[str, Object] = file["services"]
    first_start = services["mysql"]["healthcheck"]["start_period"]
    for name, service in services.items():
        yield from (f"{name}: {problem}" for problem in _any_service(file, service))
        health = service.get("healthcheck", {})
        if compose_spec.parse_duration(health.get("start_period", "0s")) < compose_spec.parse_duration(first_start):
            yield f"{name}: has less time to be well than the first start of MySQL may take"
        if not compose_spec.parse_duration(health.get("start_interval", "0s")):
            yield f"{name}: is not asked before its start_period is over"
        if name != "mysql":
            yield from (f"{name}: {problem}" for problem in _node(service))
            yield from (f"{name}: {problem}" for problem in _addresses(services, service))
    if str(USER_OF_CKV) not in services["mysql"].get("group_add", []):
        yield "mysql: is not in the group that may read the passwords"
    yield from _encryption(services)
    secondaries = {name: service for name, service in services.items() if service["command"][0] == "secondary"}
    if [word for word in services["primary"]["command"][2:] if not word.startswith("--")]:
        yield "primary: has a list, so that no secondary can join"
    if len({json.dumps([of["command"], of["environment"]]) for of in secondaries.values()}) != 1:
        yield "the secondaries differ in their options"
    yield from (f"{name} has no name that stays" for name, of in secondaries.items() if of.get("hostname") != name)


def _any_service(file: Object, service: Object) -> Iterator[str]:
    if not re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"]) or service["image"].endswith(":latest"):
        yield f"{service['image']} has no version"
    wanted = {
        "read_only": service.get("read_only") is True,
        "cap_drop": service.get("cap_drop") == ["ALL"] and "cap_add" not in service,
        "security_opt": "no-new-privileges:true" in service.get("security_opt", []),
        "user": not str(service.get("user", "0")).startswith(("0", "root")),
        "privileged": not service.get("privileged", False),
        "network_mode": "network_mode" not in service,
        "healthcheck": service.get("healthcheck", {}).get("test", [""])[0] == "CMD",
        "ports": all(port.startswith("127.0.0.1:") for port in service.get("ports", [])),
    }
    yield from (field for field, is_so in wanted.items() if not is_so)
    for variable, value in service["environment"].items():
        if tells_password(variable):
            yield f"{variable} is a password"
        is_file = variable.endswith("_FILE") or value.startswith(f"{SECRETS}/")
        if is_file and value.removeprefix(f"{SECRETS}/") not in service.get("secrets", []):
            yield f"{variable}: {value} is no secret of it"
    for word in service["command"]:
        _, is_one, secret = word.partition(f"={SECRETS}/")
        if is_one and secret not in service.get("secrets", []):
            yield f"{word} is no secret of it"
    for secret in service.get("secrets", []):
        if secret not in file["secrets"]:
            yield f"there is no secret {secret}"
    for field in ("networks", "volumes"):
        for used in service.get(field, []):
            if used.partition(":")[0] not in file[field]:
                yield f"{used} is not among the {field}"
    yield from (f"depends on {other}" for other in service.get("depends_on", []) if other not in file["services"])


def _node(service: Object) -> Iterator[str]:
    if service["image"] != f"ckv:{ckv.__version__}":
        yield f"runs {service['image']}"
    if service.get("user") != f"{USER_OF_CKV}:{USER_OF_CKV}":
        yield f"runs as {service.get('user')}"
    try:
        settings = parse(service["command"], service["environment"])
        _, program, *ping = service["healthcheck"]["test"]
        health = parse(ping, service["environment"])
    except BadSetting as error:
        yield str(error)
        return
    yield from (f"ckv knows no {variable}" for variable in unknown_variables(service["environment"]))
    if memory_limit(service) <= most_bytes(settings):
        yield f"may take {service['mem_limit']}, and its clients and records take {most_bytes(settings)} bytes"
    if settings.bind == "127.0.0.1":
        yield "listens on loopback alone"
    if ping[0] != "ping" or not program.startswith("/"):
        yield f"{service['healthcheck']['test']} is no ping"
    if health.address != Address("127.0.0.1", settings.port):
        yield f"listens on {settings.port} and asks {health.address}"
    if health.timeout + PROBE_START > compose_spec.parse_duration(service["healthcheck"]["timeout"]):
        yield "the health check is ended before the ping gives up"
    if compose_spec.parse_duration(service["stop_grace_period"]) <= settings.drain_timeout:
        yield f"has {service['stop_grace_period']} to stop, and takes up to {settings.drain_timeout} s"
    for published in service.get("ports", []):
        if int(published.rpartition(":")[2]) != settings.port:
            yield f"listens on {settings.port} and publishes {published}"


def _addresses(services: dict[str, Object], service: Object) -> Iterator[str]:
    """What a node is to talk to is a service that listens there, on a network that both are on."""
    try:
        settings = parse(service["command"], service["environment"])
        wanted = []
        if service["command"][0] == "secondary":
            database = server(settings.persistent, service["environment"])
            wanted = [settings.primaries[0], database.address]
            theirs: Any = services["mysql"]["environment"]
            yield from _account(database.user, theirs["MYSQL_USER"])
            yield from _account(database.database, theirs["MYSQL_DATABASE"])
            yield from _account(service["environment"][PASSWORD_FILE], theirs["MYSQL_PASSWORD_FILE"])
    except BadSetting as error:
        yield str(error)
        return
    for address in wanted:
        other = services.get(address.host)
        if other is None:
            yield f"{address}: there is no such service"
        elif str(address.port) not in [*other["command"], *_ports_of_health(other)]:
            yield f"{address}: the service does not listen there"
        elif not set(other["networks"]) & set(service["networks"]):
            yield f"{address}: they share no network"


def _encryption(services: dict[str, Object]) -> Iterator[str]:
    """All nodes ask who somebody is, speak TLS, and look at the certificate of a database that takes nobody without it;
    or nothing of that is so."""
    is_secure = "--require-secure-transport=ON" in services["mysql"]["command"]
    for name, service in services.items():
        if name == "mysql":
            continue
        try:
            settings = parse(service["command"], service["environment"])
            if service["command"][0] == "secondary":
                mode = server(settings.persistent, service["environment"]).encryption.mode
                if mode != ("verify" if is_secure else "prefer"):
                    yield f"{name}: TLS to the database is {mode}"
        except BadSetting as error:
            yield f"{name}: {error}"
            continue
        if (settings.certificates is not None, settings.users is not None) != (is_secure, is_secure):
            yield f"{name}: has not both certificates and users, and the others have, or the other way round"
        if is_secure and ("--insecure" in service["command"] or not service["environment"].get("CKV_TLS_NAME")):
            yield f"{name}: takes anybody, or has no name in the certificate of all"


def _account(ours: str, theirs: str) -> Iterator[str]:
    if ours != theirs:
        yield f"uses {ours}, and the server has {theirs}"


def _ports_of_health(service: Object) -> list[str]:
    return [word.partition("=")[2] for word in service["healthcheck"]["test"] if word.startswith("--port=")]
