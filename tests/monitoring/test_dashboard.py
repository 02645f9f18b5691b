"""Holds the dashboard to what a Grafana without plugins draws."""

import json

import files
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# What Grafana reads, and its own schema leaves out.
NOT_IN_THE_SCHEMA = {"definition", "titleFormat", "textFormat"}


def read(dashboard):
    """The dashboard as Grafana's own library reads and writes it."""
    plugins.register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def differing(given, known):
    """The names of fields that are gone, or have another value."""
    if isinstance(given, dict) and isinstance(known, dict):
        parts = [differing(value, known[name]) if name in known else {name} for name, value in given.items()]
        return set().union(*parts)
    if isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        return set().union(*map(differing, given, known))
    return set() if given == known else {f"{given} is {known}"}


def test_grafana_knows_every_field():
    dashboard = json.loads(files.DASHBOARD.read_text())
    assert differing(dashboard, read(dashboard)) == NOT_IN_THE_SCHEMA


def test_a_misspelt_field_is_noticed():
    dashboard = json.loads(files.DASHBOARD.read_text())
    dashboard["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    assert differing(dashboard, read(dashboard)) == NOT_IN_THE_SCHEMA | {"units"}


def test_it_needs_no_plugin():
    assert {panel["type"] for panel in files.panels()} <= {"timeseries", "stat"}


def test_no_panel_lies_over_another():
    taken = set()
    for panel in json.loads(files.DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in across for y in down}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert across.stop <= 24, f"{panel['title']} is wider than the page"
        taken |= cells


def test_every_panel_has_a_name_of_its_own():
    panels = json.loads(files.DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
