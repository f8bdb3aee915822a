"""What is answered where a handler raises what it does not mean to: a defect, which is logged and costs one request."""

from __future__ import annotations

import logging

from ckv import errors, events

log = logging.getLogger(__name__)


def meant(error: Exception, what: str) -> errors.CkvError:
    """The error itself, if it is one that is answered; else that of a defect in ``what``, which is logged."""
    if isinstance(error, errors.CkvError):
        return error
    log.error(events.CALL_DEFECT, what, exc_info=error)
    return errors.ServerError(f"unexpected error in {what}")
