"""deploy/components: with each of them, as the manual has it put in, and with all, each overlay keeps all rules."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.deploy import encryption, joining, running, traffic, wiring
from tests.deploy.mistake import Objects, container, options, pod
from tests.deploy.rendered import DEPLOY, OVERLAYS, Cluster, Object, objects
from tests.deploy.rules import RULES, Rule
from tests.deploy.schema import VERSIONS, problems
from tests.deploy.walkthrough import PAGE, yaml_block

CERT_MANAGER: Final = "components/cert-manager"
MONITORING: Final = "components/monitoring"
MYSQL_TLS: Final = "components/mysql-tls"
TLS: Final = "components/tls"
USERS: Final = "components/users"
ZOOKEEPER: Final = "components/zookeeper"


def with_components(overlay: Path, folder: Path, *components: str) -> Path:
    """A copy of an overlay, in an empty folder, with the lines of the manual at its end."""
    shutil.copytree(DEPLOY, folder / "deploy", ignore=shutil.ignore_patterns("secrets"))
    found = folder / "deploy" / "overlays" / overlay.name
    lines = [yaml_block(PAGE, component).splitlines() for component in components]
    assert {heading for heading, _ in lines} == {"components:"}
    file = found / "kustomization.yaml"
    text = file.read_text()
    # An overlay may have some already: the list stands at the end of it.
    added = [] if "components:" in text else ["components:"]
    file.write_text(text + "\n".join([*added, *(line for _, line in lines if line not in text)]))
    return found


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda overlay: overlay.name)
def monitored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_components(request.param, tmp_path_factory.mktemp("component"), MONITORING)


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda overlay: overlay.name)
def with_users(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_components(request.param, tmp_path_factory.mktemp("component"), USERS)


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda overlay: overlay.name)
def with_zookeeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_components(request.param, tmp_path_factory.mktemp("component"), ZOOKEEPER)


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda overlay: overlay.name)
def with_tls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_components(request.param, tmp_path_factory.mktemp("component"), *COMPONENTS["with_tls"])


COMPONENTS: Final = {
    "monitored": (MONITORING,), "with_zookeeper": (ZOOKEEPER,), "with_users": (USERS,),
    "with_tls": (MYSQL_TLS, TLS, CERT_MANAGER),
    "with_all": (MYSQL_TLS, TLS, USERS, ZOOKEEPER, MONITORING),
}  # fmt: skip


@pytest.fixture(
    scope="module",
    params=itertools.product(OVERLAYS, COMPONENTS.values()),
    ids=[f"{overlay.name}-{what}" for overlay, what in itertools.product(OVERLAYS, COMPONENTS)],
)
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    of, components = request.param
    return with_components(of, tmp_path_factory.mktemp("component"), *components)


def test_no_component_is_left_out() -> None:
    assert {f"components/{path.parent.name}" for path in DEPLOY.glob("components/*/kustomization.yaml")} == {
        CERT_MANAGER, MONITORING, MYSQL_TLS, TLS, USERS, ZOOKEEPER,
    }  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(overlay: Path, version: str) -> None:
    assert list(problems(objects(overlay), version)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_is_kept(overlay: Path, rule: Rule) -> None:
    assert list(rule(Cluster(objects(overlay)))) == []


def test_both_roles_tell_prometheus_by_a_port_of_the_name_that_it_looks_for(monitored: Path) -> None:
    found = yaml.safe_load(yaml_block(PAGE, "scrape_configs"))["scrape_configs"][0]
    (kept,) = [rule["regex"] for rule in found["relabel_configs"] if rule.get("action") == "keep"]
    cluster = Cluster(objects(monitored))
    for role in ("primary", "secondary"):
        (node,) = cluster.of_role(role)
        assert [port["name"] for port in node.spec["ports"]] == ["ckv", kept]
        assert found["kubernetes_sd_configs"][0]["namespaces"]["names"] == [node.workload["metadata"]["namespace"]]


def let_everybody_in(o: Objects) -> None:
    del o("NetworkPolicy", "ckv-metrics")["spec"]["ingress"][0]["from"]


def let_either_in(o: Objects) -> None:
    source = o("NetworkPolicy", "ckv-metrics")["spec"]["ingress"][0]["from"]
    source.append({"podSelector": source[0].pop("podSelector")})


def let_any_of_the_name_in(o: Objects) -> None:
    o("NetworkPolicy", "ckv-metrics")["spec"]["ingress"][0]["from"][0]["namespaceSelector"] = {}


def let_it_ask_the_wrong_port(o: Objects) -> None:
    o("NetworkPolicy", "ckv-metrics")["spec"]["ingress"][0]["ports"][0]["port"] = 8080


MISTAKES: Final[dict[str, tuple[Rule, Callable[[Objects], object]]]] = {
    "everybody may ask": (traffic.network_policies, let_everybody_in),
    "a name or a namespace will do": (traffic.network_policies, let_either_in),
    "a Prometheus of any namespace": (traffic.network_policies, let_any_of_the_name_in),
    "a policy for another port": (traffic.network_policies, let_it_ask_the_wrong_port),
    "a port that is not declared": (running.arguments, lambda o: container(o.primary)["ports"].pop()),
    "a node tells at another port": (
        running.arguments,
        lambda o: options(o, "secondary").update(CKV_HTTP="0.0.0.0:9122"),
    ),
    "a node tells itself alone": (running.arguments, lambda o: options(o, "primary").update(CKV_HTTP="9121")),
    "a probe asks the port for Prometheus": (
        running.probes,
        lambda o: container(o.primary)["livenessProbe"]["exec"]["command"].__setitem__(3, "9121"),
    ),
}


@pytest.mark.parametrize(("rule", "make"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_seen(monitored: Path, rule: Rule, make: Callable[[Objects], object]) -> None:
    check_that_it_is_seen(monitored, rule, make)


def zookeeper(o: Objects) -> Object:
    return o("StatefulSet", "ckv-zookeeper")


def name_another_port(o: Objects) -> None:
    data = o("ConfigMap", "ckv-zookeeper")["data"]
    data["zoo.cfg"] = data["zoo.cfg"].replace("2181", "2182")


def name_two_servers(o: Objects) -> None:
    data = o("ConfigMap", "ckv-zookeeper")["data"]
    data["zoo.cfg"] = data["zoo.cfg"].replace("server.3", "#server.3")


def ask_two_servers(o: Objects) -> None:
    found = options(o, "primary")
    found["CKV_COORDINATOR"] = found["CKV_COORDINATOR"].replace(",ckv-zookeeper-2.ckv-zookeeper", "")


def keep_the_way_to_mysql(o: Objects) -> None:
    (port,) = o("NetworkPolicy", "ckv-primary")["spec"]["egress"][1]["ports"]
    o("NetworkPolicy", "ckv-primary")["spec"]["egress"].append(
        {
            "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "database"}}}],
            "ports": [port | {"port": 3306}],
        }
    )
    o("NetworkPolicy", "ckv-mysql")["spec"]["ingress"][0]["from"].append({"podSelector": {}})


OF_ZOOKEEPER: Final[dict[str, tuple[Rule, Callable[[Objects], object]]]] = {
    "an even number of servers": (joining.coordinators, lambda o: zookeeper(o)["spec"].update(replicas=4)),
    "one server": (joining.coordinators, lambda o: zookeeper(o)["spec"].update(replicas=1)),
    "a server that the others do not know": (joining.coordinators, name_two_servers),
    "a server that the primaries do not know": (joining.coordinators, ask_two_servers),
    "servers listen on another port": (joining.coordinators, name_another_port),
    "servers start one after the other": (
        joining.coordinators,
        lambda o: zookeeper(o)["spec"].update(podManagementPolicy="OrderedReady"),
    ),
    "servers find each other when they are ready, for which they have to": (
        joining.coordinators,
        lambda o: o("Service", "ckv-zookeeper")["spec"].pop("publishNotReadyAddresses"),
    ),
    "primaries keep the account of MySQL": (
        joining.coordinators,
        lambda o: options(o, "primary").update(CKV_MYSQL_USER="ckv"),
    ),
    "primaries keep the password of MySQL": (
        joining.coordinators,
        lambda o: pod(o.primary).update(volumes=pod(o.secondary)["volumes"]),
    ),
    "primaries keep the way to MySQL": (traffic.network_policies, keep_the_way_to_mysql),
    "anybody may ask the servers": (
        traffic.network_policies,
        lambda o: o("NetworkPolicy", "ckv-zookeeper")["spec"]["ingress"][0].pop("from"),
    ),
    "servers cannot talk to each other": (
        traffic.network_policies,
        lambda o: o("NetworkPolicy", "ckv-zookeeper")["spec"]["ingress"].pop(),
    ),
    "a probe asks another port": (
        running.probes,
        lambda o: container(zookeeper(o))["livenessProbe"].update(tcpSocket={"port": "peer"}),
    ),
    "no budget for the servers": (
        wiring.budgets,
        lambda o: o.things.remove(o("PodDisruptionBudget", "ckv-zookeeper")),
    ),
}


@pytest.mark.parametrize(("rule", "make"), OF_ZOOKEEPER.values(), ids=OF_ZOOKEEPER)
def test_a_mistake_with_zookeeper_is_seen(with_zookeeper: Path, rule: Rule, make: Callable[[Objects], object]) -> None:
    check_that_it_is_seen(with_zookeeper, rule, make)


OF_USERS: Final[dict[str, tuple[Rule, Callable[[Objects], object]]]] = {
    "nodes that ask, and nodes that do not": (running.users, lambda o: options(o, "primary").pop("CKV_USERS")),
    "the secret is not that of the Secret": (
        running.users,
        lambda o: options(o, "primary").update(CKV_NODE_PASSWORD_FILE="/run/secrets/mysql/password"),
    ),
    "a probe without a login": (running.users, lambda o: options(o, "secondary").pop("CKV_PASSWORD_FILE")),
    "a probe as somebody else": (running.users, lambda o: options(o, "secondary").update(CKV_USER="probe")),
    "no users are meant": (running.users, lambda o: container(o.primary)["args"].append("--insecure")),
    "another Secret": (
        wiring.references,
        lambda o: pod(o.primary)["volumes"][-1]["secret"].update(secretName="ckv-logins"),
    ),
    "no Secret": (running.users, lambda o: container(o.secondary)["volumeMounts"].pop()),
}


@pytest.mark.parametrize(("rule", "make"), OF_USERS.values(), ids=OF_USERS)
def test_a_mistake_with_users_is_seen(with_users: Path, rule: Rule, make: Callable[[Objects], object]) -> None:
    check_that_it_is_seen(with_users, rule, make)


def spec_of(o: Objects, certificate: str) -> Object:
    found: Object = o("Certificate", certificate)["spec"]
    return found


REQUIRED: Final = "--require-secure-transport=ON"

OF_TLS: Final[dict[str, tuple[Rule, Callable[[Objects], object]]]] = {
    "nodes that speak TLS, and nodes that do not": (
        encryption.nodes,
        lambda o: options(o, "primary").pop("CKV_TLS_CERT"),
    ),
    "the host of a pod is looked for": (
        encryption.nodes,
        lambda o: [options(o, role).pop("CKV_TLS_NAME") for role in ("primary", "secondary")],
    ),
    "another key": (encryption.nodes, lambda o: options(o, "primary").update(CKV_TLS_KEY="/run/secrets/tls/ca.crt")),
    "a Secret that nobody makes": (
        wiring.references,
        lambda o: pod(o.primary)["volumes"][-1]["secret"].update(secretName="ckv-certificate"),
    ),
    "a Secret without that key": (
        wiring.references,
        lambda o: pod(o.primary)["volumes"][-1]["secret"]["items"][0].update(key="node.crt"),
    ),
    "no more memory than without": (
        running.memory,
        lambda o: container(o.primary).update(resources={of: {"memory": "256Mi"} for of in ("requests", "limits")}),
    ),
    "more clients than there is memory for with TLS": (
        running.memory,
        lambda o: options(o, "primary").update(CKV_MAX_CONNECTIONS="4000"),
    ),
    "the server's certificate is not looked at": (
        encryption.database,
        lambda o: (
            options(o, "secondary").update(CKV_MYSQL_TLS="prefer") or options(o, "secondary").pop("CKV_MYSQL_TLS_CA")
        ),
    ),
    "its host is not": (encryption.database, lambda o: options(o, "primary").update(CKV_MYSQL_TLS="verify-ca")),
    "another authority": (
        encryption.database,
        lambda o: options(o, "primary").update(CKV_MYSQL_TLS_CA="/run/secrets/tls/ca.crt"),
    ),
    "the server takes others": (encryption.database, lambda o: container(o.mysql)["args"].remove(REQUIRED)),
    "the server has another key": (
        encryption.database,
        lambda o: pod(o.mysql)["volumes"][-1]["secret"].update(secretName="ckv-tls"),
    ),
    "a certificate for another Service": (
        encryption.certificates,
        lambda o: spec_of(o, "ckv-mysql-tls").update(dnsNames=["mysql"]),
    ),
    "a certificate without the name of all nodes": (
        encryption.certificates,
        lambda o: options(o, "secondary").update(CKV_TLS_NAME="node.ckv"),
    ),
    "a certificate that nobody mounts": (
        encryption.certificates,
        lambda o: spec_of(o, "ckv-tls").update(secretName="ckv-nodes"),
    ),
    "an issuer that is not there": (
        encryption.certificates,
        lambda o: spec_of(o, "ckv-tls").update(issuerRef={"kind": "ClusterIssuer", "name": "ckv-authority"}),
    ),
    "an authority that nobody makes": (
        encryption.certificates,
        lambda o: o("Issuer", "ckv-authority")["spec"]["ca"].update(secretName="ckv-ca"),
    ),
    "the authority's key in a pod": (
        encryption.certificates,
        lambda o: spec_of(o, "ckv-authority").update(secretName="ckv-tls"),
    ),
    "a field that cert-manager does not have": (
        encryption.certificates,
        lambda o: spec_of(o, "ckv-tls").update(hosts=spec_of(o, "ckv-tls").pop("dnsNames")),
    ),
}


@pytest.mark.parametrize(("rule", "make"), OF_TLS.values(), ids=OF_TLS)
def test_a_mistake_with_tls_is_seen(with_tls: Path, rule: Rule, make: Callable[[Objects], object]) -> None:
    check_that_it_is_seen(with_tls, rule, make)


def check_that_it_is_seen(overlay: Path, rule: Rule, make: Callable[[Objects], object]) -> None:
    broken = objects(overlay)
    make(Objects(broken))
    assert broken != objects(overlay)
    assert list(rule(Cluster(broken))) != []
