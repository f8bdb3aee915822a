"""Mistakes that somebody might make in an overlay, each with the rule that has to see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.deploy import hardening, running, traffic, wiring
from tests.deploy.rendered import Object
from tests.deploy.rules import Rule

SCHEMA: Final = None
"""Stands for the schemas, where a rule would stand."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: how it is made, and what has to see it."""

    name: str
    seen_by: Rule | None
    make: Callable[[Objects], None] = field(repr=False)


class Objects:
    """Rendered objects, to break: by kind and name, and shorter for what is broken most."""

    def __init__(self, things: list[Object]) -> None:
        self.things = things

    def __call__(self, kind: str, name: str) -> Object:
        # A ConfigMap's name ends in a hash.
        return next(
            thing
            for thing in self.things
            if thing["kind"] == kind and f"{thing['metadata']['name']}-".startswith(f"{name}-")
        )

    @property
    def secondary(self) -> Object:
        return self("StatefulSet", "ckv-secondary")

    @property
    def primary(self) -> Object:
        return self("Deployment", "ckv-primary")

    @property
    def mysql(self) -> Object:
        return self("StatefulSet", "ckv-mysql")


def pod(workload: Object) -> Any:
    return workload["spec"]["template"]["spec"]


def container(workload: Object) -> Any:
    return pod(workload)["containers"][0]


def options(objects: Objects, role: str) -> Any:
    return objects("ConfigMap", f"ckv-{role}")["data"]


MISTAKES: Final[list[Mistake]] = []


def mistake(name: str, seen_by: Rule | None) -> Callable[[Callable[[Objects], None]], Callable[[Objects], None]]:
    def add(make: Callable[[Objects], None]) -> Callable[[Objects], None]:
        MISTAKES.append(Mistake(name, seen_by, make))
        return make

    return add


# --- what the schemas see ---------------------------------------------------------------------------------------------


@mistake("a field is misspelled", SCHEMA)
def _(o: Objects) -> None:
    pod(o.secondary)["terminationGracePeriodSecond"] = pod(o.secondary).pop("terminationGracePeriodSeconds")


@mistake("a kind that does not exist", SCHEMA)
def _(o: Objects) -> None:
    o.secondary["kind"] = "StatefulSets"


@mistake("a version of the API that was dropped", SCHEMA)
def _(o: Objects) -> None:
    o("PodDisruptionBudget", "ckv-secondary")["apiVersion"] = "policy/v1beta1"


@mistake("a number without quotes among the arguments", SCHEMA)
def _(o: Objects) -> None:
    container(o.primary)["args"][1] = 8080


@mistake("a selector is forgotten", SCHEMA)
def _(o: Objects) -> None:
    del o.primary["spec"]["selector"]


# --- wiring -----------------------------------------------------------------------------------------------------------


@mistake("a Service selects pods of both roles", wiring.selectors)
def _(o: Objects) -> None:
    del o("Service", "ckv")["spec"]["selector"]["app.kubernetes.io/component"]


@mistake("a label of the pods is changed and the selector is not", wiring.selectors)
def _(o: Objects) -> None:
    o.secondary["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] = "shard"


@mistake("a Service's target port has another name than the pods' port", wiring.service_ports)
def _(o: Objects) -> None:
    o("Service", "ckv")["spec"]["ports"][0]["targetPort"] = "rpc"


@mistake("the secondaries share one address", wiring.service_ports)
def _(o: Objects) -> None:
    del o("Service", "ckv-secondary")["spec"]["clusterIP"]


@mistake("a headless Service translates the port", wiring.service_ports)
def _(o: Objects) -> None:
    o("Service", "ckv-secondary")["spec"]["ports"][0]["port"] = 80


@mistake("the StatefulSet names another Service", wiring.service_ports)
def _(o: Objects) -> None:
    o.secondary["spec"]["serviceName"] = "ckv"


@mistake("a Secret of another name", wiring.references)
def _(o: Objects) -> None:
    pod(o.secondary)["volumes"][0]["secret"]["secretName"] = "mysql"


@mistake("a key that the Secret does not have", wiring.references)
def _(o: Objects) -> None:
    pod(o.secondary)["volumes"][0]["secret"]["items"][0]["key"] = "mysql-password"


@mistake("a ConfigMap that is not there", wiring.references)
def _(o: Objects) -> None:
    container(o.primary)["envFrom"][0]["configMapRef"]["name"] = "ckv-options"


@mistake("the claim of the database has another name than the mount", wiring.volumes)
def _(o: Objects) -> None:
    o.mysql["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] = "mysql-data"


@mistake("a claim that nobody makes", wiring.volumes)
def _(o: Objects) -> None:
    pod(o.mysql)["volumes"][0] = {"name": "run", "persistentVolumeClaim": {"claimName": "run"}}


@mistake("a budget for the wrong pods", wiring.budgets)
def _(o: Objects) -> None:
    labels = o("PodDisruptionBudget", "ckv-secondary")["spec"]["selector"]["matchLabels"]
    labels["app.kubernetes.io/component"] = "primary"


@mistake("a budget that lets all secondaries go at once", wiring.budgets)
def _(o: Objects) -> None:
    o("PodDisruptionBudget", "ckv-secondary")["spec"]["maxUnavailable"] = "100%"


# --- traffic ----------------------------------------------------------------------------------------------------------


@mistake("a policy for another port than the node listens on", traffic.network_policies)
def _(o: Objects) -> None:
    o("NetworkPolicy", "ckv-secondary")["spec"]["ingress"][0]["ports"][0]["port"] = 8080


@mistake("a policy lets everybody reach the database", traffic.network_policies)
def _(o: Objects) -> None:
    del o("NetworkPolicy", "ckv-mysql")["spec"]["ingress"][0]["from"]


@mistake("a policy that selects no pod", traffic.network_policies)
def _(o: Objects) -> None:
    o("NetworkPolicy", "ckv-primary")["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = "primary"


@mistake("namespace and pod of a client are two entries, so that either will do", traffic.network_policies)
def _(o: Objects) -> None:
    source = o("NetworkPolicy", "ckv-primary")["spec"]["ingress"][0]["from"]
    source.append({"podSelector": source[0].pop("podSelector")})


@mistake("DNS is asked over TCP alone", traffic.network_policies)
def _(o: Objects) -> None:
    del o("NetworkPolicy", "ckv-dns")["spec"]["egress"][0]["ports"][0]


@mistake("nothing limits what a pod may send", traffic.network_policies)
def _(o: Objects) -> None:
    o.things.remove(o("NetworkPolicy", "ckv-nothing-else"))
    for policy in ("ckv-primary", "ckv-secondary", "ckv-mysql"):
        o("NetworkPolicy", policy)["spec"]["policyTypes"] = ["Ingress"]


# --- running ----------------------------------------------------------------------------------------------------------


@mistake("capacity and policy are swapped", running.arguments)
def _(o: Objects) -> None:
    args = container(o.secondary)["args"]
    args[4], args[5] = args[5], args[4]


@mistake("the primary's address is left out, so that all others move up", running.arguments)
def _(o: Objects) -> None:
    del container(o.secondary)["args"][1]


@mistake("a variable in the arguments that no ConfigMap has", running.arguments)
def _(o: Objects) -> None:
    del options(o, "secondary")["CAPACITY"]


@mistake("an option with a value that ckv refuses", running.arguments)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_WRITE_MODE"] = "write-behind"


@mistake("an option that ckv does not have", running.arguments)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_DRAIN_TIME"] = "60s"


@mistake("the node listens on another port than the pod declares", running.arguments)
def _(o: Objects) -> None:
    container(o.secondary)["args"][2] = "8082"


@mistake("a node listens on loopback alone", running.arguments)
def _(o: Objects) -> None:
    del options(o, "primary")["CKV_BIND"]


@mistake("one secondary more, which no primary knows", running.secondaries)
def _(o: Objects) -> None:
    o.secondary["spec"]["replicas"] += 1


@mistake("two secondaries change places", running.secondaries)
def _(o: Objects) -> None:
    args = container(o.primary)["args"]
    args[2], args[3] = args[3], args[2]


@mistake("a secondary is listed without its Service", running.secondaries)
def _(o: Objects) -> None:
    container(o.primary)["args"][2] = "ckv-secondary-0:8081"


@mistake("the database's address is no Service", running.addresses)
def _(o: Objects) -> None:
    options(o, "secondary")["PERSISTENT_NODE"] = "mysql:3306"


@mistake("the primary's address has the port of a secondary", running.addresses)
def _(o: Objects) -> None:
    options(o, "secondary")["PRIMARY"] = "ckv:8081"


@mistake("the server makes another account than the nodes use", running.addresses)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_MYSQL_USER"] = "app"


@mistake("a probe asks another port", running.probes)
def _(o: Objects) -> None:
    container(o.secondary)["livenessProbe"]["exec"]["command"][3] = "8080"


@mistake("a probe's arguments are swapped", running.probes)
def _(o: Objects) -> None:
    command = container(o.primary)["readinessProbe"]["exec"]["command"]
    command[2], command[3] = command[3], command[2]


@mistake("a probe needs a shell", running.probes)
def _(o: Objects) -> None:
    container(o.primary)["livenessProbe"]["exec"]["command"] = ["sh", "-c", "ckv ping 127.0.0.1 8080"]


@mistake("a probe is ended before the ping gives up", running.probes)
def _(o: Objects) -> None:
    del container(o.primary)["startupProbe"]["timeoutSeconds"]


@mistake("a container without a startup probe", running.probes)
def _(o: Objects) -> None:
    del container(o.mysql)["startupProbe"]


@mistake("the drain takes longer than the grace period", running.time_to_stop)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_DRAIN_TIMEOUT"] = "10m"


@mistake("the wait before the drain is not counted", running.time_to_stop)
def _(o: Objects) -> None:
    container(o.primary)["lifecycle"]["preStop"]["sleep"]["seconds"] += 10


@mistake("more records than the memory holds", running.memory)
def _(o: Objects) -> None:
    options(o, "secondary")["CAPACITY"] = "100M"
    options(o, "secondary")["CKV_MEMORY_MAX"] = "0"


@mistake("more bytes of records than the memory holds", running.memory)
def _(o: Objects) -> None:
    options(o, "secondary")["CAPACITY"] = "100M"
    options(o, "secondary")["CKV_MEMORY_MAX"] = "100G"


@mistake("more clients than the memory holds", running.memory)
def _(o: Objects) -> None:
    options(o, "primary")["CKV_MAX_CONNECTIONS"] = "10000"


@mistake("more clients than the memory of a secondary holds", running.memory)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_MAX_CONNECTIONS"] = "50000"


@mistake("memory that is not reserved", running.memory)
def _(o: Objects) -> None:
    container(o.secondary)["resources"]["requests"]["memory"] = "64Mi"


@mistake("an image without a version", running.images)
def _(o: Objects) -> None:
    container(o.mysql)["image"] = "mysql"


@mistake("another version of ckv", running.images)
def _(o: Objects) -> None:
    container(o.primary)["image"] = "ckv:0.0.1"


@mistake("the password is mounted elsewhere than the node looks", running.password_file)
def _(o: Objects) -> None:
    container(o.secondary)["volumeMounts"][0]["mountPath"] = "/secrets"


@mistake("the node reads the password of root", running.password_file)
def _(o: Objects) -> None:
    pod(o.secondary)["volumes"][0]["secret"]["items"][0]["key"] = "root-password"


# --- hardening --------------------------------------------------------------------------------------------------------


@mistake("a pull policy that does not exist", hardening.values)
def _(o: Objects) -> None:
    container(o.primary)["imagePullPolicy"] = "IfMissing"


@mistake("a protocol in lower case", hardening.values)
def _(o: Objects) -> None:
    o("NetworkPolicy", "ckv-mysql")["spec"]["ingress"][0]["ports"][0]["protocol"] = "tcp"


@mistake("memory in a unit that does not exist", hardening.values)
def _(o: Objects) -> None:
    container(o.secondary)["resources"]["limits"]["memory"] = "384MB"


@mistake("the name of a port is too long", hardening.values)
def _(o: Objects) -> None:
    container(o.secondary)["ports"][0]["name"] = "msgpack-rpc-secondary"


@mistake("a node runs as root", hardening.security)
def _(o: Objects) -> None:
    pod(o.secondary)["securityContext"]["runAsUser"] = 0


@mistake("a root file system that can be written to", hardening.security)
def _(o: Objects) -> None:
    container(o.mysql)["securityContext"]["readOnlyRootFilesystem"] = False


@mistake("capabilities are added", hardening.security)
def _(o: Objects) -> None:
    container(o.primary)["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


@mistake("the variables of Services are back", hardening.security)
def _(o: Objects) -> None:
    del pod(o.primary)["enableServiceLinks"]


@mistake("an object in another namespace", hardening.namespaces)
def _(o: Objects) -> None:
    o("NetworkPolicy", "ckv-dns")["metadata"]["namespace"] = "default"


@mistake("a Secret among the objects", hardening.passwords)
def _(o: Objects) -> None:
    o.things.append({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ckv-mysql", "namespace": "ckv"},
        "stringData": {"password": "letmein"},
    })  # fmt: skip


@mistake("a password among the options", hardening.passwords)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_MYSQL_PASSWORD"] = "letmein"


@mistake("a password in the address of the database", hardening.passwords)
def _(o: Objects) -> None:
    options(o, "secondary")["PERSISTENT_NODE"] = "mysql://ckv:letmein@ckv-mysql:3306"
