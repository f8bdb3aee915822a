"""The rules see what they are there for: every mistake is made alone, in each overlay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy import mistakes, mistakes_of_nodes  # noqa: F401 - each adds its own
from tests.deploy.mistake import MISTAKES, SCHEMA, Mistake, Objects
from tests.deploy.rendered import OVERLAYS, Cluster, objects
from tests.deploy.rules import RULES
from tests.deploy.schema import VERSIONS, problems


def test_every_rule_has_a_mistake_that_it_must_see() -> None:
    assert {mistake.seen_by for mistake in MISTAKES} == {SCHEMA, *RULES}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_a_mistake_is_seen(overlay: Path, mistake: Mistake) -> None:
    broken = objects(overlay)
    mistake.make(Objects(broken))
    assert broken != objects(overlay)
    if mistake.seen_by is None:
        for version in VERSIONS:
            assert list(problems(broken, version)) != [], version
    else:
        assert list(mistake.seen_by(Cluster(broken))) != []
