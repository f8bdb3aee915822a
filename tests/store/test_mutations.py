"""Every way to break the store that is on the list is caught."""

from __future__ import annotations

import pytest

from tests.store.mutation import Mutation
from tests.store.mutations import MUTATIONS, survived
from tests.support.mutations import DEADLINE


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_it_is_caught(mutation: Mutation) -> None:
    said = survived(mutation)
    assert not said, f"not caught: {mutation.breaks}\n{said}"
