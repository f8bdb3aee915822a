"""The image, as far as the files here rely on it: where the program is, and who runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deploy import compose
from tests.deploy.hardening import USER_OF_CKV
from tests.deploy.rendered import OVERLAYS, Cluster, objects
from tests.support.nodes import ROOT

DOCKERFILE = ROOT / "Dockerfile"

needs_dockerfile = pytest.mark.skipif(not DOCKERFILE.exists(), reason="there is no Dockerfile")


def programs(overlay: Path) -> set[str]:
    """What the probes of the nodes run."""
    cluster = Cluster(objects(overlay))
    nodes = [container for container in cluster.containers() if container.is_ckv]
    return {probe["exec"]["command"][0] for container in nodes for probe in container.probes.values()}


def test_all_files_agree_where_the_program_is() -> None:
    nodes = [service for name, service in compose.read()["services"].items() if name != "mysql"]
    in_compose = {service["healthcheck"]["test"][1] for service in nodes}
    assert len(in_compose.union(*map(programs, OVERLAYS))) == 1


@needs_dockerfile
def test_the_image_has_the_program_where_the_probes_look() -> None:
    (entrypoint,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert {json.loads(entrypoint)[0]} == programs(OVERLAYS[0])


@needs_dockerfile
def test_the_image_runs_as_the_user_that_the_pods_have() -> None:
    (user,) = re.findall(r"^USER (\d+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert int(user) == USER_OF_CKV
