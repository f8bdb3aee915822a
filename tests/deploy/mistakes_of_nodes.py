"""Mistakes in how the nodes are run, each with the rule that has to see it."""

from __future__ import annotations

from tests.deploy import encryption, running
from tests.deploy.mistake import Objects, container, mistake, options, pod


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


@mistake("a probe asks another port", running.probes)
def _(o: Objects) -> None:
    container(o.secondary)["livenessProbe"]["exec"]["command"][3] = "8080"


@mistake("a probe's arguments are swapped", running.probes)
def _(o: Objects) -> None:
    command = container(o.primary)["readinessProbe"]["exec"]["command"]
    command[2], command[3] = command[3], command[2]


@mistake("a pod is ready before its node has joined", running.probes)
def _(o: Objects) -> None:
    container(o.secondary)["readinessProbe"]["exec"]["command"].remove("--ready")


@mistake("a node that is not ready is killed for it", running.probes)
def _(o: Objects) -> None:
    container(o.secondary)["livenessProbe"]["exec"]["command"].append("--ready")


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


@mistake("users of one role alone, without their Secret", running.users)
def _(o: Objects) -> None:
    options(o, "primary")["CKV_USERS"] = "/run/secrets/users/users"


@mistake("TLS of one role alone, without its Secret", encryption.nodes)
def _(o: Objects) -> None:
    options(o, "primary")["CKV_TLS_CERT"] = "/run/secrets/tls/tls.crt"


@mistake("any host will do for the database", encryption.database)
def _(o: Objects) -> None:
    options(o, "primary")["CKV_MYSQL_TLS"] = "verify-ca"


@mistake("a certificate for nobody", encryption.certificates)
def _(o: Objects) -> None:
    issuer = {"kind": "Issuer", "name": "ckv-authority"}
    o.things.append({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "ckv-web", "namespace": "ckv"},
        "spec": {"secretName": "ckv-web", "issuerRef": issuer},
    })  # fmt: skip
