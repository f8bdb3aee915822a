"""What an answer, or its absence, says about whoever was asked directly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ckv.errors import (
    CallTimeout,
    CkvError,
    Draining,
    Moving,
    NodeLost,
    NotOwner,
    PoolExhausted,
    Refused,
    Starting,
    UnknownMethod,
    Unreachable,
    WrongNode,
)

_ELSEWHERE: Final = (NotOwner, Moving, WrongNode, Draining, Starting, UnknownMethod)
"""What an owner answers that did nothing and may not be the one to ask."""

UNANSWERED: Final = (NodeLost, CallTimeout)

OF_SLOTS: Final = (NotOwner, Moving)
"""Those errors that say nothing about the node."""


def is_elsewhere(result: object) -> bool:
    """Whether nothing was done, and somebody else may do it."""
    if not isinstance(result, CkvError):
        return False
    if isinstance(result, Unreachable):
        return not isinstance(result, PoolExhausted)
    return isinstance(result, _ELSEWHERE) or type(result) is Refused


def is_answer(result: object) -> bool:
    """Whether whoever was asked has answered."""
    return not isinstance(result, Unreachable | CallTimeout | NodeLost)


def raise_if_unreachable(results: Sequence[object]) -> None:
    """Raises Unreachable if that is the result of all calls, so that nothing was sent."""
    errors = [result for result in results if isinstance(result, Unreachable)]
    if errors and len(errors) == len(results):
        raise errors[0]
