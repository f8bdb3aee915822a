"""All rules that a cluster has to keep beyond the schemas. A rule yields one line for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.deploy import encryption, hardening, joining, running, traffic, wiring
from tests.deploy.rendered import Cluster

Rule = Callable[[Cluster], Iterator[str]]

RULES: Final[tuple[Rule, ...]] = (
    wiring.selectors,
    wiring.service_ports,
    wiring.references,
    wiring.volumes,
    wiring.budgets,
    traffic.network_policies,
    joining.names,
    joining.scaling,
    joining.primaries,
    joining.databases,
    joining.coordinators,
    running.arguments,
    running.probes,
    running.time_to_stop,
    running.memory,
    running.images,
    running.password_file,
    running.users,
    encryption.nodes,
    encryption.database,
    encryption.certificates,
    hardening.values,
    hardening.security,
    hardening.namespaces,
    hardening.passwords,
)
