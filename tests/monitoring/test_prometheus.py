"""Proves before a real Prometheus that rules and dashboard fit what workers show, and that one trouble is one alert."""

import os
import signal

import expressions
import files
import pytest
from harness.servers import eventually

# Of everything, so that an unknown metric shows itself as a word, and not as nothing.
RULES = {rule.get("alert") or rule["record"]: rule["expr"] for rule in [*files.rules(), *files.examples()]}
DASHBOARD = files.in_dashboard()


def unknown(prometheus, expression):
    """What an expression asks for that no worker has shown."""
    wrong = [f"the word {word}" for word in expressions.words(expression) - expressions.FUNCTIONS]
    selected = expressions.selectors(expression)
    found = {one: prometheus.series(one) for one in selected if not one.startswith("ALERTS")}
    wrong += [f"no series is {selector}" for selector, series in found.items() if not series]

    def lacks(selector, label):
        return selector in found and not any(label in one for one in found[selector])

    for labels, selectors in expressions.grouped(expression):
        wrong += [f"{one} has no label {label}" for one in selectors for label in labels if lacks(one, label)]
    for label in expressions.joined(expression):
        # One selector alone is joined with itself; what alerts have is proven by cases.
        if sum(not lacks(one, label) for one in selected) < min(2, len(selected)):
            wrong.append(f"nothing to join by {label}")
    return wrong


@pytest.mark.parametrize("name", RULES)
def test_rules_name_what_workers_show(fleet, name):
    recorded = expressions.selectors(RULES[name])
    for selector in (one for one in recorded if one.startswith(("job_source:", "job_target:"))):
        eventually(f"{selector} is recorded", lambda selector=selector: fleet.prometheus.series(selector))
    assert unknown(fleet.prometheus, RULES[name]) == []


@pytest.mark.parametrize("expression", DASHBOARD)
def test_the_dashboard_shows_what_workers_show(fleet, expression):
    assert unknown(fleet.prometheus, expression) == []
    eventually(f"there is something to draw of {expression}", lambda: fleet.prometheus.query(expression))


@pytest.mark.parametrize(("expression", "label"), files.variables())
def test_the_variables_of_the_dashboard_have_values(fleet, expression, label):
    assert all(label in one for one in fleet.prometheus.series(expression))
    assert fleet.prometheus.series(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(quash_evnts_total[5m])",
        "sum by (queue) (quash_lane_open)",
        "quash_lane_open and on (source) quash_inflight_events",
        'quash_events_total{outcome="finished"}',
        "sum(qash_lane_open)",
        "max(process_resident_gigabytes)",
    ],
)
def test_what_no_worker_shows_is_noticed(fleet, expression):
    assert unknown(fleet.prometheus, expression)


def test_a_fleet_that_is_well_raises_no_alert(fleet):
    assert fleet.prometheus.alerts() == []


def named(fleet, name):
    return [one for one in fleet.prometheus.alerts() if one["alertname"] == name]


def test_a_database_that_is_away_is_one_alert_until_it_is_back(fleet):
    prometheus = fleet.prometheus
    fleet.database.kill()
    try:
        eventually("it fires", lambda: named(fleet, "QuashRelayStopped"))
        assert prometheus.alerts() == [
            {"alertname": "QuashRelayStopped", "job": "quash", "relay": "shop", "severity": "critical"}
        ], "one trouble is one alert"
    finally:
        fleet.database.start()
    eventually("it is over", lambda: not named(fleet, "QuashRelayStopped"))


def test_a_target_that_is_away_is_one_alert_until_it_is_back(fleet):
    prometheus = fleet.prometheus
    # Stopped and not ended: connections stay, nothing answers, which is the worse of the two.
    os.kill(fleet.eu.process.pid, signal.SIGSTOP)
    try:
        both = 'count(quash_lane_open{target="eu"} == 1) == 2'
        eventually("both workers see it", lambda: prometheus.query(both))
        eventually("it fires", lambda: named(fleet, "QuashTargetAway"))
        assert named(fleet, "QuashTargetAway") == [
            {"alertname": "QuashTargetAway", "job": "quash", "target": "eu", "severity": "critical"}
        ]
        assert {one["alertname"] for one in prometheus.alerts()} == {"QuashTargetAway"}, "one trouble is one alert"
    finally:
        os.kill(fleet.eu.process.pid, signal.SIGCONT)
    eventually("it is over", lambda: not named(fleet, "QuashTargetAway"))


def test_messages_that_are_no_events_are_one_alert(fleet):
    for _ in range(20):
        fleet.send("no event")
    eventually("it fires", lambda: named(fleet, "QuashDeadLettersNew"))
    assert [one["reason"] for one in named(fleet, "QuashDeadLettersNew")] == ["decode"]
    letters = "max by (source) (quash_dead_letters)"
    eventually("all of them are letters", lambda: fleet.prometheus.query(letters) == [({"source": "events"}, 20.0)])


def test_a_worker_that_is_killed_is_one_alert(fleet):
    """The last one: it leaves one worker."""
    fleet.workers[1].process.kill()
    eventually("it fires", lambda: named(fleet, "QuashWorkerAway"))
    assert not named(fleet, "QuashWorkersGone")
    assert not named(fleet, "QuashSourceAway")
