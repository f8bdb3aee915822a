"""What a node tells over HTTP: its figures, whether it lives and can serve, and a page that shows both to people.

``/livez`` and ``/readyz`` are as those of Kubernetes' own programs, with their form of an answer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from ckv import events
from ckv.node import metrics
from ckv.node.figures import Info
from ckv.node.overview import Overview
from ckv.node.page import document

log = logging.getLogger(__name__)

PIECE_SECONDS: Final = 0.001
"""How long an answer is worked at before others have their turn. The figures, and each piece, come on top of it."""

PLAIN: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"

READ: Final = ("GET", "HEAD")

Check = Callable[[], str]
"""Why the node cannot serve as far as this goes; empty when it can."""


class Page(NamedTuple):
    """One answer."""

    status: HTTPStatus
    kind: str
    """Its Content-Type."""
    body: str
    policy: str = ""
    """Its Content-Security-Policy, where a browser is to show it."""


class Pages:
    """A WSGI application."""

    def __init__(
        self,
        figures: Callable[[], Info],
        checks: Mapping[str, Check],
        overview: Overview,
        rest: Callable[[], object],
    ) -> None:
        """``checks``: by name, what has to be well for the node to be ready. ``rest`` lets others have their turn."""
        self._figures = figures
        self._checks = checks
        self._overview = overview
        self._rest = rest
        self._paths: dict[str, Callable[[str], Page]] = {
            "/": lambda _query: Page(HTTPStatus.OK, HTML, *document()),
            "/metrics": lambda _query: self._metrics(),
            "/livez": lambda _query: Page(HTTPStatus.OK, PLAIN, "ok\n"),
            "/readyz": lambda query: self._ready(left_out=parse_qs(query).get("exclude", [])),
            "/status.json": lambda _query: _json(overview.status()),
            "/history.json": lambda _query: _json(overview.history()),
        }
        for name in checks:
            self._paths[f"/readyz/{name}"] = lambda _query, name=name: self._ready(only=name)  # type: ignore[misc]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Answers one request."""
        method: str = environ["REQUEST_METHOD"]
        page = self._page(method, environ["PATH_INFO"], environ["QUERY_STRING"])
        body = page.body.encode()
        headers = [
            ("Content-Type", page.kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ]
        if page.policy:
            headers += [("Content-Security-Policy", page.policy), ("Referrer-Policy", "no-referrer")]
        if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", ", ".join(READ)))
        start_response(f"{page.status.value} {page.status.phrase}", headers)
        return [] if method == "HEAD" else [body]

    def _page(self, method: str, path: str, query: str) -> Page:
        if path not in self._paths:
            known = "\n".join(self._paths)
            return Page(HTTPStatus.NOT_FOUND, PLAIN, f"there is no such page; there are\n{known}\n")
        if method not in READ:
            return Page(HTTPStatus.METHOD_NOT_ALLOWED, PLAIN, f"allowed is {' and '.join(READ)}\n")
        try:
            return self._paths[path](query)
        except Exception:  # a defect is not to end the node, and whoever asks is told
            log.exception(events.PAGE_FAILED, path, extra={"once_a_minute": path})
            return Page(HTTPStatus.INTERNAL_SERVER_ERROR, PLAIN, "the log of the node says why this failed\n")

    def _metrics(self) -> Page:
        pieces: list[str] = []
        began = time.monotonic()
        for piece in metrics.exposition(self._figures(), self._overview.latencies.told()):
            pieces.append(piece)
            if time.monotonic() - began >= PIECE_SECONDS:
                self._rest()
                began = time.monotonic()
        return Page(HTTPStatus.OK, metrics.CONTENT_TYPE, "".join(pieces))

    def _ready(self, only: str = "", left_out: list[str] | None = None) -> Page:
        lines, failed = [], False
        unknown = sorted(set(left_out or ()) - self._checks.keys())
        if unknown:
            return Page(HTTPStatus.BAD_REQUEST, PLAIN, f"no such check: {', '.join(unknown)}\n")
        for name, check in self._checks.items():
            if only and name != only:
                continue
            if left_out and name in left_out:
                lines.append(f"[+]{name} excluded: ok")
                continue
            why = check()
            failed = failed or bool(why)
            lines.append(f"[-]{name} failed: {why}" if why else f"[+]{name} ok")
        lines.append("readyz check failed" if failed else "readyz check passed")
        status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
        return Page(status, PLAIN, "\n".join(lines) + "\n")


def _json(value: object) -> Page:
    return Page(HTTPStatus.OK, "application/json", json.dumps(value) + "\n")
