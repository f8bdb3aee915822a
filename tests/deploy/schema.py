"""The schemas of Kubernetes itself, offline and strict: unknown kinds, unknown fields, types, missing fields."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from unittest import mock

import kubernetes_validate
from kubernetes_validate import utils
from packaging.version import Version

from tests.deploy.rendered import Object, name

VERSIONS: Final[list[str]] = sorted(set(map(utils.major_minor, utils.all_versions())), key=Version)[-3:]
"""The newest version of Kubernetes that has schemas, and the two before it."""

OF_OTHERS: Final = ("cert-manager.io/v1",)
"""What Kubernetes itself does not know; :mod:`tests.deploy.encryption` looks at it."""

_contents = cache(utils.schema_contents)
"""Each call of validate() reads two megabytes of JSON."""


def problems(objects: list[Object], version: str) -> Iterator[str]:
    """What is wrong with the objects, for one version such as ``1.37``."""
    for thing in objects:
        if thing.get("apiVersion") in OF_OTHERS:
            continue
        try:
            with mock.patch.object(utils, "schema_contents", _contents):
                used: Any = kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError as error:
            # The command line of the package warns of it and calls the object valid.
            yield f"{thing.get('kind')}: {error.message}"
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(step) for step in error.path)
            yield f"{name(thing)}: {where}: {error.message}"
        else:
            if used != version:
                yield f"{name(thing)}: was validated for {used} instead of {version}"
