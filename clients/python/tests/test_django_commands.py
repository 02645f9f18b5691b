"""Runs the management commands, and reads settings that are wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import django_setup  # noqa: F401
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings
from shop.models import Author

import quash

URL = "redis://127.0.0.1:1/0"


def graph(*nodes: tuple[str, str], columns: tuple[str, ...] = (), changed: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `quash graph -o json` says; the columns are those of the first dependency."""
    places = [{"kind": kind, "name": name} for kind, name in nodes]
    edges = [{"from": place, "to": len(nodes), "ops": "", "columns": [], "changed": []} for place in range(len(nodes))]
    for edge in edges[:1]:
        edge |= {"columns": list(columns), "changed": list(changed)}
    return {"nodes": [*places, {"kind": "cache", "name": "c"}], "edges": edges}


def check(tmp_path: Path, drawn: dict[str, Any]) -> tuple[str, str]:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(drawn))
    out = io.StringIO()
    try:
        call_command("quash_check", graph=str(file), stdout=out, no_color=True)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (graph(("entity", "shop.Country")), "error: shop.Country: rules name it and QUASH['models'] does not"),
        (graph(("entity", "shop.Bok")), "error: shop.Bok: no model of this project, did the rule mean shop.Book?"),
        (graph(("entity", "shop.Product")), "error: shop.Product: no model of this project, although the app is"),
        (graph(("entity", "shop.book")), "error: shop.book: published as shop.Book, and rules compare names exactly"),
        (
            graph(("relation", "shop.Book.tag")),
            "error: shop.Book.tag: no many-to-many relation of shop.Book, it has tags",
        ),
        (
            graph(("entity", "shop.Note"), columns=("id", "text", "book_id")),
            "error: shop.Note: rules read its book_id, which is not published",
        ),
        (
            graph(("entity", "shop.Note"), columns=("book.author_id",)),
            "error: shop.Note: rules read its book.author_id, which is not published",
        ),
        (
            graph(("entity", "shop.Novel"), columns=("meta.colour",)),
            "error: shop.Novel: rules read its meta.colour, which is not published",
        ),
        (
            graph(("entity", "shop.Book"), columns=("author",)),
            "error: shop.Book: rules read its author, which shop.Book does not have, did they mean author_id?",
        ),
        (
            graph(("entity", "shop.Book"), columns=("author.county_id",)),
            "error: shop.Book: rules read its author.county_id, which shop.Book does not have",
        ),
        (
            graph(("entity", "shop.Book"), columns=("author_id.x",)),
            "error: shop.Book: rules read its author_id.x, which shop.Book does not have",
        ),
        (
            graph(("entity", "shop.Book"), changed=("titel", "title", "author", "author_id")),
            "error: shop.Book: rules wait for a change of its titel, which shop.Book does not have, did",
        ),
        (
            graph(("relation", "shop.Book.tags"), columns=("from.author_id", "to.slugs")),
            "error: shop.Book.tags: rules read to.slugs, which shop.Tag does not have, did they mean slug?",
        ),
        (
            graph(("relation", "shop.Person.friends"), columns=("from.name", "to.name")),
            "error: shop.Person.friends: rules read to.name, which is not published",
        ),
    ],
)
def test_check_names_what_rules_wait_for_in_vain(databases: None, tmp_path: Path, drawn: Any, words: str) -> None:
    printed, failure = check(tmp_path, drawn)
    assert words in printed
    assert failure.startswith("1 gap ")


def test_check_is_content_with_what_is_published(databases: None, tmp_path: Path) -> None:
    columns = ("id", "author.country.code", "meta.colour")
    drawn = graph(("entity", "shop.Book"), ("relation", "shop.Book.tags"), columns=columns, changed=("author", "title"))
    printed, failure = check(tmp_path, drawn)
    assert printed.splitlines()[-1] == "6 models publish what the rules need"
    assert "error" not in printed
    assert not failure
    related = graph(("relation", "shop.Book.tags"), columns=("from.author.country.code", "to.slug"))
    assert check(tmp_path, related)[1] == ""
    # Events name what changed whether it is published or not.
    assert check(tmp_path, graph(("entity", "shop.Note"), changed=("book_id",)))[1] == ""
    printed, failure = check(tmp_path, graph(("entity", "public.stock")))
    assert "note: public.stock: no model of this project; somebody else must publish it" in printed
    assert failure == ""


def test_check_runs_the_program(databases: None, tmp_path: Path) -> None:
    program = tmp_path / "quash"
    program.write_text(f"#!/bin/sh\n[ \"$*\" = 'graph -o json -c q.yaml' ] && echo '{json.dumps(graph())}'\n")
    program.chmod(0o755)
    call_command("quash_check", quash=str(program), config=["q.yaml"], stdout=io.StringIO())
    with pytest.raises(CommandError, match="failed"):
        call_command("quash_check", quash=str(program), stdout=io.StringIO())
    with pytest.raises(CommandError, match="give its output with --graph"):
        call_command("quash_check", quash=str(tmp_path / "absent"), stdout=io.StringIO())
    assert "not the output of `quash graph -o json` of this release" in check(tmp_path, {"nodes": [{}], "edges": []})[1]


def test_publish_tells_of_rows_as_they_are(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with quash.disabled():
        author = Author.objects.using(db).create(name="a")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(quash.Publisher, "send", lambda _, documents: sent.extend(documents))
    call_command(
        "quash_publish", "shop.Author", str(author.pk), "999", database=db, stdout=io.StringIO(), stderr=io.StringIO()
    )
    assert [(event["op"], event["key"]) for event in sent] == [("update", {"id": author.pk}), ("delete", {"id": 999})]
    assert sent[0]["after"]["name"] == "a"
    with pytest.raises(CommandError, match="does not name shop"):
        call_command("quash_publish", "shop.Unseen", "1")
    with pytest.raises(CommandError, match="Author"):
        call_command("quash_publish", "shop.Author", "x")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (None, "QUASH is missing"),
        ({}, "names no url"),
        ({"url": URL, "modles": {}}, "unknown key 'modles', did you mean 'models'?"),
        ({"url": URL, "on_failure": "ignore"}, "expected one of log, raise, outbox"),
        ({"url": "kafka://u:secret@h"}, "expected one of redis://"),
        ({"url": URL, "models": {"shop.Bok": "*"}}, "no such model, did you mean 'shop.Book'?"),
        ({"url": URL, "models": {"shop.Book": ["titel"]}}, "shop.Book has no 'titel', it has id, title, author_id"),
        ({"url": URL, "models": {"shop.Book": ["title.x"]}}, "'title' is no foreign key"),
        ({"url": URL, "models": {"shop.Book": "*", "shop.Special": "*"}}, "the same table"),
        ({"url": URL, "timeout": 0}, "leaves no time"),
        ({"url": URL, "timeout": "1"}, "is a str"),
        ({"url": URL, "tenant": 1}, "is a int"),
        ({"url": URL, "tenant": "shop.nowhere"}, "QUASH['tenant'] names 'shop.nowhere': "),
        ({"url": URL, "tenant": "shop.settings.QUASH"}, "which cannot be called"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(databases: None, setting: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught, override_settings(QUASH=setting):
        pass
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_migration_is_missing(databases: None) -> None:
    call_command("makemigrations", "quash", check=True, dry_run=True, verbosity=0)


@pytest.fixture(autouse=True)
def _with_the_right_setting() -> Any:
    yield
    from quash.django import install

    install.end()
    install.begin()
