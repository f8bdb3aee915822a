"""Rules about what the pods may do, what is kept secret, and the values that the schemas let pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.deploy.quantities import number_of
from tests.deploy.rendered import NAMESPACE, Cluster, Object, name

USER_OF_CKV: Final = 65532
"""As the image has it."""

ENUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "restartPolicy": ("Always",),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "protocol": ("TCP", "UDP"),
    "podManagementPolicy": ("OrderedReady", "Parallel"),
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    "unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget"),
    "policyTypes": ("Ingress", "Egress"),
    "accessModes": ("ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany"),
    "drop": ("ALL",),
    "volumeMode": ("Filesystem", "Block"),
    "seccompProfile.type": ("RuntimeDefault", "Localhost", "Unconfined"),
    "strategy.type": ("RollingUpdate", "Recreate"),
    "updateStrategy.type": ("RollingUpdate", "OnDelete"),
    "pod-security.kubernetes.io/enforce": ("restricted",),
}
"""What is allowed, by the name of a field; with the name of the one around it where it alone says too little."""

QUANTITIES: Final = ("cpu", "memory", "storage", "ephemeral-storage")
PORTS: Final = ("port", "containerPort", "nodePort", "hostPort")
COUNTS: Final = ("periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold", "maxSkew")


def values(cluster: Cluster) -> Iterator[str]:
    """Enumerations, ranges and the forms of names, which the schemas do not know."""
    for thing in cluster.objects:
        for path, value in _leaves(thing):
            field = path[-1]
            allowed = ENUMS.get(field) or ENUMS.get(".".join(path[-2:]))
            problem = (
                (allowed is not None and value not in allowed)
                or (field in QUANTITIES and path[-2] in ("requests", "limits") and not _is_quantity(value))
                or (field in PORTS and isinstance(value, int) and not 1 <= value <= 65535)
                or (field in COUNTS and value < 1)
                or (field == "name" and path[-2] == "ports" and not re.fullmatch(r"(?=.*[a-z])[a-z0-9-]{1,15}", value))
                or (field == "name" and path[-2:] == ("metadata", "name") and not _is_label(value, low=True))
                or (path[-2] in ("labels", "matchLabels") and not _is_label(value, low=False))
            )
            if problem:
                yield f"{name(thing)}: {'.'.join(path)}: {value!r}"


def _leaves(value: Any, path: tuple[str, ...] = ("", "")) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with the names of the fields that lead to it; the elements of a list have the list's name."""
    if isinstance(value, dict):
        for field, inner in value.items():
            yield from _leaves(inner, (*path, field))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _is_quantity(text: object) -> bool:
    try:
        return number_of(str(text)) > 0
    except ValueError:
        return False


def _is_label(text: object, low: bool) -> bool:
    letters = "a-z" if low else "a-zA-Z_."
    return isinstance(text, str) and re.fullmatch(rf"[{letters}0-9]([{letters}0-9-]{{0,62}})", text) is not None


def security(cluster: Cluster) -> Iterator[str]:
    """What the Pod Security Standard `restricted` asks for, a read-only root, and no account."""
    for container in cluster.containers():
        pod, own = container.pod, container.spec.get("securityContext", {})
        both: Object = {**pod.get("securityContext", {}), **own}
        wanted = {
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") == USER_OF_CKV if container.is_ckv else both.get("runAsUser", 0) > 0,
            "seccompProfile": both.get("seccompProfile") == {"type": "RuntimeDefault"},
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged", False),
            "automountServiceAccountToken": pod.get("automountServiceAccountToken") is False,
            "enableServiceLinks": pod.get("enableServiceLinks") is False,
            "host namespaces": not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")),
            "volumes of the machine": not any("hostPath" in volume for volume in pod.get("volumes", [])),
        }
        yield from (f"{container.name}: {field}" for field, is_so in wanted.items() if not is_so)


def namespaces(cluster: Cluster) -> Iterator[str]:
    """Everything is in the one namespace, which is applied first and by itself."""
    (namespace,) = cluster.of_kind("Namespace")
    for thing in cluster.objects:
        if thing is not namespace and thing["metadata"].get("namespace") != namespace["metadata"]["name"]:
            yield f"{name(thing)}: is not in the namespace of {NAMESPACE.name}"


def passwords(cluster: Cluster) -> Iterator[str]:
    """No password is in any object: a variable may only name a file."""
    yield from (f"{name(secret)}: is made from what is tracked" for secret in cluster.of_kind("Secret"))
    for thing in cluster.of_kind("ConfigMap"):
        yield from (f"{name(thing)}: {key}" for key in thing.get("data", {}) if tells_password(key))
    for container in cluster.containers():
        yield from (f"{container.name}: {key}" for key in container.environ if tells_password(key))
        yield from (
            f"{container.name}: {word}" for word in container.args if re.search(r"://[^/]*:[^/]*@|password", word)
        )


def tells_password(variable: str) -> bool:
    """Whether a variable of this name holds a password and not the name of a file with one."""
    return re.search(r"PASS|PWD|SECRET", variable.upper()) is not None and not variable.endswith("_FILE")
