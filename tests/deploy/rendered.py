"""The objects that an overlay stands for, as `kubectl apply -k` would send them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
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
    options: Mapping[str, str]
    """Its variables that are in ConfigMaps, but for those whose ConfigMap is missing."""
    number: int = 0
    """Which pod of its StatefulSet it is in."""

    @property
    def name(self) -> str:
        return f"{name(self.workload)}/{self.spec['name']}"

    @property
    def pod_name(self) -> str:
        return f"{self.workload['metadata']['name']}-{self.number}"

    @property
    def environ(self) -> dict[str, str]:
        """Its variables. One may be made of those before it."""
        found = dict(self.options)
        for entry in self.spec.get("env", []):
            if "value" in entry:
                found[entry["name"]] = _filled_in(entry["value"], found)
            elif entry["valueFrom"].get("fieldRef", {}).get("fieldPath") == "metadata.name":
                found[entry["name"]] = self.pod_name
        return found

    @property
    def args(self) -> list[str]:
        """Its arguments with the variables filled in."""
        return [_filled_in(word, self.environ) for word in self.spec.get("args", [])]

    def of_pod(self, number: int) -> Container:
        """The same in another pod of the set."""
        return replace(self, number=number)

    @property
    def is_ckv(self) -> bool:
        return bool(self.spec["name"] == "ckv")

    @property
    def role(self) -> str:
        return self.args[0] if self.args else ""

    @property
    def port_numbers(self) -> list[int]:
        """The first one is that of its requests; a second one of ckv is that of ``--http``."""
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
                yield Container(workload, pod, spec, self._options(spec))

    def of_role(self, role: str) -> list[Container]:
        return [container for container in self.containers() if container.is_ckv and container.role == role]

    def of_component(self, component: str) -> Container | None:
        """The one container whose pods are labelled as this component, which is none of ckv's."""
        labelled = {"app.kubernetes.io/component": component}
        return next((each for each in self.containers() if labels_of(each.workload).items() >= labelled.items()), None)

    @property
    def database(self) -> Container:
        found = self.of_component("database")
        assert found is not None
        return found

    @property
    def zookeeper(self) -> Container | None:
        """Where primaries decide which of them leads, if not in the database."""
        return self.of_component("coordinator")

    def _options(self, spec: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in spec.get("envFrom", []):
            values = self.find("ConfigMap", source.get("configMapRef", {}).get("name", "")) or {}
            found |= values.get("data", {})
        return found


def _filled_in(text: str, variables: Mapping[str, str]) -> str:
    """A text with the variables in it; Kubernetes leaves an unknown one as it is."""
    return re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), text)


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
