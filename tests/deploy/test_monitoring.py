"""deploy/monitoring/: the alerts ask for what nodes tell, and each has its section in docs/runbook.md."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ckv.node.figures import FIGURES
from ckv.node.kinds import PREFIX, WILDCARDS
from tests.deploy.rendered import DEPLOY, Object
from tests.deploy.walkthrough import PAGE, yaml_block
from tests.support.nodes import ROOT

FOLDER: Final = DEPLOY / "monitoring"
FILE: Final = FOLDER / "alerts.yaml"
LOCAL: Final = DEPLOY / "monitoring" / "local.yml"
CASES: Final = FOLDER / "alerts.test.yaml"
RUNBOOK: Final = ROOT / "docs" / "runbook.md"

OF_PROMETHEUS: Final = {"job", "instance"}
"""Labels that it gives to whatever it reads."""

TABLES: Final = {"ckv_fence", "ckv_cluster", "ckv_primary"}

SELECTOR: Final = re.compile(rf"\b({PREFIX}\w+|up)\b(?:\s*\{{([^}}]*)\}})?")
MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def metrics() -> dict[str, dict[str, set[str]]]:
    """What nodes tell: metric to label to its values, none of which stand for any."""
    found: dict[str, dict[str, set[str]]] = {"up": {}, f"{PREFIX}info": {}}
    for figure in FIGURES:
        if figure.kind == "label":
            found[f"{PREFIX}info"][figure.metric] = {"primary", "secondary"} if figure.name == "role" else set()
        elif figure.metric:
            labels = found.setdefault(figure.metric, {})
            for label, value in figure.labels:
                labels.setdefault(label, set()).add(value)
            if figure.wildcard:
                labels[WILDCARDS[figure.wildcard]] = set()
            if figure.kind == "histogram":
                found[f"{figure.metric}_bucket"] = {"method": set(), "le": set()}
    return found


def problems(rules: Object) -> Iterator[str]:
    """Everything that is wrong with a file of rules, as far as it can be seen without Prometheus."""
    known = metrics()
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in alerts]
    if len(set(names)) != len(names):
        yield "two alerts of one name"
    sections = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    yield from (f"{name} has no section in the runbook" for name in set(names) - sections)
    yield from (f"the section {name} is of no alert" for name in sections - set(names))
    for rule in alerts:
        name = rule["alert"]
        unknown = rule.keys() - {"alert", "expr", "for", "labels", "annotations"}
        yield from (f"{name}: there is no field {field}" for field in unknown)
        if not re.fullmatch(r"[1-9]\d*[smh]", rule.get("for", "1m")):
            yield f"{name}: {rule['for']} is no duration"
        if rule["labels"].get("severity") not in ("critical", "warning"):
            yield f"{name}: no severity"
        if rule["annotations"].get("runbook") != f"docs/runbook.md#{name.lower()}":
            yield f"{name}: does not name its section in the runbook"
        asked = set()
        for metric, matchers in SELECTOR.findall(rule["expr"]):
            asked.add(metric)
            if metric not in known:
                yield f"{name}: no node tells {metric}"
                continue
            for label, how, value in MATCHER.findall(matchers):
                values = known[metric].get(label)
                if values is None and label not in OF_PROMETHEUS:
                    yield f"{name}: {metric} has no label {label}"
                elif values and how in ("=", "!=") and value not in values:
                    yield f"{name}: {label} of {metric} is never {value}"
        if not asked:
            yield f"{name}: asks for nothing"
        yield from (f"{name}: nobody gives {label}" for label in told(rule) - labels(rule["expr"], known, asked))


def told(rule: Object) -> set[str]:
    """The labels that the summary of an alert shows."""
    return set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))


def labels(expression: str, known: dict[str, dict[str, set[str]]], asked: set[str]) -> set[str]:
    """The labels that an expression's answers may have."""
    groups = re.match(r"\s*\w+ by \(([^)]*)\)", expression)
    if groups:
        return {label.strip() for label in groups[1].split(",")}
    return OF_PROMETHEUS.union(*(known.get(metric, {}) for metric in asked))


def read() -> Object:
    found: Object = yaml.safe_load(FILE.read_text())
    return found


def test_the_alerts_are_right() -> None:
    assert list(problems(read())) == []


def promtool(words: list[str], folder: Path) -> tuple[int, str]:
    """Its exit code, and what it said where that is not 0; as if it were content where it is not here."""
    if shutil.which("promtool") is None:
        return 0, ""
    run = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr if run.returncode else ""


def rule(rules: Object, name: str) -> Any:
    (found,) = [rule for rule in rules["groups"][0]["rules"] if rule["alert"] == name]
    return found


MISTAKES: Final = {
    "a metric that no node tells": ("CkvNotReady", "expr", "ckv_readyz == 0", "no node tells ckv_readyz"),
    "a figure in the place of its metric": ("CkvNoRoom", "expr", "ckv_refused_for_room > 0", "no node tells"),
    "a label that is not there": ("CkvNotReady", "expr", 'ckv_ready{role="primary"} == 0', "has no label role"),
    "a label of another metric": ("CkvNoLeader", "expr", 'ckv_info{leader="-"}', "ckv_info has no label leader"),
    "a state that is none": ("CkvDatabaseSlow", "expr", 'ckv_database_state{state="lost"}', "state of ckv_data"),
    "no metric": ("CkvNotReady", "expr", "1 == 1", "asks for nothing"),
    "a label that is summed up": ("CkvNotReady", "expr", "sum by (job) (ckv_ready) < 1", "nobody gives instance"),
    "a duration without a unit": ("CkvNotReady", "for", "120", "120 is no duration"),
    "no severity": ("CkvNotReady", "labels", {}, "no severity"),
    "another one's section": (
        "CkvNotReady",
        "annotations",
        {"summary": "", "runbook": "docs/runbook.md#ckvnodedown"},
        "does not name its section",
    ),
    "a name without a section": ("CkvNotReady", "alert", "CkvUnready", "CkvUnready has no section"),
    "a section without an alert": ("CkvNotReady", "alert", "CkvNoRoom", "the section CkvNotReady is of no alert"),
    "two of one name": ("CkvNotReady", "alert", "CkvNoRoom", "two alerts of one name"),
    "a field that is none": ("CkvNotReady", "severity", "critical", "there is no field severity"),
}


@pytest.mark.parametrize(("name", "field", "value", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_seen(name: str, field: str, value: object, said: str) -> None:
    broken = read()
    rule(broken, name)[field] = value
    assert any(said in problem for problem in problems(broken)), list(problems(broken))


def test_the_runbook_names_figures_that_there_are() -> None:
    words = set(re.findall(r"`(\w+_\w+)`", RUNBOOK.read_text()))
    assert len(words) > 15
    environment = {word for word in words if word.isupper()}
    assert words - {figure.name for figure in FIGURES} - TABLES - environment - {"max_allowed_packet"} == set()


@pytest.mark.parametrize("page", [RUNBOOK, PAGE], ids=lambda page: page.name)
def test_a_page_shows_how_to_scrape(page: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load(yaml_block(page, "scrape_configs"))
    assert settings["rule_files"] == [FILE.name]
    (job,) = settings["scrape_configs"]
    ((_, wanted),) = re.findall(r'job=(~)"([^"]+)"', rule(read(), "CkvNodeDown")["expr"])
    assert re.fullmatch(wanted, job["job_name"])
    job.pop("kubernetes_sd_configs", None)  # Debian's promtool is built without it
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(FILE, tmp_path)
    assert promtool(["check", "config", "prometheus.yml"], tmp_path) == (0, "")


def test_each_alert_has_a_case_in_which_it_comes_and_one_in_which_it_does_not() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    comes = {case["alertname"] for case in cases if case.get("exp_alerts")}
    does_not = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    names = {rule["alert"] for rule in read()["groups"][0]["rules"]}
    assert (comes, does_not) == (names, names)


@pytest.mark.parametrize(
    "words", [["check", "rules", FILE.name], ["test", "rules", CASES.name], ["check", "config", LOCAL.name]]
)
def test_what_promtool_says(words: list[str]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool, of Prometheus, is not here")
    assert promtool(words, FOLDER) == (0, "")
