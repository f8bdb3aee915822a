"""The objects that an overlay stands for, as `kubectl apply -k` would send them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.nodes import ROOT

Object = dict[str, Any]

DEPLOY: Final = ROOT / "deploy"
OVERLAYS: Final = sorted(path.parent for path in DEPLOY.glob("overlays/*/kustomization.yaml"))
NAMESPACE: Final = DEPLOY / "base" / "namespace.yaml"

KUBECTL: Final = Path(sys.executable).with_name("kubectl")
"""Of the locked packages, so that it is the version that the schemas belong to."""

TEMPLATED: Final = ("Deployment", "StatefulSet", "DaemonSet", "Job")
"""Kinds with a template of pods in them."""


@cache
def text(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder. Raises CalledProcessError."""
    return subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True).stdout


def objects(folder: Path) -> list[Object]:
    """New copies of an overlay's objects, to do with as one likes; the namespace, which is applied first, is one."""
    return deepcopy(_objects(folder))


@cache
def _objects(folder: Path) -> list[Object]:
    return [*yaml.safe_load_all(NAMESPACE.read_text()), *yaml.safe_load_all(text(folder))]


def name(thing: Object) -> str:
    """``StatefulSet/ckv-secondary``."""
    return f"{thing['kind']}/{thing['metadata']['name']}"


@dataclass(frozen=True)
class Container:
    """A container, with what is around it."""

    workload: Object
    pod: Object
    spec: Object
    environ: Mapping[str, str]
    """Its variables, but for those whose ConfigMap is missing."""

    @property
    def name(self) -> str:
        return f"{name(self.workload)}/{self.spec['name']}"

    @property
    def args(self) -> list[str]:
        """Its arguments with the variables filled in; Kubernetes leaves an unknown one as it is."""
        return [
            re.sub(r"\$\((\w+)\)", lambda found: self.environ.get(found[1], found[0]), word)
            for word in self.spec.get("args", [])
        ]

    @property
    def is_ckv(self) -> bool:
        return bool(self.spec["name"] == "ckv")

    @property
    def role(self) -> str:
        return self.args[0] if self.args else ""

    @property
    def port_numbers(self) -> list[int]:
        return [port["containerPort"] for port in self.spec.get("ports", [])]

    @property
    def probes(self) -> dict[str, Object]:
        kinds = ("startupProbe", "readinessProbe", "livenessProbe")
        return {kind: self.spec[kind] for kind in kinds if kind in self.spec}


class Cluster:
    """A list of objects, and questions to it."""

    def __init__(self, things: list[Object]) -> None:
        self.objects = things

    def of_kind(self, *kinds: str) -> list[Object]:
        return [thing for thing in self.objects if thing["kind"] in kinds]

    def find(self, kind: str, called: str) -> Object | None:
        return next((thing for thing in self.of_kind(kind) if thing["metadata"]["name"] == called), None)

    @property
    def workloads(self) -> list[Object]:
        return self.of_kind(*TEMPLATED)

    def containers(self) -> Iterator[Container]:
        for workload in self.workloads:
            pod = workload["spec"]["template"]["spec"]
            for spec in [*pod.get("initContainers", []), *pod["containers"]]:
                yield Container(workload, pod, spec, self._environ(spec))

    def of_role(self, role: str) -> list[Container]:
        return [container for container in self.containers() if container.is_ckv and container.role == role]

    def _environ(self, spec: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in spec.get("envFrom", []):
            values = self.find("ConfigMap", source.get("configMapRef", {}).get("name", "")) or {}
            found |= values.get("data", {})
        return found | {entry["name"]: entry["value"] for entry in spec.get("env", []) if "value" in entry}


def labels_of(workload: Object) -> dict[str, str]:
    """The labels of a workload's pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"].get("labels", {})
    return found


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes a pod; the empty one takes all. Only ``matchLabels`` is known."""
    selector = selector or {}
    if selector.keys() - {"matchLabels"}:
        raise NotImplementedError(f"selector {selector}")
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
