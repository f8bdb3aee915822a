"""Ways to break the compiled code are caught, those of this run: `make test-mutations` makes all of the list."""

from __future__ import annotations

import os

import pytest

from ckv import core
from tests.core.mutations import MUTATIONS, survived
from tests.support.mutations import DEADLINE, Mutation, of_this_run

pytestmark = pytest.mark.skipif(
    not core.COMPILED and os.environ.get("CI") != "true", reason="ckv/core is not compiled: make venv"
)


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.parametrize("mutation", of_this_run(MUTATIONS), ids=lambda mutation: mutation.name)
def test_it_is_caught(mutation: Mutation) -> None:
    said = survived(mutation)
    assert not said, f"not caught: {mutation.breaks}\n{said}"
