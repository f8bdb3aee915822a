"""Edits of the files themselves: those that the manual describes are enough, and slips do not pass unseen."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.rendered import DEPLOY, Cluster, objects
from tests.deploy.rules import RULES

Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """Replaces text in one file of a copy of deploy/; the folder of the copy's production overlay."""
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))

    def replace(file: str, old: str, new: str) -> Path:
        path = tmp_path / "deploy" / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        return tmp_path / "deploy/overlays/production"

    return replace


def name_of_options(overlay: Path) -> str:
    (name,) = (
        thing["metadata"]["name"]
        for thing in objects(overlay)
        if thing["kind"] == "ConfigMap" and "secondary" in thing["metadata"]["name"]
    )
    return str(name)


def test_one_number_makes_more_primaries(edit: Edit) -> None:
    cluster = Cluster(objects(edit("base/primary.yaml", "replicas: 2", "replicas: 3")))
    assert [problem for rule in RULES for problem in rule(cluster)] == []


def test_a_change_of_options_restarts_the_nodes(edit: Edit) -> None:
    overlay = edit("overlays/production/secondary.env", "CAPACITY=5M", "CAPACITY=4M")
    assert name_of_options(overlay) != name_of_options(DEPLOY / "overlays/production")
    (secondary,) = Cluster(objects(overlay)).of_role("secondary")
    assert secondary.spec["envFrom"] == [{"configMapRef": {"name": name_of_options(overlay)}}]


def test_another_port_reaches_the_probes_and_is_missed_elsewhere(edit: Edit) -> None:
    overlay = edit("base/secondary.yaml", '            - "8081"\n', '            - "8082"\n')
    cluster = Cluster(objects(overlay))
    (secondary,) = cluster.of_role("secondary")
    assert {probe["exec"]["command"][3] for probe in secondary.probes.values()} == {"8082"}
    assert [problem for rule in RULES for problem in rule(cluster)] != []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("base/kustomization.yaml", "replacements:", "replacement:"),
        ("base/kustomization.yaml", "  - disruption.yaml\n", "  - disruptions.yaml\n"),
        ("overlays/production/kustomization.yaml", "- name: ckv-primary", "- name: primary"),
        ("overlays/production/mysql.yaml", "/spec/volumeClaimTemplates/0/", "/spec/volumeClaimTemplates/1/"),
    ],
)
def test_kustomize_refuses_a_slip(edit: Edit, file: str, old: str, new: str) -> None:
    overlay = edit(file, old, new)
    with pytest.raises(subprocess.CalledProcessError):
        objects(overlay)
