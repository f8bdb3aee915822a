"""deploy/helm: the chart makes the objects of the overlays, and refuses values that it does not know."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
import yaml

import ckv
from tests.deploy import chart, encryption
from tests.deploy.chart import CHART, PRODUCTION, helm, plain
from tests.deploy.commandline import parse, server
from tests.deploy.rendered import DEPLOY, Cluster, Container, objects
from tests.deploy.schema import VERSIONS, problems
from tests.deploy.test_component import CERT_MANAGER, COMPONENTS, MYSQL_TLS, TLS, with_components
from tests.support.certificate import Authority
from tests.support.nodes import Nodes, run_ckv
from tests.support.ports import free_port

OVERLAYS: Final[dict[str, tuple[Path, ...]]] = {"local": (), "production": (PRODUCTION,)}
"""By name, and the values that stand for one."""

SETS: Final[dict[str, tuple[str, ...]]] = {
    "plain": (),
    "with_mysql_tls": (MYSQL_TLS,),
    "with_tls_of_nodes": (TLS,),
    "with_cert_manager": (CERT_MANAGER,),
    **COMPONENTS,
}

VALUES: Final = {MYSQL_TLS: "mysql.tls", CERT_MANAGER: "certManager"}
"""What stands for a component, where that has another name."""

YOUR_OWN: Final = (
    "mysql.enabled=false",
    "mysql.address=db.example.com:3307",
    "mysql.peers[0].ipBlock.cidr=192.0.2.7/32",
)


def enabled(components: Iterable[str]) -> list[str]:
    return [f"{VALUES.get(each, each.partition('/')[2])}.enabled=true" for each in components]


@pytest.mark.parametrize(("overlay", "components"), list(itertools.product(OVERLAYS, SETS)))
def test_the_chart_makes_what_kustomize_makes(overlay: str, components: str, tmp_path: Path) -> None:
    if SETS[components]:
        folder = with_components(DEPLOY / "overlays" / overlay, tmp_path, *SETS[components])
    else:
        folder = DEPLOY / "overlays" / overlay
    wanted = plain(objects(folder))
    made = plain(chart.objects(*OVERLAYS[overlay], *enabled(SETS[components])))
    assert made.keys() == wanted.keys()
    for called in wanted:
        assert made[called] == wanted[called], called


EVERYTHING: Final = tuple(enabled({component for components in SETS.values() for component in components}))


@pytest.mark.parametrize("values", [*OVERLAYS.values(), EVERYTHING], ids=[*OVERLAYS, "everything"])
def test_helm_finds_no_fault(values: tuple[str | Path, ...]) -> None:
    done = helm("lint", "--strict", CHART, *chart.arguments(values))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_that_of_ckv() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (described["version"], described["appVersion"]) == (ckv.__version__, ckv.__version__)


REFUSED: Final = {
    "a misspelt value": (("secondary.capcity=1M",), "capcity"),
    "a misspelt group": (("primaries.replicas=3",), "primaries"),
    "a number for a text": (("primary.options.CKV_MAX_CONNECTIONS=7",), "CKV_MAX_CONNECTIONS"),
    "an option that is none": (("primary.options.MAX_CONNECTIONS=a",), "MAX_CONNECTIONS"),
    "no primary": (("primary.replicas=0",), "replicas"),
    "no address of the database": (("mysql.enabled=false",), "mysql.address: missing"),
    "no way to the database": (YOUR_OWN[:2], "mysql.peers: missing"),
    "an issuer without a name": (("certManager.issuerRef.kind=ClusterIssuer",), "missing property 'name'"),
    "everybody may ask for figures": (("monitoring.enabled=true", "monitoring.from=null"), "monitoring.from: missing"),
}


@pytest.mark.parametrize(("values", "said"), REFUSED.values(), ids=REFUSED)
def test_a_slip_is_refused(values: tuple[str, ...], said: str) -> None:
    done = helm("template", "ckv", CHART, *chart.arguments(values))
    assert done.returncode != 0
    assert said in done.stderr


def test_a_database_of_your_own() -> None:
    cluster = Cluster(chart.objects(*YOUR_OWN, "mysql.tls.enabled=true", "certManager.enabled=true"))
    assert cluster.of_component("database") is None
    assert not [thing for thing in cluster.objects if thing["metadata"]["name"].startswith("ckv-mysql")]
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    assert parse(primary.args, primary.environ).coordinator == "mysql://db.example.com:3307"
    persistent = parse(secondary.args, secondary.environ).persistent
    assert persistent == "db.example.com:3307"
    assert server(persistent, secondary.environ).encryption.mode == "verify"
    for role in ("primary", "secondary"):
        policy = cluster.find("NetworkPolicy", f"ckv-{role}")
        assert policy is not None
        assert {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 3307}]} in policy[
            "spec"
        ]["egress"]


def test_certificates_are_those_that_the_values_name() -> None:
    renamed = ("tls.name=nodes.example", "mysql.tls.secretName=of-the-database")
    cluster = Cluster(chart.objects(*EVERYTHING, *renamed, namespace="elsewhere"))
    assert list(encryption.certificates(cluster)) == []


def test_an_issuer_of_your_own() -> None:
    reference = {"kind": "ClusterIssuer", "name": "ours"}
    given = (f"certManager.issuerRef.{field}={value}" for field, value in reference.items())
    cluster = Cluster(chart.objects("certManager.enabled=true", *given))
    assert cluster.of_kind("Issuer") == []
    issued = cluster.of_kind("Certificate")
    assert {thing["metadata"]["name"] for thing in issued} == {"ckv-tls", "ckv-mysql-tls"}
    assert [thing["spec"]["issuerRef"] for thing in issued] == [reference] * 2


def changed(*values: str) -> set[str]:
    """The sets whose pods an update to these values would replace."""
    before, after = chart.objects(), chart.objects(*values)
    return {
        old["metadata"]["name"]
        for old, new in zip(before, after, strict=True)
        if old["kind"] == "StatefulSet" and old["spec"]["template"] != new["spec"]["template"]
    }


def test_a_change_of_options_restarts_the_nodes_of_that_role() -> None:
    assert changed("secondary.capacity=1M") == {"ckv-secondary"}
    assert changed("primary.options.CKV_LOG_FORMAT=json") == {"ckv-primary"}
    assert changed("primary.replicas=3") == set()


def test_numbers_of_pods() -> None:
    cluster = Cluster(chart.objects("primary.replicas=1", "secondary.replicas=0"))
    (primary,), (secondary,) = cluster.of_role("primary"), cluster.of_role("secondary")
    assert (primary.workload["spec"]["replicas"], secondary.workload["spec"]["replicas"]) == (1, 0)
    assert [str(one) for one in parse(secondary.args, secondary.environ).primaries] == [
        "ckv-primary-0.ckv-primary:8080"
    ]


def test_what_can_be_left_out() -> None:
    cluster = Cluster(chart.objects("networkPolicy.enabled=false", "podDisruptionBudget.enabled=false"))
    assert cluster.of_kind("NetworkPolicy", "PodDisruptionBudget") == []
    found = Cluster(chart.objects("monitoring.enabled=true", "monitoring.dashboard=false"))
    assert found.find("ConfigMap", "ckv-dashboard") is None


def test_nodes_and_probes_speak_tls(nodes: Nodes, tmp_path: Path) -> None:
    things = chart.objects("tls.enabled=true", "tls.secretName=certificates", "tls.name=nodes.example")
    for version in VERSIONS:
        assert list(problems(things, version)) == []
    cluster = Cluster(things)
    for role in ("primary", "secondary"):
        (node,) = cluster.of_role(role)
        (volume,) = [each["secret"] for each in node.pod["volumes"] if each["name"] == "tls"]
        (mount,) = [each for each in node.spec["volumeMounts"] if each["name"] == "tls"]
        assert volume["secretName"] == "certificates"
        read = {node.environ[variable] for variable in ("CKV_TLS_CERT", "CKV_TLS_KEY", "CKV_TLS_CA")}
        assert read == {f"{mount['mountPath']}/{item['path']}" for item in volume["items"]}
    (primary,) = cluster.of_role("primary")
    answers_its_probe_by_tls(primary, nodes, tmp_path)


def answers_its_probe_by_tls(primary: Container, nodes: Nodes, folder: Path) -> None:
    """The pod as a process of this machine, with the files of the Secret in a folder and nobody to decide with."""
    authority = Authority(folder)
    certified = authority.issue("node", primary.environ["CKV_TLS_NAME"])
    for file, path in (("tls.crt", certified.path), ("tls.key", certified.key_path), ("ca.crt", authority.path)):
        path.rename(folder / file)
    env = {name: value.replace("/run/secrets/tls", str(folder)) for name, value in primary.environ.items()}
    env |= {"CKV_BIND": "127.0.0.1", "CKV_COORDINATOR": "-"}
    node = nodes.start(["primary", str(free_port()), *primary.args[2:]], 1, env=env)
    _, *command = primary.probes["livenessProbe"]["exec"]["command"]
    ping = [str(node.port) if word == primary.args[1] else word for word in command]
    assert run_ckv(*ping, env=env).returncode == 0
    assert run_ckv(*ping).returncode != 0, "it speaks without TLS"
