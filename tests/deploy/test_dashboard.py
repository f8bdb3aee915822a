"""deploy/monitoring/dashboard.json: Grafana can show it, and each panel asks for what real nodes tell."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ckv import Client, errors
from tests.deploy.rendered import DEPLOY, Cluster, Object, objects
from tests.deploy.test_component import MONITORING, with_components
from tests.deploy.test_monitoring import MATCHER, OF_PROMETHEUS, SELECTOR, metrics, promtool
from tests.support.nodes import Nodes
from tests.system.test_http import samples

FILE: Final = DEPLOY / "monitoring" / "dashboard.json"
COLUMNS: Final = 24
OF_ALERTS: Final = re.compile(r"\b(ALERTS)\{([^}]*)\}")
LABELS_OF_ALERTS: Final = {"alertname", "alertstate", *OF_PROMETHEUS}

FILLED_IN: Final = {"$job": "ckv", "$instance": ".*", "$__rate_interval": "1m"}
"""What Grafana puts in the place of its variables."""


def read() -> Object:
    found: Object = json.loads(FILE.read_text())
    return found


def panels(model: Object) -> list[Any]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def expressions(model: Object) -> list[str]:
    """Of all panels, as Prometheus is asked."""
    found = [target["expr"] for panel in panels(model) for target in panel["targets"]]
    for variable, value in FILLED_IN.items():
        found = [expression.replace(variable, value) for expression in found]
    return found


def problems(model: Object) -> Iterator[str]:
    """Everything that is wrong with a dashboard, as far as it can be seen without Grafana."""
    numbers = [panel["id"] for panel in model["panels"]]
    if len(set(numbers)) != len(numbers):
        yield "two panels of one id"
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        if cells & taken or any(x >= COLUMNS for x, _ in cells):
            yield f"{panel['title']}: lies on another panel, or outside"
        taken |= cells
    known = metrics() | {"ALERTS": {label: set() for label in LABELS_OF_ALERTS}}
    for panel in panels(model):
        targets = panel["targets"]
        if [target["refId"] for target in targets] != [chr(ord("A") + at) for at in range(len(targets))]:
            yield f"{panel['title']}: two questions of one name, or none"
        for target in targets:
            for metric, matchers in [*SELECTOR.findall(target["expr"]), *OF_ALERTS.findall(target["expr"])]:
                if metric not in known:
                    yield f"{panel['title']}: no node tells {metric}"
                for label, how, value in MATCHER.findall(matchers):
                    values = known.get(metric, {}).get(label)
                    if values is None and label not in OF_PROMETHEUS:
                        yield f"{panel['title']}: {metric} has no label {label}"
                    elif values and how in ("=", "!=") and value not in values:
                        yield f"{panel['title']}: {label} of {metric} is never {value}"
    for variable in set(re.findall(r"\$\{?(\w+)", json.dumps(model))):
        if not variable.startswith("__") and variable not in {each["name"] for each in model["templating"]["list"]}:
            yield f"there is no variable {variable}"


def test_the_dashboard_is_right() -> None:
    assert list(problems(read())) == []
    assert len(panels(read())) > 20


MISTAKES: Final = {
    "a metric that no node tells": ("expr", 'ckv_hit_total{tier="memory"}', "no node tells ckv_hit_total"),
    "a label that is not there": ("expr", 'ckv_records{tier="memory"}', "ckv_records has no label tier"),
    "a tier that is none": ("expr", 'ckv_hits_total{tier="disk"}', "tier of ckv_hits_total is never disk"),
    "a variable that is none": ("expr", 'ckv_records{job="$cluster"}', "there is no variable cluster"),
    "a question without a name": ("refId", "", "two questions of one name"),
}


@pytest.mark.parametrize(("field", "value", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_seen(field: str, value: str, said: str) -> None:
    broken = read()
    panels(broken)[0]["targets"][0][field] = value
    assert any(said in problem for problem in problems(broken)), list(problems(broken))


def test_a_panel_on_another_one_is_seen() -> None:
    broken = read()
    panels(broken)[1]["gridPos"] = panels(broken)[0]["gridPos"]
    assert any("lies on another" in problem for problem in problems(broken))


def selector(name: str, labels: dict[str, str]) -> str:
    return f"{name}{{{', '.join(f'{label}={json.dumps(text)}' for label, text in labels.items())}}}"


def test_every_panel_shows_something_of_real_nodes(nodes: Nodes, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool, of Prometheus, is not here")
    cluster = nodes.start_cluster(1, secondary_options=["--http=0"], primary_options=["--http=127.0.0.1:0"])
    for node in (cluster.primary, cluster.secondaries[0]):
        with Client("127.0.0.1", node.port) as client, pytest.raises(errors.NotANumber):
            client.put("a", "text")
            client.incr("a")
    told = [
        (name, labels | {"instance": instance}, value)
        for instance, node in (("p", cluster.primary), ("s", cluster.secondaries[0]))
        for name, labels, value in [("up", {}, 1.0), *samples(node)]
    ]
    told.append(("ALERTS", {"alertname": "CkvNotReady", "alertstate": "firing"}, 1.0))
    series = [
        {"series": selector(name, labels | {"job": "ckv"}), "values": f"{value:.3f}+1x20"}
        for name, labels, value in told
    ]
    shown = [
        {
            "expr": f"count({expression}) > bool 0",
            "eval_time": "4m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expression in expressions(read())
    ]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": shown}
    (tmp_path / "dashboard.test.yaml").write_text(yaml.safe_dump({"tests": [test]}))
    assert promtool(["test", "rules", "dashboard.test.yaml"], tmp_path) == (0, "")


def test_the_component_gives_it_to_grafana(tmp_path: Path) -> None:
    made = Cluster(objects(with_components(DEPLOY / "overlays/local", tmp_path / "overlay", MONITORING)))
    found = made.find("ConfigMap", "ckv-dashboard")
    assert found is not None
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["data"] == {FILE.name: FILE.read_text()}
