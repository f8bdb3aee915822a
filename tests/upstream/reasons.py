"""Why tests of Redis and Valkey are left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """What a test asks for that ckv does not have, or has otherwise."""

    key: str
    """As the lists call it."""

    text: str
    """Half a sentence for the page."""

    shows: str
    """A regular expression that has to be found in what the test said."""

    def explains(self, text: str) -> bool:
        """Whether a test may fail like that for this reason."""
        return re.search(self.shows, text, re.DOTALL) is not None


_REASONS: Final = (
    # What the helper leaves out by itself.
    Reason("debug", "`DEBUG`, which is for those who work on Redis", r"Tag: needs:debug|unknown command 'debug'"),
    Reason("replicas", "replicas: the records are in the database", r"Tag: needs:repl"),
    Reason(
        "databases", "further databases: there is number 0 alone", r"Not supported on singledb|there is one database"
    ),
    Reason("server", "a server that they start themselves, with settings of their own", r"Not supported on external"),
    Reason(
        "set",
        "`CONFIG SET`, `CONFIG RESETSTAT`: nodes are set by their command line, and count from their start",
        r"Tag: needs:config-|CONFIG SET|CONFIG RESETSTAT",
    ),
    # What the error says.
    Reason("types", "types other than strings", r"ckv keeps strings only"),
    Reason("parts", "`SETRANGE`, `LCS`: a value is written as a whole", r"a value is written as a whole"),
    Reason("two", "`RENAME`, `COPY`: two keys may be on two nodes", r"two keys may be on two nodes"),
    Reason("stops", "`SAVE` and `SHUTDOWN`", r"ckv saves what it has|ckv stops by a signal"),
    Reason("long", "keys of more than 1,024 bytes", r"KeyTooLong"),
    Reason("silence", "`CLIENT REPLY`: every command is answered", r"CLIENT REPLY"),
    Reason("random", "`RANDOMKEY`: nobody knows all keys without reading the database", r"nobody knows all keys"),
    Reason("lua", "scripts of their own: ckv runs no Lua", r"ckv runs no Lua"),
    Reason("queued", "`UNSUBSCRIBE` in a transaction", r"ERR Command not allowed inside a transaction"),
    Reason("watched", "more than 1,024 keys that one client watches", r"a client watches at most"),
)

_FAR: Final = Reason("far", "a time of expiry beyond the year 287396", "invalid expire time")
_BYTE: Final = Reason(
    "byte", "a first byte that is no character: it is for msgpack-RPC", r"'\*Protocol error\*'|to be more than '65536'"
)
_MOMENT: Final = Reason(
    "moment", "that a connection goes on for 64 KiB after a mistake (they pass or fail, as it comes)", ""
)
_TWICE: Final = Reason(
    "twice",
    "that `SCAN` tells a key once while it is on its way to the database (they pass or fail, as it comes)",
    r"^$|Expected '1000' to be equal to '1\d\d\d'",
)
_OTHERWISE: Final = Reason(
    "otherwise",
    "Valkey 9 where it is not as Redis 7: words of errors, quotes within a word",
    r"to match 'ERR Command|unbalanced",
)

REASONS: Final = {reason.key: reason for reason in (*_REASONS, _FAR, _BYTE, _MOMENT, _TWICE, _OTHERWISE)}
"""By key. The first that explains what a test said is taken, unless the test has one by its name."""


def _after(key: str, shows: str = "Expected ") -> Reason:
    """The reason of the test before it, which left something that this one does not expect."""
    return replace(REASONS[key], shows=shows)


BY_NAME: Final[dict[str, dict[str, Reason]]] = {
    "unit/expire": {"PEXPIREAT with big integer works": _FAR},
    "unit/scan": {"SCAN TYPE": _TWICE, "{standalone} SCAN TYPE": _TWICE},
    "unit/protocol": {
        "Protocol desync regression test #1": _BYTE,
        "Protocol desync regression test #2": _MOMENT,
        "Protocol desync regression test #4": _MOMENT,
        "Mixing quoted and unquoted strings": _OTHERWISE,
        "Check CRLF when parsing the querybuf": replace(_OTHERWISE, shows="invalid CRLF in request"),
        "Partial command after blocking command is completed on unblock": _after("types", "no blocked clients"),
    },
    "unit/multi": {
        "Nested MULTI are not allowed": _OTHERWISE,
    },
}
"""By file and test the reason, where that does not show in the same way in what the test said."""

UNSTEADY: Final = frozenset({_MOMENT.key, _TWICE.key})
"""The keys of the reasons for which a test may pass as well."""
