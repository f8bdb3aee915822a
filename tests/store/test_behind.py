"""What the mode ``behind`` queues is what was accepted last."""

from __future__ import annotations

import pytest

from ckv.store.memory import TABLES
from ckv.store.modes import MODES
from ckv.store.pending import Pending
from ckv.store.tiers import Environment


@pytest.mark.parametrize("table", TABLES)
def test_a_value_that_makes_room_for_a_longer_one_of_its_key_is_not_queued_in_its_place(table: str) -> None:
    memory = TABLES[table]["lru"](100, 3000)
    environment = Environment(clock=lambda: 0.0, load_timeout=1.0, pending_wait=1.0)
    store = MODES["behind"](memory, Pending(1000, 1 << 30), environment)
    number = 0
    before = -1
    while 2 * memory.bytes - before <= 3000:  # until there is no room for one more
        before = memory.bytes
        assert store.put(f"k{number}", "old" * 40) is True
        number += 1
    assert store.put("k0", "new" * 500) is True
    row = store.pending.find("k0")
    assert row is not None
    assert (row.value, row.version) == ("new" * 500, memory.version_of("k0"))
