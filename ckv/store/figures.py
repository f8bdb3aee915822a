"""What a store counts and measures, under the names of INFO: ``ckv/node/figures.py`` says what each of them means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Figures:
    """What counts is counted here, since the start; the rest :meth:`~ckv.store.Records.measured` fills in."""

    records: int = 0
    records_bytes: int = 0
    records_clean: int = 0
    absent_keys: int = 0
    absent_bytes: int = 0
    records_expiring: int = 0
    expired_keys: int = 0
    evicted_keys: int = 0
    dropped_records: int = 0
    hits_memory: int = 0
    hits_pending: int = 0
    hits_persistent: int = 0
    misses: int = 0
    absent_hits: int = 0
    """Counted here: those that a tombstone answered. The table of absent keys counts the others."""
    pending_records: int = 0
    pending_bytes: int = 0
    pending_oldest_seconds: float = 0.0
    parked_records: int = 0
    writes_waiting_for_room: int = 0
    refused_for_room: int = 0
    loads: int = 0
    loads_shared: int = 0
    loads_queued: int = 0
    load_queries: int = 0
    load_failures: int = 0
    load_locks: int = 0
    load_refusals: int = 0
    load_timeouts: int = 0
    commit_timeouts: int = 0
    flushes: int = 0
    flushed_rows: int = 0
    flush_failures: int = 0

    @property
    def held_bytes(self) -> int:
        """What the store takes of the memory."""
        return self.records_bytes + self.absent_bytes + self.pending_bytes
