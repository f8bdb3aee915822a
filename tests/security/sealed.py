"""Nodes that speak TLS, as real processes, and what their clients trust."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from tests.support.certificate import Authority, Certified
from tests.support.nodes import Cluster, Node, Nodes
from tests.support.wire import RawClient


class Sealed:
    """Starts nodes with a certificate each, all signed by one authority."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self._nodes = nodes
        self.authority = Authority(folder)
        self.node = self.authority.issue("node")

    def options(self, *more: str, certified: Certified | None = None) -> list[str]:
        certified = certified or self.node
        return [
            f"--tls-cert={certified.path}", f"--tls-key={certified.key_path}", f"--tls-ca={self.authority.path}", *more
        ]  # fmt: skip

    def secondary(self, *more: str, certified: Certified | None = None, **rest: Any) -> Node:
        return self._nodes.start_secondary(options=self.options(*more, certified=certified), **rest)

    def primary(self, *secondaries: Node, more: tuple[str, ...] = (), certified: Certified | None = None) -> Node:
        return self._nodes.start_primary(*secondaries, options=self.options(*more, certified=certified))

    def cluster(self, *more: str) -> Cluster:
        """A primary with a list of two secondaries."""
        options = self.options(*more)
        return self._nodes.start_cluster(secondary_options=options, primary_options=options)

    def trust(self, certified: Certified | None = None) -> ssl.SSLContext:
        """A client's, who trusts the authority, and has this certificate."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if certified is not None:
            context.load_cert_chain(certified.path, certified.key_path)
        return context

    def rpc(self, node: Node, certified: Certified | None = None) -> RawClient:
        """A client of msgpack-RPC."""
        return RawClient(node.address, tls=self.trust(certified))
