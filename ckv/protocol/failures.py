"""How many requests were answered with an error, by its code.

Counted where an error leaves for whoever asked, so that those of other nodes, which are passed on, are among them, and
nothing is done for a request that has none. Who speaks msgpack-RPC is told ckv's own codes (:mod:`ckv.errors`); for
whom Redis has other ones too, the code behind them counts, and theirs where there is none: ``ERR syntax error``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from ckv import errors
from ckv.protocol.resp.replies import CODES, UNKNOWN

ERROR: Final = b"-"
"""How an error begins in RESP, and no other answer does."""

_OWN: Final = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.CkvError)
)
_GENERAL: Final = "ERR"
"""What Redis calls an error that has no code of its own."""


class ErrorCounts:
    """Those of one node, since its start."""

    def __init__(self) -> None:
        self.by_code: Counter[str] = Counter()
        """The codes are names of classes in :mod:`ckv.errors`, and of Redis what has no such name."""

    def count(self, wire: object) -> None:
        """Takes note of an error in the form in which it travels between nodes."""
        self.by_code[type(errors.from_wire(wire)).__name__] += 1

    def count_answer(self, answer: bytes) -> None:
        """Takes note of an answer in RESP that is an error."""
        self.by_code[code_of(answer)] += 1

    def count_answers(self, answers: Iterable[bytes]) -> None:
        """Takes note of those that are errors among the answers in RESP that make up one."""
        for answer in answers:
            if answer.startswith(ERROR):
                self.count_answer(answer)

    def figures(self) -> dict[str, int | float | str]:
        """What INFO says of them."""
        codes = {f"errors_{code}": count for code, count in sorted(self.by_code.items())}
        return {"total_error_replies": self.by_code.total(), **codes}


def code_of(answer: bytes) -> str:
    """The code of an error in RESP.

    >>> code_of(b"-TRYAGAIN TierUnavailable: it is away\\r\\n"), code_of(b"-ERR UNKNOWN NodeLost: it broke\\r\\n")
    ('TierUnavailable', 'NodeLost')
    >>> code_of(b"-ERR syntax error\\r\\n"), code_of(b"-MOVED 1 10.0.0.1:8081\\r\\n")
    ('ERR', 'MOVED')
    """
    text = answer[len(ERROR) :].partition(b"\r")[0].decode("utf-8", "replace")
    code = text.partition(" ")[0]
    before = UNKNOWN if text.startswith(f"{UNKNOWN} ") else code
    own = text.removeprefix(f"{before} ").partition(":")[0]
    return own if own in _OWN else code


def by_prefix(by_code: Mapping[str, int]) -> dict[str, int]:
    """The same by what Redis calls them, in the order of the alphabet.

    >>> by_prefix({"TierUnavailable": 2, "Moving": 1, "KeyTooLong": 1, "ERR": 3})
    {'ERR': 4, 'TRYAGAIN': 3}
    """
    found: Counter[str] = Counter()
    for code, count in by_code.items():
        found[CODES.get(code, _GENERAL if code in _OWN else code)] += count
    return dict(sorted(found.items()))
