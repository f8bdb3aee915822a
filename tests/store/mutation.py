"""What a way to break the store is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support import mutations


@dataclass(frozen=True)
class Mutation(mutations.Mutation):
    """One change of one file that breaks one guarantee of the store."""

    mode: str = "evict"
    """The write mode whose schedules show it."""
    simulation: str = "tests.store.simulate"
    """The module whose schedules show it."""
    test: str = ""
    """A test that shows it in the place of schedules, which meet it too rarely: what pytest calls it."""
    by_model: bool = True
    """Whether the model (:mod:`tests.store.test_model`), which knows ``evict`` only, has to catch it as well."""
