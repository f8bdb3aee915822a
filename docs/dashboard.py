"""The dashboard for Grafana, which ``docs/generate.py`` writes to ``deploy/monitoring/dashboard.json``.

Its model is documented at
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/. What a panel shows is
explained in it by the table of figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from ckv.node.figures import FIGURES
from ckv.node.kinds import PREFIX
from ckv.node.metrics import ABOUT

Json = dict[str, Any]
Kind = Literal["stat", "state-timeline", "timeseries"]

SCHEMA: Final = 39
"""Of the model, as of Grafana 10 and 11; a newer one brings it up to date when it reads it."""

COLUMNS: Final = 24
"""Of the grid on which the panels lie."""

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
"""Whoever looks at the dashboard chooses which Prometheus, by a variable."""

OF: Final = 'job="$job"'
BY: Final = 'job="$job", instance=~"$instance"'


class Panel(NamedTuple):
    """One panel: a question to Prometheus, or several, and how the answer looks."""

    title: str
    expressions: Mapping[str, str]
    """By what a line is called."""
    unit: str = "short"
    """An id of Grafana's."""
    kind: Kind = "timeseries"
    width: int = 8
    colours: Literal["plain", "red above 0", "red below 1", "blue above 0"] = "plain"
    """Of what is no line."""
    stacked: bool = False


def _rate(metric: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({PREFIX}{metric}{{{BY}}}[$__rate_interval]))"


def _is(metric: str) -> str:
    return f"{PREFIX}{metric}{{{BY}}}"


COLOURS: Final = {
    "plain": ("blue", "blue"),
    "red above 0": ("green", "red"),
    "red below 1": ("red", "green"),
    "blue above 0": ("transparent", "blue"),
}
"""Below 1, and from there on."""

NODE: Final = "{{instance}}"

ROWS: Final[Mapping[str, Sequence[Panel]]] = {
    "What is wrong": (
        Panel("Nodes that do not answer", {"": f"count(up{{{OF}}} == 0) or vector(0)"}, kind="stat", width=4,
              colours="red above 0"),
        Panel("Nodes that cannot serve", {"": f"count({PREFIX}ready{{{OF}}} == 0) or vector(0)"}, kind="stat", width=4,
              colours="red above 0"),
        Panel("Secondaries without their database", {
            "": f"count({PREFIX}database_connected{{{OF}}} == 0 "
                f'and on (job, instance) {PREFIX}info{{persistent_node!="-"}}) or vector(0)',
        }, kind="stat", width=4, colours="red above 0"),
        Panel("Rows that the database refused", {"": f"sum({PREFIX}parked_records{{{OF}}})"}, kind="stat", width=4,
              colours="red above 0"),
        Panel("Rows to be saved", {"": f"sum({PREFIX}pending_records{{{OF}}})"}, kind="stat", width=4),
        Panel("Requests to primaries", {
            "": f"sum(rate({PREFIX}commands_processed_total{{{OF}}}[$__rate_interval]) "
                f'and on (job, instance) {PREFIX}info{{role="primary"}})',
        }, "reqps", kind="stat", width=4),
        Panel("Alerts", {"{{alertname}} {{instance}}": f'ALERTS{{{OF}, alertname=~"Ckv.*", alertstate="firing"}}'},
              kind="state-timeline", width=12, colours="red above 0"),
        Panel("Ready", {NODE: _is("ready")}, kind="state-timeline", width=12, colours="red below 1"),
    ),
    "Calls": (
        Panel("Requests", {NODE: _rate("commands_processed_total")}, "reqps"),
        Panel("Errors", {"{{code}}": _rate("errors_total", "code")}, "reqps", stacked=True),
        Panel("Within which 99 of 100 calls for a key are done", {
            "{{method}}": f"histogram_quantile(0.99, {_rate('call_seconds_bucket', 'le, method')})",
        }, "s"),
        Panel("Slow requests", {NODE: _rate("slow_requests_total")}, "reqps"),
        Panel("Processor", {NODE: _rate("cpu_seconds_total")}, "percentunit"),
        Panel("Connections", {NODE: _is("connected_clients")}),
        Panel("Refused connections and wrong logins", {
            f"refused {NODE}": _rate("rejected_connections_total"), f"login {NODE}": _rate("login_failures_total"),
            f"TLS {NODE}": _rate("tls_handshake_failures_total"),
        }, "cps"),
        Panel("Calls that users may not make, and users that were slowed", {
            f"denied {NODE}": _rate("calls_denied_total"), f"slowed {NODE}": _rate("users_slowed_total"),
        }, "ops"),
        Panel("Memory of the process", {NODE: _is("resident_memory_bytes")}, "bytes"),
    ),
    "Reads": (
        Panel("Reads that found a record", {"{{tier}}": _rate("hits_total", "tier")}, "reqps", stacked=True),
        Panel("Reads that found none", {"{{tier}}": _rate("misses_total", "tier")}, "reqps", stacked=True),
        Panel("Reads that memory answered", {
            "of all": f'sum(rate({PREFIX}hits_total{{{BY}, tier="memory"}}[$__rate_interval])) / '
                      f"(sum(rate({PREFIX}hits_total{{{BY}}}[$__rate_interval])) "
                      f"+ sum(rate({PREFIX}misses_total{{{BY}}}[$__rate_interval])))",
        }, "percentunit"),
        Panel("Records in memory", {NODE: _is("records")}),
        Panel("Memory of records", {NODE: _is("records_bytes")}, "bytes"),
        Panel("Records that left memory", {
            f"for others {NODE}": _rate("evicted_keys_total"), f"expired {NODE}": _rate("expired_keys_total"),
        }, "wps"),
    ),
    "The database": (
        Panel("Answers", {NODE: _is("database_connected")}, kind="state-timeline", colours="red below 1"),
        Panel("Rows to be saved, by node", {NODE: _is("pending_records")}),
        Panel("Age of the oldest row to be saved", {NODE: _is("pending_oldest_seconds")}, "s"),
        Panel("Room for rows to be saved that is taken", {
            f"rows {NODE}": f"{_is('pending_records')} / {_is('pending_max_records')}",
            f"bytes {NODE}": f"{_is('pending_bytes')} / {_is('pending_max_bytes')}",
        }, "percentunit"),
        Panel("Saved rows", {NODE: _rate("flushed_rows_total")}, "wps"),
        Panel("Time of a batch", {NODE: f"{_rate('flush_seconds_total')} / {_rate('flushes_total')}"}, "s"),
        Panel("Queries for records", {NODE: _rate("load_queries_total")}, "reqps"),
        Panel("What failed and is tried again", {
            f"batch {NODE}": _rate("flush_failures_total"), f"query {NODE}": _rate("load_failures_total"),
        }, "ops"),
        Panel("Calls that failed for it", {
            f"no room {NODE}": _rate("refused_for_room_total"), f"refused {NODE}": _rate("load_refusals_total"),
            f"load timed out {NODE}": _rate("load_timeouts_total"),
            f"commit timed out {NODE}": _rate("commit_timeouts_total"),
        }, "reqps"),
    ),
    "The cluster": (
        Panel("Slots by their owner", {NODE: _is("cluster_slots")}, stacked=True),
        Panel("Moved slots", {NODE: _rate("cluster_moved_slots_total")}, "ops"),
        Panel("Pause of requests at the last move", {NODE: _is("cluster_last_pause_seconds")}, "s"),
        Panel("Secondaries that are connected", {NODE: _is("peers_connected")}),
        Panel("Requests to secondaries", {
            f"{NODE} to {{{{peer}}}}": _is("peer_in_flight_requests"),
            f"{NODE} waits for {{{{peer}}}}": _is("peer_waiting_requests"),
        }),
        Panel("Primary that leads", {NODE: _is("cluster_leads")}, kind="state-timeline", colours="blue above 0"),
    ),
}  # fmt: skip


def dashboard() -> str:
    """The dashboard as a file."""
    variables: list[Json] = [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _variable("job", "Cluster", f"label_values({PREFIX}info, job)"),
        {
            **_variable("instance", "Node", f"label_values({PREFIX}info{{{OF}}}, instance)"),
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]},
        },
    ]  # fmt: skip
    model: Json = {
        "uid": "ckv",
        "title": "ckv",
        "tags": ["ckv"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }
    return json.dumps(model, indent=1) + "\n"


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
        "definition": query, "query": {"query": query, "refId": name},
    }  # fmt: skip


def _panels() -> Iterator[Json]:
    """The panels, from left to right and from top to bottom."""
    number = y = 0
    for row, panels in ROWS.items():
        number += 1
        yield {
            "id": number, "type": "row", "title": row, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        y += 1
        x = height = 0
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + height
            height = 4 if panel.kind == "stat" else 8
            number += 1
            yield _panel(panel, number) | {"gridPos": {"x": x, "y": y, "w": panel.width, "h": height}}
            x += panel.width
        y += height


def _panel(panel: Panel, number: int) -> Json:
    made: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": _explained(panel),
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression, "legendFormat": called or "__auto"}
            for at, (called, expression) in enumerate(panel.expressions.items())
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
    }
    if panel.kind == "stat":
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}
    elif panel.kind == "state-timeline":
        made["options"] = {"showValue": "never", "legend": {"showLegend": False}}
    return made


def _defaults(panel: Panel) -> Json:
    found: Json = {"unit": panel.unit}
    if panel.kind != "timeseries":
        below, above = COLOURS[panel.colours]
        steps = [{"color": below, "value": None}, {"color": above, "value": 1}]
        return found | {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}
    found["min"] = 0
    if panel.stacked:
        found["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 20}
    return found


def _explained(panel: Panel) -> str:
    """What the table of figures says of all metrics of a panel, each sentence once."""
    told = {figure.metric: figure.help for figure in FIGURES} | dict(ABOUT)
    told |= {f"{figure.metric}_bucket": figure.help for figure in FIGURES if figure.kind == "histogram"}
    asked = dict.fromkeys(re.findall(rf"\b{PREFIX}\w+", " ".join(panel.expressions.values())))
    return "\n\n".join(f"{metric}: {told[metric]}" for metric in asked if metric != f"{PREFIX}info")
