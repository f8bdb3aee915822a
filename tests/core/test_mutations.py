"""Every way to break the compiled table that is on the list is caught."""

from __future__ import annotations

import os

import pytest

from ckv import core
from tests.core.mutations import MUTATIONS, survived
from tests.support.mutations import DEADLINE, Mutation

pytestmark = pytest.mark.skipif(
    not core.COMPILED and os.environ.get("CI") != "true", reason="ckv/core is not compiled: make venv"
)


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_it_is_caught(mutation: Mutation) -> None:
    said = survived(mutation)
    assert not said, f"not caught: {mutation.breaks}\n{said}"
