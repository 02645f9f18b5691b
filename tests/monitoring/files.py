"""Reads what deploy/monitoring holds: rules, alerts, the expressions of the dashboard."""

import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/monitoring/rules.yaml"
CASES = [ROOT / "tests/monitoring/rules.test.yaml", ROOT / "tests/monitoring/rules-over-days.test.yaml"]
DASHBOARD = ROOT / "deploy/monitoring/dashboard.json"
RUNBOOK = ROOT / "docs/runbook.md"
OPERATIONS = ROOT / "docs/operations.md"


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def examples():
    """The rules that the runbook gives for who wants them."""
    blocks = re.findall(r"```yaml\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    return [rule for block in blocks for rule in yaml.safe_load(block)]


def asked(alert):
    """What the cases expect of an alert."""
    cases = [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]
    return [one for case in cases for one in case["alert_rule_test"] if one["alertname"] == alert]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def in_dashboard():
    """Each expression, with variables as Grafana would put them in for everything and a scrape every second."""
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [shown(expression) for expression in expressions]


def shown(expression):
    for variable, value in {"$job": ".*", "$source": ".*", "$target": ".*", "$__rate_interval": "30s"}.items():
        expression = expression.replace(variable, value)
    return expression


def variables():
    """What asks for the values of each variable: an expression and the label of its series."""
    asked = [
        one["definition"] for one in json.loads(DASHBOARD.read_text())["templating"]["list"] if one["type"] == "query"
    ]
    split = [query.removeprefix("label_values(").removesuffix(")").rsplit(",", 1) for query in asked]
    return [(shown(expression), label.strip()) for expression, label in split]
