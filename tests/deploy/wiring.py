"""Rules about what refers to what: selectors, ports, ConfigMaps, Secrets, volumes, budgets."""

from __future__ import annotations

from collections.abc import Iterator

from tests.deploy.rendered import Cluster, Container, Object, labels_of, matches, name
from tests.deploy.walkthrough import secrets_made


def selectors(cluster: Cluster) -> Iterator[str]:
    """Every selector takes the pods of exactly one workload, and a workload's own."""
    for workload in cluster.workloads:
        if not matches(workload["spec"]["selector"], labels_of(workload)):
            yield f"{name(workload)}: its selector does not take its own pods"
    for thing in [*cluster.of_kind("Service", "PodDisruptionBudget"), *cluster.workloads]:
        taken = selected(cluster, thing)
        if len(taken) != 1:
            yield f"{name(thing)}: takes the pods of {[name(workload) for workload in taken]}"
    for workload in cluster.workloads:
        for spread in workload["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"], labels_of(workload)):
                yield f"{name(workload)}: topologySpreadConstraints do not count its own pods"


def selected(cluster: Cluster, thing: Object) -> list[Object]:
    """The workloads whose pods a Service, a budget or a workload selects."""
    selector = thing["spec"].get("selector") or {}
    if thing["kind"] == "Service":
        selector = {"matchLabels": selector}
    if not selector.get("matchLabels"):
        return []
    return [workload for workload in cluster.workloads if matches(selector, labels_of(workload))]


def service_ports(cluster: Cluster) -> Iterator[str]:
    """A Service's target is the name of a port of its pods; a StatefulSet's Service is headless and its own."""
    for service in cluster.of_kind("Service"):
        for workload in selected(cluster, service):
            for port in service["spec"]["ports"]:
                if port.get("targetPort") not in ports(workload):
                    yield f"{name(service)}: target port {port.get('targetPort')!r} is not in {ports(workload)}"
                elif is_headless(service) and port["port"] != ports(workload)[port["targetPort"]]:
                    yield f"{name(service)}: headless, so nothing turns {port['port']} into the port of the pod"
    for workload in cluster.of_kind("StatefulSet"):
        service_of_set = cluster.find("Service", workload["spec"].get("serviceName", ""))
        if service_of_set is None or not is_headless(service_of_set):
            yield f"{name(workload)}: its serviceName is no headless Service"
        elif workload not in selected(cluster, service_of_set):
            yield f"{name(workload)}: its Service selects other pods"


def ports(workload: Object) -> dict[str, int]:
    """The ports of a workload's pods, by name."""
    containers = workload["spec"]["template"]["spec"]["containers"]
    return {port["name"]: port["containerPort"] for container in containers for port in container.get("ports", [])}


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def references(cluster: Cluster) -> Iterator[str]:
    """ConfigMaps are among the objects, Secrets among those that the walk-through makes, or cert-manager, with the keys
    asked for."""
    for container in cluster.containers():
        for kind, called, keys in _referred(container):
            there = _keys(cluster, kind, called)
            if there is None:
                yield f"{container.name}: there is no {kind} {called}"
            else:
                yield from (f"{container.name}: {kind} {called} has no {key}" for key in keys if key not in there)


def _referred(container: Container) -> Iterator[tuple[str, str, list[str]]]:
    """Kind, name and keys of everything that fills a container's variables and its pod's volumes."""
    for source in container.spec.get("envFrom", []):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in source:
                yield kind, source[field]["name"], []
    for entry in container.spec.get("env", []):
        for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if field in entry.get("valueFrom", {}):
                yield kind, entry["valueFrom"][field]["name"], [entry["valueFrom"][field]["key"]]
    for volume in container.pod.get("volumes", []):
        for kind, field, name_field in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if field in volume:
                yield kind, volume[field][name_field], [item["key"] for item in volume[field].get("items", [])]


def _keys(cluster: Cluster, kind: str, called: str) -> set[str] | None:
    if kind == "Secret":
        if any(thing["spec"]["secretName"] == called for thing in cluster.of_kind("Certificate")):
            return {"tls.crt", "tls.key", "ca.crt"}
        return secrets_made().get(called)
    thing = cluster.find(kind, called)
    return None if thing is None else set(thing.get("data", {}))


def volumes(cluster: Cluster) -> Iterator[str]:
    """What is mounted is a volume of the pod or a claim of the set, and every one of these is mounted."""
    for workload in cluster.workloads:
        pod = workload["spec"]["template"]["spec"]
        there = {volume["name"] for volume in pod.get("volumes", [])}
        there |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", [])}
        for volume in mounted - there:
            yield f"{name(workload)}: {volume} is mounted and is no volume"
        for volume in there - mounted:
            yield f"{name(workload)}: {volume} is a volume and is not mounted"
        for volume in pod.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and cluster.find("PersistentVolumeClaim", claim) is None:
                yield f"{name(workload)}: there is no PersistentVolumeClaim {claim}"


def budgets(cluster: Cluster) -> Iterator[str]:
    """Each role of ckv, and ZooKeeper, has a budget that lets one pod go at a time; of primaries, which keep nothing,
    those that are not ready as well."""
    budgeted = []
    for budget in cluster.of_kind("PodDisruptionBudget"):
        budgeted += selected(cluster, budget)
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"{name(budget)}: does not let exactly one pod go"
        roles = {
            container.role for container in cluster.containers() if container.workload in selected(cluster, budget)
        }
        policy = budget["spec"].get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
        if policy != ("AlwaysAllow" if roles == {"primary"} else "IfHealthyBudget"):
            yield f"{name(budget)}: {policy} for those that are not ready"
    for container in cluster.containers():
        if (container.is_ckv or container == cluster.zookeeper) and budgeted.count(container.workload) != 1:
            yield f"{name(container.workload)}: has {budgeted.count(container.workload)} budgets"
