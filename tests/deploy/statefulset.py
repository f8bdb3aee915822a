"""A StatefulSet whose pods are processes of this machine: what its controller does when its number or image changes.

Arguments, variables, probes and the time to stop are those of the manifests, with addresses of this machine in place of
the cluster's. `The controller <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>`_ starts pods
from the lowest number up and stops them from the highest one down, and waits each time: for a pod that is ready, or
gone.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.commandline import parse
from tests.deploy.rendered import Container
from tests.support.eventually import eventually
from tests.support.nodes import Node, Nodes, run_ckv
from tests.support.ports import free_port


class StatefulSet:
    """The pods of one role, none at first."""

    def __init__(
        self,
        nodes: Nodes,
        container: Container,
        here: Mapping[str, str],
        files: Mapping[str, Path],
        options: Mapping[str, str],
        ports: Mapping[int, int] | None = None,
    ) -> None:
        """``here``: what stands for an address of the cluster on this machine. ``files``: variables with the path of a
        file of a Secret, and what stands for it. ``options``: variables beside those of the manifests. ``ports``: of
        the pods whose port is to stay; else a pod that is replaced is at another one."""
        self._nodes = nodes
        self._container = container
        self._here = here
        self._files = files
        self._options = options
        self._ports = ports or {}
        self._number_of_port = str(parse(container.args, container.environ).port)
        self.pods: list[Node] = []

    def scale(self, replicas: int) -> None:
        """``kubectl scale``, and waits until it is done."""
        while len(self.pods) < replicas:
            self.pods.append(self._start(len(self.pods)))
            self.wait_ready(len(self.pods) - 1)
        while len(self.pods) > replicas:
            self._stop(self.pods.pop())

    def start_all(self, replicas: int) -> None:
        """As ``Parallel`` does it: waits for nobody."""
        self.pods += [self._start(number) for number in range(len(self.pods), replicas)]

    def replace(self, number: int) -> None:
        """One step of a rolling update: the pod is stopped, and another one of its name started, and waited for."""
        self._stop(self.pods[number])
        self.pods[number] = self._start(number)
        self.wait_ready(number)

    def restart(self) -> None:
        """``kubectl rollout restart``, and waits until it is done."""
        for number in reversed(range(len(self.pods))):
            self.replace(number)

    def wait_ready(self, number: int) -> None:
        """Until the pod's own readiness probe says so."""
        node = self.pods[number]
        probe = self._container.probes["readinessProbe"]
        _, *command = (str(node.port) if word == self._number_of_port else word for word in probe["exec"]["command"])
        env = self._environ(number)
        eventually(lambda: run_ckv(*command, env=env).returncode == 0, 30, f"{node.name} is ready\n{node.tail()}")

    def _start(self, number: int) -> Node:
        pod = self._container.of_pod(number)
        arguments = [self._local(word) for word in pod.args]
        port_at = arguments.index(self._number_of_port)
        arguments[port_at] = str(self._ports.get(number) or free_port())
        return self._nodes.start(arguments, port_at, env=self._environ(number), name=pod.pod_name)

    def _environ(self, number: int) -> dict[str, str]:
        env = {name: self._local(value) for name, value in self._container.of_pod(number).environ.items()}
        env |= {name: str(path) for name, path in self._files.items() if name in env}
        return env | {"CKV_BIND": "127.0.0.1"} | dict(self._options)

    def _local(self, text: str) -> str:
        for there, here in self._here.items():
            text = text.replace(there, here)
        return text

    def _stop(self, node: Node) -> None:
        """SIGTERM, and after the grace period SIGKILL, which is a failure here. Nothing may be left unsaved."""
        node.signal(signal.SIGTERM)
        assert node.wait(self._container.pod["terminationGracePeriodSeconds"]) == 0, node.tail()
