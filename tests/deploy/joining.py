"""Rules about how the nodes find each other: names that stay, the primaries, the coordinator, the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ckv.address import Address
from ckv.settings.parsers import NO_TIER
from tests.deploy.commandline import parse, server
from tests.deploy.rendered import Cluster, Container, Object, name
from tests.deploy.wiring import is_headless, selected

LEAST_PRIMARIES: Final = 2
"""One may be away."""


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
    """The database of the secondaries and the coordinator of the primaries are the server that is there."""
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    (database,) = (container for container in cluster.containers() if not container.is_ckv)
    coordinator = parse(primary.args, primary.environ).coordinator
    if coordinator == NO_TIER:
        yield f"{primary.name}: has no coordinator, so that each primary would lead"
        return
    persistent = parse(secondary.args, secondary.environ).persistent
    for container, address in ((primary, coordinator), (secondary, persistent)):
        place = server(address, container.environ)
        yield from _service_of(cluster, place.address, database)
        for what, ours, theirs in (
            ("user", place.user, database.environ.get("MYSQL_USER")),
            ("database", place.database, database.environ.get("MYSQL_DATABASE")),
        ):
            if ours != theirs:
                yield f"{container.name}: the {what} is {ours}, and the server makes {theirs}"


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
