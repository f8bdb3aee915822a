"""What a mistake in an overlay is: how it is made in the rendered objects, and the rule that has to see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.deploy.rendered import Object
from tests.deploy.rules import Rule

SCHEMA: Final = None
"""Stands for the schemas, where a rule would stand."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: how it is made, and what has to see it."""

    name: str
    seen_by: Rule | None
    make: Callable[[Objects], None] = field(repr=False)


class Objects:
    """Rendered objects, to break: by kind and name, and shorter for what is broken most."""

    def __init__(self, things: list[Object]) -> None:
        self.things = things

    def __call__(self, kind: str, name: str) -> Object:
        # A ConfigMap's name ends in a hash.
        return next(
            thing
            for thing in self.things
            if thing["kind"] == kind and f"{thing['metadata']['name']}-".startswith(f"{name}-")
        )

    @property
    def secondary(self) -> Object:
        return self("StatefulSet", "ckv-secondary")

    @property
    def primary(self) -> Object:
        return self("StatefulSet", "ckv-primary")

    @property
    def mysql(self) -> Object:
        return self("StatefulSet", "ckv-mysql")


def pod(workload: Object) -> Any:
    return workload["spec"]["template"]["spec"]


def container(workload: Object) -> Any:
    return pod(workload)["containers"][0]


def options(objects: Objects, role: str) -> Any:
    return objects("ConfigMap", f"ckv-{role}")["data"]


MISTAKES: Final[list[Mistake]] = []
"""All of them; the modules beside this one add theirs."""


def mistake(name: str, seen_by: Rule | None) -> Callable[[Callable[[Objects], None]], Callable[[Objects], None]]:
    def add(make: Callable[[Objects], None]) -> Callable[[Objects], None]:
        MISTAKES.append(Mistake(name, seen_by, make))
        return make

    return add
