"""What of the binary is compiled to C, and what stays the interpreter's bytecode: the one place that says so."""

from __future__ import annotations

from typing import Final

COMPILED: Final[tuple[str, ...]] = (
    "ckv.cluster.slots",
    "ckv.net.callee",
    "ckv.net.connection",
    "ckv.net.handshakes",
    "ckv.net.inbox",
    "ckv.net.metered",
    "ckv.net.parking",
    "ckv.net.peer",
    "ckv.net.poller",
    "ckv.net.tls",
    "ckv.net.transport",
    "ckv.node.answers",
    "ckv.node.lanes",
    "ckv.node.primary",
    "ckv.node.secondary",
    "ckv.node.updates",
    "ckv.protocol.batch",
    "ckv.protocol.calling",
    "ckv.protocol.messages",
    "ckv.protocol.msgpackrpc",
    "ckv.protocol.quick",
    "ckv.protocol.reading",
    "ckv.protocol.resp.client",
    "ckv.protocol.resp.gather",
    "ckv.protocol.resp.ordering",
    "ckv.protocol.resp.parsing",
    "ckv.protocol.resp.quick",
    "ckv.protocol.resp.results",
    "ckv.protocol.resp.session",
    "ckv.protocol.session",
    "ckv.redis.strings",
    "ckv.store.pending",
    "ckv.store.row",
    "ckv.store.trouble",
)
"""Modules of ckv that requests go through, by their full names; ``build/compiled.py`` compiles them.

What is in no list is bytecode, for it needs no C compiler. Nuitka's own C gains nothing: docs/releasing.md.
"""

THIRD_PARTY: Final[tuple[str, ...]] = (
    "cffi",
    "cryptography",
    "docopt",
    "gevent",
    "greenlet",
    "kazoo",
    "msgpack",
    "prompt_toolkit",
    "pymysql",
    "pythonjsonlogger",
    "tenacity",
    "wcwidth",
    "zope",
)
"""Packages by their import names: bytecode, and C where they bring compiled modules of their own."""

EXTRA: Final[tuple[str, ...]] = ("_json",)
"""Modules that are looked for at run time and that nothing seems to import."""

METADATA: Final[tuple[str, ...]] = ("prompt_toolkit",)
"""Distributions that ask for their own version at run time."""

LEFT_OUT: Final[tuple[str, ...]] = (
    "readline",  # a prompt for the debugger alone, and its licence is the GPL
    "pycparser",  # for the compiler of cffi, which nobody calls here
    "gevent.testing",
    "gevent.tests",
)
"""Modules that something imports, and that are never needed."""
