"""Rules about how the nodes find each other: names that stay, the primaries, the coordinator, the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ckv.address import Address
from ckv.persistent.zookeeper.address import SCHEME
from ckv.persistent.zookeeper.address import parse as parse_ensemble
from ckv.settings.parsers import NO_TIER
from tests.deploy.commandline import parse, server
from tests.deploy.rendered import Cluster, Container, Object, name
from tests.deploy.wiring import is_headless, selected

LEAST_PRIMARIES: Final = 2
"""One may be away."""

LEAST_SERVERS: Final = 3
"""Of ZooKeeper, which needs a majority: one may be away."""


def names(cluster: Cluster) -> Iterator[str]:
    """A secondary is called as its pod is, and is of a StatefulSet: so it is the same one when its pod is replaced."""
    (secondary,) = cluster.of_role("secondary")
    if secondary.workload["kind"] != "StatefulSet":
        yield f"{name(secondary.workload)}: its pods have no names that stay"
    for pod in map(secondary.of_pod, range(2)):
        called = parse(pod.args, pod.environ).name
        if called != pod.pod_name:
            yield f"{pod.pod_name}: the node there is called {called!r}"


def scaling(cluster: Cluster) -> Iterator[str]:
    """How many secondaries there are stands nowhere, and they come and go one after the other."""
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    listed = parse(primary.args, primary.environ).secondaries
    if listed:
        yield f"{primary.name}: lists {', '.join(map(str, listed))}, so that nobody can join"
    if "replicas" in secondary.workload["spec"]:
        yield f"{name(secondary.workload)}: has a number of pods, to which `kubectl apply` sets it back"
    if secondary.workload["spec"].get("podManagementPolicy", "OrderedReady") != "OrderedReady":
        yield f"{name(secondary.workload)}: several may stop at once, each with nobody to give its keys to"


def primaries(cluster: Cluster) -> Iterator[str]:
    """Secondaries are given pods of the primaries, by the names under which these say that they can be reached."""
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    reached = []
    for pod in map(primary.of_pod, range(primary.workload["spec"].get("replicas", 1))):
        settings = parse(pod.args, pod.environ)
        reached.append(Address(settings.advertise or pod.pod_name, settings.port))
        wanted = f"{pod.pod_name}.{primary.workload['spec'].get('serviceName')}"
        if settings.advertise != wanted:
            yield f"{pod.pod_name}: says that it is reached at {settings.advertise!r}, and it is at {wanted}"
    given = parse(secondary.args, secondary.environ).primaries
    if len(set(given)) < LEAST_PRIMARIES:
        yield f"{secondary.name}: knows {len(set(given))} primaries"
    yield from (f"{secondary.name}: {address} is none of the primaries" for address in given if address not in reached)
    service = cluster.find("Service", str(primary.workload["spec"].get("serviceName")))
    if service is None or not service["spec"].get("publishNotReadyAddresses"):
        yield f"{name(primary.workload)}: cannot be found by those that have to join before it is ready"


def databases(cluster: Cluster) -> Iterator[str]:
    """The database of the secondaries is the server that is there."""
    (secondary,) = cluster.of_role("secondary")
    yield from _database_of(cluster, secondary, parse(secondary.args, secondary.environ).persistent)


def coordinators(cluster: Cluster) -> Iterator[str]:
    """The coordinator of the primaries is there: that server, or all servers of ZooKeeper, and no account of MySQL."""
    (primary,) = cluster.of_role("primary")
    coordinator = parse(primary.args, primary.environ).coordinator
    if coordinator == NO_TIER:
        yield f"{primary.name}: has no coordinator, so that each primary would lead"
    elif not coordinator.startswith(SCHEME):
        yield from _database_of(cluster, primary, coordinator)
    elif cluster.zookeeper is None:
        yield f"{primary.name}: there is no ZooKeeper"
    else:
        yield from _servers_of(cluster, cluster.zookeeper, parse_ensemble(coordinator).servers)
        yield from (f"{primary.name}: {variable}" for variable in primary.environ if variable.startswith("CKV_MYSQL"))
        yield from (
            f"{primary.name}: mounts the password of MySQL"
            for volume in primary.pod.get("volumes", [])
            if volume.get("secret", {}).get("secretName") == "ckv-mysql"
        )


def _database_of(cluster: Cluster, container: Container, address: str) -> Iterator[str]:
    database, place = cluster.database, server(address, container.environ)
    yield from _service_of(cluster, place.address, database)
    for what, ours, theirs in (
        ("user", place.user, database.environ.get("MYSQL_USER")),
        ("database", place.database, database.environ.get("MYSQL_DATABASE")),
    ):
        if ours != theirs:
            yield f"{container.name}: the {what} is {ours}, and the server makes {theirs}"


def _servers_of(cluster: Cluster, zookeeper: Container, named: Sequence[Address]) -> Iterator[str]:
    """Primaries name all pods, and these each other."""
    service = str(zookeeper.workload["spec"].get("serviceName"))
    pods = [zookeeper.of_pod(number) for number in range(zookeeper.workload["spec"]["replicas"])]
    if len(pods) < LEAST_SERVERS or len(pods) % 2 == 0:
        yield f"{zookeeper.name}: {len(pods)} servers"
    client, *among = zookeeper.port_numbers
    wanted = [Address(f"{pod.pod_name}.{service}", client) for pod in pods]
    if list(named) != wanted:
        yield f"the primaries ask {', '.join(map(str, named))}"
    configuration = zoo_cfg(cluster)
    servers = [f"{address.host}:{':'.join(map(str, among))}" for address in wanted]
    if [value for key, value in configuration.items() if key.startswith("server.")] != servers:
        yield f"{zookeeper.name}: the servers do not know each other"
    if configuration.get("clientPort") != str(client):
        yield f"{zookeeper.name}: listens on {configuration.get('clientPort')}"
    found = cluster.find("Service", service)
    if found is None or not found["spec"].get("publishNotReadyAddresses"):
        yield f"{zookeeper.name}: servers cannot find each other before they are ready"
    if zookeeper.workload["spec"].get("podManagementPolicy") != "Parallel":
        yield f"{zookeeper.name}: the first one waits for ever for the second one"


def zoo_cfg(cluster: Cluster) -> dict[str, str]:
    """The configuration of the servers of ZooKeeper."""
    (text,) = (thing["data"]["zoo.cfg"] for thing in cluster.of_kind("ConfigMap") if "zoo.cfg" in thing["data"])
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _service_of(cluster: Cluster, address: Address, container: Container) -> Iterator[str]:
    service: Object | None = cluster.find("Service", address.host)
    if service is None:
        yield f"{address}: there is no such Service"
        return
    if container.workload not in selected(cluster, service):
        yield f"{address}: leads elsewhere than to {container.name}"
    if address.port not in [port["port"] for port in service["spec"]["ports"]]:
        yield f"{address}: the Service has no such port"
    if is_headless(service) and address.port not in container.port_numbers:
        yield f"{address}: {container.name} has no such port"
