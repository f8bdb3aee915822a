"""Ways to break what a scan of all keys promises; ``tests/store/mutations.py`` makes them, among others."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.store.mutation import Mutation

_SCAN: Final = partial(Mutation, simulation="tests.store.scans", by_model=False)

SCANNING = (
    _SCAN(
        "scan-without-pending",
        "SCAN: what has left memory and is not committed is told",
        "ckv/store/scanning.py",
        "            return Place(Phase.PENDING)\n",
        "            return Place(Phase.ROWS)\n",
    ),
    _SCAN(
        "scan-old-ones-come-back",
        "SCAN: a row is not left out because of a record that came back into memory",
        "ckv/store/scanning.py",
        "and (again or self._late == self._store.motion.late)",
        "",
    ),
    _SCAN(
        "scan-age-of-memory",
        "SCAN: a row is not left out because of a record that came into memory meanwhile",
        "ckv/store/scanning.py",
        "        return 0 < version <= self._began and",
        "        return 0 < version and",
    ),
    _SCAN(
        "scan-not-again",
        "SCAN: what was written while its row expired is told",
        "ckv/store/scanning.py",
        "        if phase is Phase.ROWS and self._store.rows_may_end:\n            return Place(Phase.MEMORY_AGAIN)\n",
        "",
        test="tests/store/test_scanning.py::test_a_key_whose_row_has_expired_on_its_way_is_told",
    ),
    _SCAN(
        "scan-not-what-left-again",
        "SCAN: what left memory while that is looked at again is told",
        "ckv/store/scanning.py",
        "        return Place(Phase.PENDING_AGAIN) if phase is Phase.MEMORY_AGAIN else None\n",
        "        return None\n",
        test="tests/store/test_scanning.py::test_what_is_committed_while_its_listing_is_told_is_told",
    ),
    _SCAN(
        "scan-tells-deleted-rows",
        "SCAN: a row whose deletion is on its way is not told",
        "ckv/store/scanning.py",
        "        return known if known is not None else not self._store.is_over(expires)\n",
        "        return known or not self._store.is_over(expires)\n",
    ),
    _SCAN(
        "scan-tells-expired-rows",
        "SCAN: a row that has expired is not told",
        "ckv/store/scanning.py",
        "        return known if known is not None else not self._store.is_over(expires)\n",
        "        return known if known is not None else True\n",
    ),
    _SCAN(
        "scan-tells-expired-records",
        "SCAN: a record that has expired in memory is not told",
        "ckv/store/modes.py",
        "        if key in self.memory:\n            return not self.memory.is_over(key)\n        row",
        "        if key in self.memory:\n            return True\n        row",
    ),
    _SCAN(
        "scan-tells-expired-pending",
        "SCAN: a record that has expired in pending is not told",
        "ckv/store/modes.py",
        "            return row.value is not TOMBSTONE and not self._is_over(row.expires)\n        return False",
        "            return row.value is not TOMBSTONE\n        return False",
    ),
    _SCAN(
        "scan-skips-rows",
        "SCAN: rows go on behind the last one",
        "ckv/store/scanning.py",
        "        if len(rows) < asked:\n            answer.place = self._next(Phase.ROWS)\n",
        "        answer.place = self._next(Phase.ROWS)\n",
    ),
    _SCAN(
        "scan-through-without-again",
        "SCAN: what is saved a second time is told",
        "ckv/store/through.py",
        "        return list(self.again)\n",
        "        return []\n",
        mode="through",
    ),
)
