"""The hot path, compiled: Cython 3, only what is hot, and each part with a twin in plain Python beside it.

A checkout has the compiled modules where ``make`` could build them (``build/extension.py``), the native program always.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

SWITCH: Final = "CKV_CORE"
"""The environment variable: ``off`` for the twins, also where the compiled modules are. For tests and comparisons."""


def _is_there() -> bool:
    try:
        import_module("ckv.core.records")
    except ModuleNotFoundError:
        return False  # any other error is one of a module that is there, and not to be passed over in silence
    return True


COMPILED: Final = os.environ.get(SWITCH) != "off" and _is_there()
"""Whether this process runs on the compiled modules."""

KIND: Final = "compiled" if COMPILED else "python"
"""The same in a word."""
