"""Every way to break the store that is on the list is caught."""

from __future__ import annotations

import pytest

from tests.store.mutations import MUTATIONS, Mutation, survivors


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_it_is_caught(mutation: Mutation) -> None:
    survived = survivors(mutation)
    assert not survived, f"not caught: {mutation.breaks}\n" + "\n".join(survived)
