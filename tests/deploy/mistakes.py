"""Mistakes that somebody might make in an overlay, each with the rule that has to see it."""

from __future__ import annotations

from tests.deploy import hardening, joining, traffic, wiring
from tests.deploy.mistake import SCHEMA, Objects, container, mistake, options, pod

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


@mistake("a primary that never gets ready keeps its machine from being emptied", wiring.budgets)
def _(o: Objects) -> None:
    del o("PodDisruptionBudget", "ckv-primary")["spec"]["unhealthyPodEvictionPolicy"]


@mistake("a secondary with unsaved records may be evicted while it is not ready", wiring.budgets)
def _(o: Objects) -> None:
    o("PodDisruptionBudget", "ckv-secondary")["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow"


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


@mistake("secondaries cannot join", traffic.network_policies)
def _(o: Objects) -> None:
    del o("NetworkPolicy", "ckv-primary")["spec"]["ingress"][0]["from"][-1]


@mistake("nothing limits what a pod may send", traffic.network_policies)
def _(o: Objects) -> None:
    o.things.remove(o("NetworkPolicy", "ckv-nothing-else"))
    for policy in ("ckv-primary", "ckv-secondary", "ckv-mysql"):
        o("NetworkPolicy", policy)["spec"]["policyTypes"] = ["Ingress"]


# --- joining ----------------------------------------------------------------------------------------------------------


@mistake("a secondary with a name of its own making", joining.names)
def _(o: Objects) -> None:
    container(o.secondary)["env"].pop()


@mistake("all secondaries have one name", joining.names)
def _(o: Objects) -> None:
    container(o.secondary)["env"][-1]["value"] = "ckv-secondary"


@mistake("a name is made of a variable that comes later", joining.names)
def _(o: Objects) -> None:
    container(o.secondary)["env"].reverse()


@mistake("a list of secondaries", joining.scaling)
def _(o: Objects) -> None:
    container(o.primary)["args"].append("ckv-secondary-0.ckv-secondary:8081")
    options(o, "primary")["CKV_COORDINATOR"] = "-"


@mistake("a number of secondaries", joining.scaling)
def _(o: Objects) -> None:
    o.secondary["spec"]["replicas"] = 3


@mistake("secondaries stop all at once", joining.scaling)
def _(o: Objects) -> None:
    o.secondary["spec"]["podManagementPolicy"] = "Parallel"


@mistake("a secondary knows one primary", joining.primaries)
def _(o: Objects) -> None:
    options(o, "secondary")["PRIMARIES"] = "ckv-primary-0.ckv-primary:8080"


@mistake("a secondary is given a primary that is not there", joining.primaries)
def _(o: Objects) -> None:
    o.primary["spec"]["replicas"] = 1


@mistake("the primaries' address has the port of a secondary", joining.primaries)
def _(o: Objects) -> None:
    options(o, "secondary")["PRIMARIES"] = options(o, "secondary")["PRIMARIES"].replace("8080", "8081")


@mistake("all primaries say that they are reached at one address", joining.primaries)
def _(o: Objects) -> None:
    container(o.primary)["env"][-1]["value"] = "ckv"


@mistake("a primary is found when it is ready, for which it has to be found", joining.primaries)
def _(o: Objects) -> None:
    del o("Service", "ckv-primary")["spec"]["publishNotReadyAddresses"]


@mistake("two primaries without a coordinator", joining.coordinators)
def _(o: Objects) -> None:
    del options(o, "primary")["CKV_COORDINATOR"]


@mistake("the coordinator's address is no Service", joining.coordinators)
def _(o: Objects) -> None:
    options(o, "primary")["CKV_COORDINATOR"] = "mysql://mysql:3306"


@mistake("the database's address is no Service", joining.databases)
def _(o: Objects) -> None:
    options(o, "secondary")["PERSISTENT_NODE"] = "mysql:3306"


@mistake("the server makes another account than the nodes use", joining.databases)
def _(o: Objects) -> None:
    options(o, "secondary")["CKV_MYSQL_USER"] = "app"


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
