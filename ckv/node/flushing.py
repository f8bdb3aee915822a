"""How a batch is written: which statements, and what the store is told of rows that were not written.

What is done when nobody says whose fault it is decides :mod:`ckv.store.pending`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ckv import events
from ckv.errors import CkvError, RowsRefused, TierError, WriteFailed
from ckv.node.watching import WatchedSession
from ckv.persistent import Session
from ckv.store.row import TOMBSTONE, Write
from ckv.store.store import Store

log = logging.getLogger(__name__)


def flush(store: Store, session: Session | WatchedSession, batch: Sequence[Write]) -> bool:
    """Writes a batch of the store and tells the store how it ended; :meth:`Store.admit` is left to the caller.

    Returns whether it did not fail (rows that are refused are no failure); the session can be used further either way.
    What else the session raises goes out, after the store was told.
    """
    written: list[Write] = []
    refused: dict[str, CkvError] = {}
    probed = False
    try:
        if store.pending.failed_alone(batch):
            session.probe()
            probed = True
        _write(store, session, batch, written, refused)
    except BaseException as error:  # also a kill: the rows must go back whatever happens
        if written:
            _report(store, written, refused)
        done = {write.key for write in written}
        rest = [write for write in batch if write.key not in done]
        why = error if isinstance(error, CkvError) else TierError(str(error))
        was_limited = store.pending.limit.lowered
        if store.flush_failed(rest, why, probed=probed):
            _say_refused(store, rest[0], why)
        elif store.pending.limit.lowered and not was_limited:
            log.warning(events.BATCH_FAILED, len(rest), why)
        if not isinstance(error, WriteFailed):
            raise
        return False
    _report(store, batch, refused)
    return True


def _write(
    store: Store,
    session: Session | WatchedSession,
    batch: Sequence[Write],
    written: list[Write],
    refused: dict[str, CkvError],
) -> None:
    """Writes the rows of a batch and deletes its tombstones, each in one transaction, or more where some are refused.

    What is done goes into ``written``, also when something is raised in the end; what of it the tier refuses goes into
    ``refused``, by key. It must not block the others (I5): a piece that is refused is halved until the row is found.
    """
    pieces = [
        [write for write in batch if write.value is not TOMBSTONE],
        [write for write in batch if write.value is TOMBSTONE],
    ]
    while pieces:
        piece = pieces.pop()
        rows = [(write.key, write.value) for write in piece if write.value is not TOMBSTONE]
        try:
            if rows:
                expires = {write.key: write.expires for write in piece if write.expires}
                store.expiry_seen |= bool(expires)
                session.save_many(rows, expires)
            elif piece:
                session.delete_many([write.key for write in piece])
        except RowsRefused as error:
            if len(piece) > 1:
                middle = len(piece) // 2
                pieces += [piece[middle:], piece[:middle]]
                continue
            refused[piece[0].key] = error
        written += piece


def _report(store: Store, written: Sequence[Write], refused: dict[str, CkvError]) -> None:
    store.flush_end(written, refused)
    for write in written if refused else ():
        if write.key in refused:
            _say_refused(store, write, refused[write.key])


def _say_refused(store: Store, write: Write, why: CkvError) -> None:
    if store.pending.is_parked(write.key):
        stays = "deleted" if write.value is TOMBSTONE else "readable"
        log.error(events.ROW_PARKED, stays, len(write.key), why)
    else:
        log.error(events.ROW_FORGOTTEN, len(write.key), why)
