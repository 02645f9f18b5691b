"""Holds the rules to what they promise: every alert was seen to fire and not to fire, and its page says what to do."""

import re
import subprocess

import expressions
import files
import pytest
import yaml
from harness.servers import QUASH

ALERTS = {alert["alert"]: alert for alert in files.alerts()}


def promtool(*arguments):
    ran = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_finds_nothing_wrong():
    promtool("check", "rules", files.RULES)


def test_alerts_fire_when_they_should_and_only_then():
    promtool("test", "rules", *files.CASES)


def test_a_rule_that_does_not_fire_is_noticed(tmp_path):
    """The cases are no formality: each alert that never fires breaks them."""
    broken = yaml.safe_load(files.RULES.read_text())
    for group in broken["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = f"({rule['expr']}) and vector(0) == 1"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(broken))
    for cases in files.CASES:
        broken = yaml.safe_load(cases.read_text()) | {"rule_files": [str(tmp_path / "rules.yaml")]}
        (tmp_path / cases.name).write_text(yaml.safe_dump(broken))
    ran = subprocess.run(["promtool", "test", "rules", *tmp_path.glob("*.test.yaml")], capture_output=True, text=True)
    missed = set(re.findall(r"alertname: (\w+)", ran.stdout + ran.stderr))
    assert missed == ALERTS.keys()


QUIET = [
    (name, lacking, weaker)
    for name, alert in ALERTS.items()
    for lacking, weaker in expressions.less_quiet(alert["expr"])
]


@pytest.mark.parametrize(("name", "lacking", "weaker"), QUIET, ids=[f"{one[0]}-{at}" for at, one in enumerate(QUIET)])
def test_each_reason_to_be_quiet_has_a_case(tmp_path, name, lacking, weaker):
    """An alert that lacks one of its reasons fires where another alert says the same already."""
    rules = yaml.safe_load(files.RULES.read_text())
    (rule,) = (rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == name)
    rule["expr"] = weaker
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    for cases in files.CASES:
        given = yaml.safe_load(cases.read_text()) | {"rule_files": [str(tmp_path / "rules.yaml")]}
        asks = [case for case in given["tests"] if any(one["alertname"] == name for one in case["alert_rule_test"])]
        (tmp_path / cases.name).write_text(yaml.safe_dump(given | {"tests": asks}))
    ran = subprocess.run(["promtool", "test", "rules", *tmp_path.glob("*.test.yaml")], capture_output=True, text=True)
    noticed = set(re.findall(r"alertname: (\w+)", ran.stdout + ran.stderr))
    assert noticed == {name}, f"no case shows that {name} needs: {lacking}"


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_look_at_alerts_that_are_there(name):
    assert expressions.looked_at(ALERTS[name]["expr"]) <= ALERTS.keys() - {name}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(name):
    fires = {bool(one.get("exp_alerts")) for one in files.asked(name)}
    assert fires == {True, False}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_is_one_for_all_workers(name):
    assert "instance" not in expressions.grouping(ALERTS[name]["expr"])
    assert all(len(one["exp_alerts"]) == 1 for one in files.asked(name) if one.get("exp_alerts"))


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    told = alert["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in told["summary"], "a summary is the same for all of them, so that they can be grouped"
    page, _, anchor = told["runbook_url"].partition("#")
    assert page.endswith("/docs/runbook.md")
    assert anchor == name.lower()
    for part in ("**Look.**", "**Do.**"):
        assert part in sections()[name], f"docs/runbook.md has no {part} for {name}"


def sections():
    title, text = None, {}
    for line in files.RUNBOOK.read_text().splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
        text[title] = text.get(title, "") + line + "\n"
    return text


def test_the_runbook_knows_no_alert_that_is_gone():
    assert sections().keys() - {None} == ALERTS.keys()


def test_the_table_of_alerts_is_that_of_the_rules():
    page = files.OPERATIONS.read_text()
    columns = re.search(r"\| critical \| warning \|\n\|---\|---\|\n((?:\|.*\|\n)+)", page)[1]
    critical, warning = zip(*(row.strip("| ").split(" | ") for row in columns.splitlines()), strict=True)
    for severity, cells in {"critical": critical, "warning": warning}.items():
        listed = re.findall(r"`(\w+)`", " ".join(cells))
        assert sorted(listed) == sorted(name for name, one in ALERTS.items() if one["labels"]["severity"] == severity)


def test_the_rule_that_the_runbook_gives_fires_when_its_source_is_silent_and_only_then(tmp_path):
    """Also when the workers were restarted meanwhile, which show no time before the first event."""
    (rule,) = files.examples()
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "shop", "rules": [rule]}]}))
    series = "quash_last_event_timestamp_seconds"
    last = {
        f'{series}{{job="quash", instance="a", source="events"}}': "0+60x60 3600x120",
        f'{series}{{job="quash", instance="b", source="events"}}': "0+60x20 stale",
        f'{series}{{job="quash", instance="a", source="nightly"}}': "0x200",
    }
    silent = {"exp_labels": rule["labels"] | {"job": "quash", "source": "events"}, "exp_annotations": {}}
    case = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in last.items()],
        "alert_rule_test": [
            {"alertname": rule["alert"], "eval_time": "85m"},
            {"alertname": rule["alert"], "eval_time": "120m", "exp_alerts": [silent]},
            {"alertname": rule["alert"], "eval_time": "190m", "exp_alerts": [silent]},
        ],
    }
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [case]}))
    promtool("check", "rules", tmp_path / "rules.yaml")
    promtool("test", "rules", tmp_path / "cases.yaml")


def commands():
    """Every command of quash in the runbook, without what follows it."""
    page = files.RUNBOOK.read_text()
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines() + re.findall(
        r"`(quash [^`]+)`", page
    )
    bare = {re.sub(r"\s+#.*", "", line) for line in lines}
    return sorted(re.sub(r"^(docker compose exec|kubectl exec) \S+ (-- )?", "", line) for line in bare if line.strip())


@pytest.mark.parametrize("command", commands())
def test_the_runbook_names_commands_and_options_that_are_there(command):
    program, *words = re.sub(r"'[^']*'", "TEXT", command).split()
    assert program == "quash"
    named = [word for word in words if not word.startswith("-")]
    path, usage = [], help_of([])
    while named and re.search(rf"^\s+{re.escape(named[0])}\s", usage, re.MULTILINE):
        path.append(named.pop(0))
        usage = help_of(path)
    assert "<COMMAND>" not in usage, f"no command of quash: {command}"
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){option}\b", usage, re.MULTILINE), f"quash {' '.join(path)} has no {option}"


def help_of(path):
    return subprocess.run([QUASH, *path, "--help"], capture_output=True, text=True, check=True).stdout
