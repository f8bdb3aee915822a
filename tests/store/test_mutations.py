"""The model test catches every way to break the store that is on the list."""

from __future__ import annotations

import pytest

from tests.store.mutations import MUTATIONS, Mutation, survives


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_it_is_caught(mutation: Mutation) -> None:
    output = survives(mutation)
    assert output is None, f"not caught, {mutation.breaks}\n{output}"
