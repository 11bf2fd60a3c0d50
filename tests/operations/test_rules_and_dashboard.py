from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.conftest import REPOSITORY, need_program
from tests.operations.dashboard import expressions, load_dashboard, metrics_of
from tests.servers.prometheus import RULES, hurried_rules
from workers.metrics.catalogue import METRICS

FOLDER = REPOSITORY / "deploy/prometheus"
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "type": {"enum": ["row", "stat", "timeseries", "table"]},
        "title": {"type": "string", "minLength": 1},
        "gridPos": {
            "type": "object",
            "required": ["h", "w", "x", "y"],
            "properties": {
                "h": {"type": "integer", "minimum": 1},
                "w": {"type": "integer", "minimum": 1, "maximum": 24},
                "x": {"type": "integer", "minimum": 0, "maximum": 23},
                "y": {"type": "integer", "minimum": 0},
            },
        },
        "datasource": {
            "type": "object",
            "required": ["type", "uid"],
            "properties": {"type": {"const": "prometheus"}, "uid": {"const": "${datasource}"}},
        },
        "targets": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["refId", "expr", "datasource"],
                "properties": {
                    "refId": {"type": "string", "pattern": "^[A-Z]$"},
                    "expr": {"type": "string", "minLength": 1},
                    "datasource": {"$ref": "#/properties/panels/items/properties/datasource"},
                },
            },
        },
    },
    "if": {"properties": {"type": {"const": "row"}}},
    "else": {"required": ["datasource", "targets", "fieldConfig", "options"]},
}
DASHBOARD_SCHEMA = {
    "type": "object",
    "required": ["title", "uid", "schemaVersion", "panels", "templating", "time", "refresh"],
    "properties": {
        "schemaVersion": {"type": "integer", "minimum": 36},
        "uid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"},
        "panels": {"type": "array", "minItems": 10, "items": PANEL},
        "templating": {
            "type": "object",
            "required": ["list"],
            "properties": {
                "list": {
                    "type": "array",
                    "contains": {
                        "properties": {
                            "name": {"const": "datasource"},
                            "type": {"const": "datasource"},
                            "query": {"const": "prometheus"},
                        },
                        "required": ["name", "type", "query"],
                    },
                }
            },
        },
    },
}
"""What Grafana 9 to 11 need of a dashboard, as far as ours uses it."""


def promtool(*arguments: str, folder: Path = FOLDER) -> None:
    done = subprocess.run(
        [need_program("promtool"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.peer
def test_promtool_accepts_rules_and_configuration_and_the_rules_pass_their_tests() -> None:
    promtool("check", "config", "prometheus.yml")  # with its rules
    promtool("test", "rules", "pulmonode.rules.test.yml")


def test_every_alert_has_a_test_that_it_fires_and_says_what_to_do() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((FOLDER / "pulmonode.rules.test.yml").read_text())["tests"]
    fired = {
        item["alertname"]
        for test in tests
        for item in test["alert_rule_test"]
        if item["exp_alerts"]
    }

    assert {rule["alert"] for rule in rules} == fired
    for rule in rules:
        assert {"summary", "description", "action"} <= set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_rules_and_dashboard_ask_for_figures_that_there_are() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    asked = [rule["expr"] for rule in rules] + list(expressions())

    for expression in asked:
        assert metrics_of(expression) <= set(METRICS), expression
    assert set().union(*map(metrics_of, asked)) > {"pulmonode_jobs", "pulmonode_alarms"}


def test_the_dashboard_is_one() -> None:
    dashboard = load_dashboard()

    jsonschema.validate(dashboard, DASHBOARD_SCHEMA)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.peer
def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"test:expression{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "t", "rules": rules}]}))

    promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_hurried_rules_differ_from_the_shipped_ones_in_their_times_alone() -> None:
    hurried = hurried_rules(RULES.read_text())

    assert "15 * 1 unless" in hurried
    assert "for: 2s" in hurried
    assert "[15s]" in hurried
    slow, fast = (
        yaml.safe_load(text)["groups"][0]["rules"] for text in (RULES.read_text(), hurried)
    )
    assert [rule["alert"] for rule in slow] == [rule["alert"] for rule in fast]
    assert [rule["annotations"] for rule in slow] == [rule["annotations"] for rule in fast]
