"""Environment variables that begin with ``CKV_`` and that nobody reads: no misspelt setting is silently ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ckv.security import account
from ckv.settings.table import SETTINGS
from ckv.spelling import nearest

PREFIX: Final = "CKV_"

OF_TOOLS: Final = ("CKV_COMMAND", "CKV_CORE", "CKV_FAILURES_SEED", "CKV_MODEL_EXAMPLES", "CKV_MODEL_SHRINK")
"""Those of the tests and the benchmark."""

_LINK: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=|\w+_PORT=(tcp|udp|sctp)://"
)
"""What Kubernetes puts into the environment for a Service whose name begins with ckv, as Docker's links did."""


def known() -> frozenset[str]:
    """The names of all variables that some role reads."""
    from ckv.persistent.mysql import address

    twins = (setting.environment for setting in SETTINGS if setting.environment)
    return frozenset((*twins, *address.VARIABLES, account.PASSWORD, account.NODE_PASSWORD))


def warning(environ: Mapping[str, str]) -> str | None:
    """One line that names the variables nobody reads; ``None`` if there are none.

    >>> warning({"CKV_WRITEMODE": "through"})
    'ignored: no such variable: CKV_WRITEMODE (did you mean CKV_WRITE_MODE?)'
    """
    ours = ((name, value) for name, value in environ.items() if name.startswith(PREFIX) and name not in OF_TOOLS)
    given = {name for name, value in ours if not _LINK.match(f"{name}={value}")}
    strangers = sorted(given - known()) if given else []
    for index, name in enumerate(strangers):
        # Without what all of them begin with, which would make any two alike.
        near = nearest(name.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known()])
        if near:
            strangers[index] += f" (did you mean {PREFIX}{near}?)"
    return f"ignored: no such variable: {', '.join(strangers)}" if strangers else None
