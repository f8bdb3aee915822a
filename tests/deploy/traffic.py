"""Who may talk to whom by the NetworkPolicies, worked out pod by pod as a network plug-in does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.deploy.rendered import Cluster, Object, labels_of, matches

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes puts a namespace's name on the namespace under this label."""


@dataclass(frozen=True)
class Pod:
    """One end of a connection."""

    name: str
    namespace: str
    labels: tuple[tuple[str, str], ...]


def pod(name: str, namespace: str, **labels: str) -> Pod:
    return Pod(name, namespace, tuple((key.replace("_", "-"), value) for key, value in labels.items()))


CLIENT = pod("client", "shop", ckv_client="true")
STRANGER = pod("stranger", "shop")
STRANGER_WITHIN = pod("stranger within", "ckv")
PROMETHEUS = pod("Prometheus", "monitoring", **{"app.kubernetes.io/name": "prometheus"})
DNS = pod("DNS", "kube-system", k8s_app="kube-dns")
NEIGHBOUR = pod("another pod beside Prometheus", "monitoring")
NAMESAKE = pod("somebody else's Prometheus", "shop", **{"app.kubernetes.io/name": "prometheus"})
DNS_PORT = 53

Flow = tuple[str, str, str, int]
"""From, to, protocol, port."""


def network_policies(cluster: Cluster) -> Iterator[str]:
    """Clients to primaries, nodes to each other but for the primaries, nodes to MySQL and to DNS, Prometheus to nodes
    that tell it anything, and nothing else. Where there is ZooKeeper, primaries to that in the place of MySQL, and its
    servers to each other and to DNS."""
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    ours = {container.workload["metadata"]["name"]: container for container in cluster.containers()}
    database, zookeeper = cluster.database.workload["metadata"]["name"], cluster.zookeeper
    first, second = primary.workload["metadata"]["name"], secondary.workload["metadata"]["name"]
    wanted: set[Flow] = {
        (CLIENT.name, first, "TCP", primary.port_numbers[0]),
        (second, first, "TCP", primary.port_numbers[0]),
        *((name, second, "TCP", secondary.port_numbers[0]) for name in (first, second)),
        (second, database, "TCP", cluster.database.port_numbers[0]),
        *((PROMETHEUS.name, name, "TCP", port) for name in (first, second) for port in ours[name].port_numbers[1:]),
        *((name, DNS.name, protocol, DNS_PORT) for name in (first, second) for protocol in ("TCP", "UDP")),
    }
    if zookeeper is None:
        wanted.add((first, database, "TCP", cluster.database.port_numbers[0]))
    else:
        servers = zookeeper.workload["metadata"]["name"]
        client, *among = zookeeper.port_numbers
        wanted |= {(first, servers, "TCP", client), *((servers, servers, "TCP", port) for port in among)}
        wanted |= {(servers, DNS.name, protocol, DNS_PORT) for protocol in ("TCP", "UDP")}
    pods = [
        Pod(name, container.workload["metadata"]["namespace"], tuple(labels_of(container.workload).items()))
        for name, container in ours.items()
    ]
    everybody = [*pods, CLIENT, STRANGER, STRANGER_WITHIN, PROMETHEUS, NEIGHBOUR, NAMESAKE, DNS]
    numbers = {DNS_PORT, *(number for container in ours.values() for number in container.port_numbers)}
    allowed = {
        (source.name, target.name, protocol, number)
        for source in everybody
        for target in everybody
        for protocol in ("TCP", "UDP")
        for number in numbers
        if _is_allowed(cluster, source, target, protocol, number)
        # What others may send to others is not ours to say. A pod stands for all of its workload, which may be several.
        if source in pods or target in pods
    }
    yield from (f"{flow} is not allowed" for flow in sorted(wanted - allowed))
    yield from (f"{flow} is allowed" for flow in sorted(allowed - wanted))


def _is_allowed(cluster: Cluster, source: Pod, target: Pod, protocol: str, number: int) -> bool:
    """Both ends have to permit it."""
    return _permits(cluster, "Egress", source, target, protocol, number) and _permits(
        cluster, "Ingress", target, source, protocol, number
    )


def _permits(cluster: Cluster, direction: str, this: Pod, other: Pod, protocol: str, number: int) -> bool:
    """Whether the policies of one end permit it: without any policy for the direction, everything is permitted."""
    policies = [
        policy
        for policy in cluster.of_kind("NetworkPolicy")
        if policy["metadata"].get("namespace") == this.namespace
        and matches(policy["spec"]["podSelector"], dict(this.labels))
        and direction in policy["spec"]["policyTypes"]
    ]
    if not policies:
        return True
    field, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        _port_fits(rule.get("ports"), protocol, number)
        and (peers not in rule or any(_peer_fits(peer, policy, other) for peer in rule[peers]))
        for policy in policies
        for rule in policy["spec"].get(field, [])
    )


def _port_fits(ports: list[Object] | None, protocol: str, number: int) -> bool:
    return ports is None or any(
        port.get("protocol", "TCP") == protocol and port.get("port", number) == number for port in ports
    )


def _peer_fits(peer: Object, policy: Object, other: Pod) -> bool:
    if "namespaceSelector" in peer:
        within = matches(peer["namespaceSelector"], {NAMESPACE_LABEL: other.namespace})
    else:
        within = policy["metadata"]["namespace"] == other.namespace
    return within and matches(peer.get("podSelector"), dict(other.labels))
