"""Rules about how the nodes are run: arguments, probes, the time to stop, memory."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any, Final

import ckv
from ckv.address import Address
from ckv.errors import BadSetting
from ckv.net.lobby import MOST_GUESTS
from ckv.protocol.limits import IDLE_CONNECTION_BYTES, KIB, TLS_BYTES
from ckv.settings.roles import PrimarySettings, SecondarySettings
from tests.deploy.commandline import NODE_PASSWORD_FILE, PASSWORD_FILE, USERS, parse, unknown_variables
from tests.deploy.quantities import number_of
from tests.deploy.rendered import Cluster, Container

RECORD_OVERHEAD: Final = 200
PAYLOAD: Final = 80
"""Bytes that a record takes in memory beside its key and value, and the key and value that the sizes are made for."""

BEYOND_THE_BOUND: Final = 1.1
"""What a process takes for its records, as a part of --memory-max, at most; tests/system/test_memory.py has it."""

OF_A_NODE: Final = 50 * 2**20
"""Bytes that a node takes which nobody uses; docs/releasing.md has them measured."""

TLS_SESSIONS: Final = 20_480
TLS_SESSION_BYTES: Final = KIB
TLS_SESSION_BYTES_OF_KNOWN: Final = 10 * KIB
"""Sessions of TLS 1.2 that OpenSSL keeps for a node, and what each takes, more where clients have certificates;
docs/security.md."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

PROBE_START: Final = 1.0
"""Seconds that a probe needs to start, on a busy machine, before its own time-out runs."""


def arguments(cluster: Cluster) -> Iterator[str]:
    """ckv takes the arguments and options of each node, and reads every variable that is meant for it."""
    roles = [container.role for container in cluster.containers() if container.is_ckv]
    if sorted(roles) != ["primary", "secondary"]:
        yield f"the containers have the roles {roles}"
    for container in cluster.containers():
        if not container.is_ckv:
            continue
        try:
            settings = parse(container.args, container.environ)
        except BadSetting as error:
            yield f"{container.name}: {error}"
            continue
        listens = [Address(settings.bind, settings.port), *([settings.http] if settings.http else [])]
        if container.port_numbers != [address.port for address in listens]:
            yield f"{container.name}: listens on {listens} and declares {container.port_numbers}"
        for address in listens:
            if address.host in LOOPBACK:
                yield f"{container.name}: listens on {address}, where no other pod reaches it"
        for variable in unknown_variables(container.environ):
            yield f"{container.name}: ckv knows no {variable}"
        for variable, value in container.environ.items():
            if "$(" in value:
                yield f"{container.name}: {variable} is {value}, in which a variable is not filled in"


def probes(cluster: Cluster) -> Iterator[str]:
    """Each container is asked in all three ways, on its own port, and ckv's own time-out ends before the probe's.

    Readiness is more than an answer; a node that is not ready, as the database is away, must not be killed for it.
    """
    for container in cluster.containers():
        if len(container.probes) < 3:
            yield f"{container.name}: has {sorted(container.probes)} alone"
        for kind, probe in container.probes.items():
            command = probe.get("exec", {}).get("command", [])
            if container.is_ckv:
                yield from (f"{container.name}: {kind}: {problem}" for problem in _ping(container, probe, command))
                if ("--ready" in command) != (kind == "readinessProbe"):
                    yield f"{container.name}: {kind}: {command} asks for something else"
            elif not _asks(container, probe, command):
                yield f"{container.name}: {kind}: {probe} does not ask port {container.port_numbers[0]}"


def _asks(container: Container, probe: dict[str, Any], command: list[str]) -> bool:
    """Whether a probe asks the port of what is not ckv's, in the way of the program that it runs or by connecting."""
    port, name = container.port_numbers[0], container.spec["ports"][0]["name"]
    ways = (f"--port={port}", f"/dev/tcp/127.0.0.1/{port} ")
    return any(way in word + " " for way in ways for word in command) or probe.get("tcpSocket") == {"port": name}


def _ping(container: Container, probe: dict[str, Any], command: list[str]) -> Iterator[str]:
    if command[1:2] != ["ping"]:
        yield f"{command} is no ping"
        return
    try:
        # A probe runs in the container, so it has the container's variables.
        settings = parse(command[1:], container.environ)
    except BadSetting as error:
        yield str(error)
        return
    if settings.address not in [Address("127.0.0.1", port) for port in container.port_numbers[:1]]:
        yield f"asks {settings.address}, and the node listens on {container.port_numbers}"
    if settings.timeout + PROBE_START > probe.get("timeoutSeconds", 1):
        yield f"ping waits {settings.timeout} s, and is ended after {probe.get('timeoutSeconds', 1)} s"


def time_to_stop(cluster: Cluster) -> Iterator[str]:
    """The grace period is longer than the drain and what comes before it."""
    for container in cluster.containers():
        if container.is_ckv:
            before = container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = parse(container.args, container.environ).drain_timeout
            grace = container.pod.get("terminationGracePeriodSeconds", 30)
            if grace <= before + drain:
                yield f"{container.name}: has {grace} s to stop, and takes up to {before} + {drain:g} s"


def memory(cluster: Cluster) -> Iterator[str]:
    """The limit has room for the clients and the records that a node may hold, and is reserved."""
    for container in cluster.containers():
        resources = container.spec.get("resources", {})
        limit = number_of(resources.get("limits", {}).get("memory", "0"))
        if limit != number_of(resources.get("requests", {}).get("memory", "0")) or not limit:
            yield f"{container.name}: the memory that it may take is not reserved"
        if container.is_ckv:
            least = most_bytes(parse(container.args, container.environ))
            if limit <= least:
                yield f"{container.name}: may take {limit} bytes, and its clients and records take {least}"


def most_bytes(settings: PrimarySettings | SecondarySettings) -> int:
    """The memory that a node takes whose places are all taken, and a secondary that is full."""
    each, most = IDLE_CONNECTION_BYTES, OF_A_NODE
    if settings.certificates is not None:
        each += TLS_BYTES
        is_known = settings.certificates.server.verify_mode is ssl.CERT_REQUIRED
        most += TLS_SESSIONS * (TLS_SESSION_BYTES_OF_KNOWN if is_known else TLS_SESSION_BYTES)
    most += (settings.max_connections + MOST_GUESTS) * each
    if isinstance(settings, SecondarySettings):
        records = settings.capacity * (PAYLOAD + RECORD_OVERHEAD)
        if settings.memory_max:
            records = min(records, int(settings.memory_max * BEYOND_THE_BOUND))
        most += records + settings.pending_max_bytes
    return most


def images(cluster: Cluster) -> Iterator[str]:
    """Every image has a version, and ckv's is this one."""
    for container in cluster.containers():
        _, _, tag = container.spec["image"].rpartition("/")[2].partition(":")
        if tag in ("", "latest") or (container.is_ckv and tag != ckv.__version__):
            yield f"{container.name}: runs {container.spec['image']}"


def password_file(cluster: Cluster) -> Iterator[str]:
    """Where the nodes and the server read a password, a Secret is mounted, and all read the same key. With ZooKeeper
    primaries read none."""
    database = cluster.database
    theirs = key_at(database, database.environ.get("MYSQL_PASSWORD_FILE"))
    for container in cluster.containers():
        if container.is_ckv and (container.role == "secondary" or cluster.zookeeper is None):
            ours = key_at(container, container.environ.get(PASSWORD_FILE))
            if ours is None or ours != theirs:
                yield f"{container.name}: reads {ours}, the server {theirs}"
    if key_at(database, database.environ.get("MYSQL_ROOT_PASSWORD_FILE")) in (None, theirs):
        yield "root has no password of its own"


def users(cluster: Cluster) -> Iterator[str]:
    """All nodes ask who somebody is, or none does; then users, and the secret by which nodes and probes log in as
    `node`, are files of one Secret, and nothing says that it is meant that there are none."""
    asked = {container.environ.get(USERS, "") for container in cluster.containers() if container.is_ckv}
    if len(asked) != 1:
        yield f"the nodes have different users: {sorted(asked)}"
    for container in cluster.containers():
        if not container.is_ckv or USERS not in container.environ:
            continue
        keys = [key_at(container, container.environ.get(variable)) for variable in (USERS, NODE_PASSWORD_FILE)]
        if keys != [("ckv-users", "users"), ("ckv-users", "node-password")]:
            yield f"{container.name}: reads {keys}"
        if container.environ.get("CKV_PASSWORD_FILE") != container.environ.get(NODE_PASSWORD_FILE):
            yield f"{container.name}: its probe has another secret than that of nodes"
        if container.environ.get("CKV_USER") != "node":
            yield f"{container.name}: its probe asks as somebody else"
        if "--insecure" in container.args:
            yield f"{container.name}: has users, and --insecure"


def key_at(container: Container, path: str | None) -> tuple[str, str] | None:
    """The Secret and its key that a file is made from."""
    volumes = {volume["name"]: volume for volume in container.pod.get("volumes", [])}
    for mount in container.spec.get("volumeMounts", []):
        secret = volumes.get(mount["name"], {}).get("secret", {})
        for item in secret.get("items", []):
            if path == f"{mount['mountPath']}/{item['path']}":
                return secret["secretName"], item["key"]
    return None
