"""The overlays: valid for Kubernetes, and right beyond what its schemas say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.rendered import DEPLOY, OVERLAYS, Cluster, objects
from tests.deploy.rules import RULES, Rule
from tests.deploy.schema import VERSIONS, problems


def test_the_overlays_are_found() -> None:
    assert {overlay.name for overlay in OVERLAYS} == {"local", "production"}


def test_three_versions_of_kubernetes_are_tried() -> None:
    minors = [int(version.removeprefix("1.")) for version in VERSIONS]
    assert minors == [minors[0], minors[0] + 1, minors[0] + 2]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_every_object_is_valid(overlay: Path, version: str) -> None:
    assert list(problems(objects(overlay), version)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_a_rule_is_kept(overlay: Path, rule: Rule) -> None:
    assert list(rule(Cluster(objects(overlay)))) == []


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_in_production_the_pods_of_a_role_are_several_and_on_several_machines(role: str) -> None:
    (node,) = Cluster(objects(DEPLOY / "overlays/production")).of_role(role)
    # Of the secondaries there are as many as whoever scales them says.
    assert role == "secondary" or node.workload["spec"]["replicas"] > 1
    spread = {entry["topologyKey"]: entry["whenUnsatisfiable"] for entry in node.pod["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"] == "DoNotSchedule"


def test_in_production_nodes_look_at_the_certificate_of_the_database() -> None:
    cluster = Cluster(objects(DEPLOY / "overlays/production"))
    for role in ("primary", "secondary"):
        (node,) = cluster.of_role(role)
        assert node.environ["CKV_MYSQL_TLS"] == "verify"
    assert "--require-secure-transport=ON" in cluster.database.args


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_primaries_serve_on_until_no_new_client_is_sent_to_them(overlay: Path) -> None:
    (primary,) = Cluster(objects(overlay)).of_role("primary")
    assert primary.spec["lifecycle"]["preStop"]["sleep"]["seconds"] > 0
