"""deploy/components/monitoring: with it, as the manual has it put in, each overlay keeps all rules."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.deploy import running, traffic
from tests.deploy.mistake import Objects, container, options
from tests.deploy.rendered import DEPLOY, OVERLAYS, Cluster, objects
from tests.deploy.rules import RULES, Rule
from tests.deploy.schema import VERSIONS, problems
from tests.deploy.walkthrough import PAGE, yaml_block


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda overlay: overlay.name)
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an overlay with the lines of the manual at its end."""
    deploy = tmp_path_factory.mktemp("component") / "deploy"
    shutil.copytree(DEPLOY, deploy, ignore=shutil.ignore_patterns("secrets"))
    found: Path = deploy / "overlays" / request.param.name
    with (found / "kustomization.yaml").open("a") as file:
        file.write(yaml_block(PAGE, "components:"))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(overlay: Path, version: str) -> None:
    assert list(problems(objects(overlay), version)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_is_kept(overlay: Path, rule: Rule) -> None:
    assert list(rule(Cluster(objects(overlay)))) == []


def test_both_roles_tell_prometheus_by_a_port_of_the_name_that_it_looks_for(overlay: Path) -> None:
    found = yaml.safe_load(yaml_block(PAGE, "scrape_configs"))["scrape_configs"][0]
    (kept,) = [rule["regex"] for rule in found["relabel_configs"] if rule.get("action") == "keep"]
    cluster = Cluster(objects(overlay))
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
def test_a_mistake_is_seen(overlay: Path, rule: Rule, make: Callable[[Objects], object]) -> None:
    broken = objects(overlay)
    make(Objects(broken))
    assert broken != objects(overlay)
    assert list(rule(Cluster(broken))) != []
