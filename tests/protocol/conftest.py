"""The fixtures of :mod:`tests.net.conftest`: a protocol is tested over real sockets too."""

from __future__ import annotations

from tests.net.conftest import log, world

__all__ = ["log", "world"]
