"""The objects that the Helm chart stands for, as ``helm install`` would send them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.deploy.rendered import DEPLOY, NAMESPACE, Object, name

CHART: Final = DEPLOY / "helm" / "ckv"
PRODUCTION: Final = DEPLOY / "helm" / "production.yaml"

HASH: Final = re.compile(r"^(ckv-\w+)-[0-9a-z]{10}$")
"""The name of a ConfigMap of kustomize, which ends in a hash of what is in it."""


def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What Helm does; skips where there is none."""
    if shutil.which("helm") is None:
        pytest.skip("helm is not here")
    return subprocess.run(["helm", *words], capture_output=True, text=True, check=False)


def objects(*values: str | Path, namespace: str = "ckv") -> list[Object]:
    """Of the chart with these files of values, or single ones (``tls.enabled=true``), and the namespace of kustomize,
    which is applied first here as well."""
    done = helm("template", "ckv", CHART, "--namespace", namespace, *arguments(values))
    assert done.returncode == 0, done.stderr
    return [yaml.safe_load(NAMESPACE.read_text()), *filter(None, yaml.safe_load_all(done.stdout))]


def arguments(values: Sequence[str | Path]) -> list[str | Path]:
    """The same as Helm takes them."""
    return [word for value in values for word in ("--values" if isinstance(value, Path) else "--set", value)]


def plain(things: list[Object]) -> dict[str, Object]:
    """Objects by kind and name, without what kustomize and Helm each do in a way of their own so that a change of a
    ConfigMap restarts the pods that use it: a hash in its name, and an annotation of the pods. Lists of volumes that
    patches have emptied are left out, too."""
    found: dict[str, Object] = {}
    for thing in map(_bare, things):
        thing.get("spec", {}).get("template", {}).get("metadata", {}).pop("annotations", None)
        assert name(thing) not in found
        found[name(thing)] = thing
    return found


def _bare(thing: Object) -> Object:
    def walk(value: object) -> object:
        if isinstance(value, dict):
            empty = [field for field in ("volumes", "volumeMounts") if value.get(field) == []]
            return {field: walk(inner) for field, inner in value.items() if field not in empty}
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return HASH.sub(r"\1", value) if isinstance(value, str) else value

    made = walk(thing)
    assert isinstance(made, dict)
    return made
