"""Ways to break a cluster are caught, those of this run: `make test-mutations` makes all of the list."""

from __future__ import annotations

import pytest

from tests.cluster.mutations import MUTATIONS, Mutation, survived
from tests.support.mutations import DEADLINE, of_this_run


@pytest.mark.timeout(2 * DEADLINE)
@pytest.mark.parametrize("mutation", of_this_run(MUTATIONS), ids=lambda mutation: mutation.name)
def test_it_is_caught(mutation: Mutation) -> None:
    said = survived(mutation)
    assert not said, f"not caught: {mutation.breaks}\n{said}"
