"""Asks `quash_check` what cannot be seen of a model: each thing is named, with what to write."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import django
import django_setup  # noqa: F401
import pytest
from django.core.management import call_command
from django.test import override_settings
from odd import models as odd

URL = "redis://127.0.0.1:1/0"

BULK = (
    "update, bulk_update and bulk_create of objects are not seen: write objects = QuashManager(), or give its queryset"
)

#: What is said of each model, when it is declared alone.
SAID: dict[str, list[str]] = {
    "odd.Area": [
        'rows that are moved from the other end (area.around.add) are not seen: write base_manager_name = "objects"',
    ],
    "odd.Diner": [
        "its name, city and near_id of odd.Area can be written there alone, which is not seen: declare odd.Area as",
    ],
    "odd.Work": [],
    "odd.Label": [],
    "odd.Post": [
        BULK,
        "rows of its relation tags that are written as taggit.TaggedItem are not seen: declare taggit.TaggedItem as",
    ],
    "odd.Memo": [
        BULK,
        "its relation tags answers no query, so that what a delete takes out of it is unknown, and rules on it remove",
    ],
    "odd.Soft": ["its base manager hides rows, which Django then neither saves nor takes out of references: let"],
    "odd.Tree": [
        "a move in its tree writes other rows by SQL, of which only the moved one is seen: publish quash.Event.tr"
    ],
    "odd.Leaf": [
        "rows that are moved from the other end (tree.leaf_set.add) are not seen: write base_manager_name",
        "rows that the database deletes with their tree are not seen: write on_delete=models.CASCADE, or read",
    ],
    "odd.Bud": [
        "its leaf_id is emptied by the database when odd.Leaf goes with others, which is not seen: write on_delete"
    ],
}
if odd.HAS_GENERATED and django.VERSION < (6, 0):
    SAID["odd.Priced"] = [
        "its total is unknown after a save that changes amount and price, so that rules which read it remove more: read"
    ]
if odd.HAS_COMPOSITE:
    SAID["odd.Line"] = [
        "rows that are moved from the other end (order.lines.add) are not seen: write base_manager_name"
    ]


def notes(tmp_path: Path, models: dict[str, Any], graph: dict[str, Any]) -> list[str]:
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    out = io.StringIO()
    with override_settings(QUASH={"url": URL, "models": models}):
        call_command("quash_check", graph=str(tmp_path / "graph.json"), stdout=out, no_color=True)
    *lines, last = out.getvalue().splitlines()
    assert last == f"{len(models)} models publish what the rules need"
    return lines


@pytest.mark.parametrize("label", SAID)
def test_what_cannot_be_seen_of_a_model_is_named(
    databases: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    for model, field, name in ((odd.Leaf, "tree", "DB_CASCADE"), (odd.Bud, "leaf", "DB_SET_NULL")):
        # Of Django 6.1.
        in_the_database = type("DatabaseOnDelete", (), {"__name__": name, "__call__": lambda *_: None})()
        monkeypatch.setattr(model._meta.get_field(field).remote_field, "on_delete", in_the_database)
    lines = notes(tmp_path, {label: "*"}, {"nodes": [], "edges": []})
    assert len(lines) == len(SAID[label]), lines
    for line, words in zip(lines, SAID[label], strict=True):
        assert line.startswith(f"note: {label}: {words}")


@pytest.mark.parametrize(
    ("changed", "parent", "is_said"),
    [
        ([], False, True),
        (["city"], False, True),
        (["stars"], False, False),
        (["city"], True, False),
        ([], True, False),
    ],
)
def test_a_rule_on_a_child_that_waits_for_its_parent_is_named(
    databases: None, tmp_path: Path, changed: list[str], parent: bool, is_said: bool
) -> None:
    names = (("entity", "odd.Diner"), ("entity", "odd.Area"), ("cache", "menu"))
    nodes = [{"kind": kind, "name": name} for kind, name in names]
    edge = {"ops": "", "columns": ["id"], "changed": changed, "to": 2}
    edges = [edge | {"from": place} for place in (0, 1)[: 1 + parent]]
    lines = notes(tmp_path, {"odd.Diner": "*", "odd.Area": "*"}, {"nodes": nodes, "edges": edges})
    words = "cache menu does not hear of a row that is saved as odd.Area: add a rule `row: odd.Area` that maps its id"
    assert (f"note: odd.Diner: {words}" in lines) == is_said


@pytest.fixture(autouse=True)
def _with_the_right_setting() -> Any:
    yield
    from quash.django import install

    install.end()
    install.begin()
