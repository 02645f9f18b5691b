"""Writes rows of odd models: the write is Django's own, and what is published is what the database says."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import inspect
import io
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import django
import django_setup  # noqa: F401
import pytest
import rows
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.state import ProjectState
from django.db.models import QuerySet
from django.test import override_settings
from odd import methods, scenarios
from odd import models as odd
from odd.scenarios import ONE, SCENARIOS
from taggit.models import Tag, TaggedItem

import quash
from quash.django import captured_events, changes, guard, images, memory
from quash.message import pack

URL = "redis://127.0.0.1:1/0"


def declared(models: dict[str, Any]) -> Any:
    return override_settings(QUASH={"url": URL, "models": models, "on_failure": "raise"})


def emptied(db: str) -> None:
    tables = [connections[db].ops.quote_name(model._meta.db_table) for model in (*odd_models(), TaggedItem, Tag)]
    with connections[db].cursor() as cursor:
        if db == "postgres":
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        else:
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("DELETE FROM sqlite_sequence")


def odd_models() -> list[Any]:
    models = django.apps.apps.get_app_config("odd").get_models(include_auto_created=True)
    # What refers to others first.
    return [model for model in list(models)[::-1] if not model._meta.proxy]


@pytest.fixture
def db(request: pytest.FixtureRequest, databases: None) -> Iterator[str]:
    emptied(request.param)
    yield request.param
    emptied(request.param)


#: Of a library that knows one database alone.
ON_SQLITE = {"tags_of_a_library_are_told_from_both_ends"}

#: What no client can know, by scenario; everything else is told.
UNKNOWN = {
    "tags_of_a_library_are_told_from_both_ends": {"odd.Memo.tags"},
    "a_relation_that_answers_nothing_stops_no_write": {"odd.Memo.tags"},
    "a_queryset_that_does_not_answer_is_updated": {"odd.Picky"},
    "values_are_changed_in_place": {"odd.Thing.bound before", "odd.Thing.bound after"},
    "what_the_database_computes_is_right_or_unknown": {
        *("odd.Priced.total before", "odd.Priced.total after"),
        "odd.Priced.amount after",
    },
    # Of rows that were never read, and by expressions.
    "a_model_is_saved_and_deleted_in_every_way": {
        *("odd.Person before", "odd.Person.name before"),
        "odd.Person.name after",
    },
    # Which of them were there, and under which key, is not said.
    "a_queryset_writes_in_every_way": {"odd.Counted before", "odd.Counted.id after"},
}
if django.VERSION >= (5, 0):
    # What a function gave is not handed on by then.
    UNKNOWN["what_a_row_leaves_behind_goes_in_every_way"] = {"odd.Pet.sitter_id after", "odd.Pet.owner.name after"}
if django.VERSION >= (6, 0):
    # A save returns what the database computed.
    UNKNOWN["what_the_database_computes_is_right_or_unknown"] = {"odd.Priced.total before"}
    UNKNOWN["a_model_is_saved_and_deleted_in_every_way"] -= {"odd.Person.name after"}

on_each_database = pytest.mark.parametrize(
    ("db", "name"),
    [(db, name) for db in ("default", "postgres") for name in SCENARIOS if db == "default" or name not in ON_SQLITE],
    indirect=["db"],
)


@on_each_database
def test_each_write_is_djangos_own_and_its_events_are_what_the_database_says(db: str, name: str) -> None:
    assert compared(db, name, contextlib.nullcontext) == UNKNOWN.get(name, set())


def failing(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError


def failing_in_the_database(rows: Any, *_: Any) -> Any:
    """In a transaction of PostgreSQL nothing else works after that."""
    with guard.apart(rows.db), connections[rows.db].cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


#: Whatever a field, a manager or a table of somebody's own can make fail.
FAILURES: dict[str, tuple[Any, str, Any]] = {
    "a value": (images, "known", failing),
    "a query": (images, "values_of", failing_in_the_database),
    "a copy": (memory, "at_hand", failing),
    "an event": (changes, "document_of_row", None),
    "the tracked columns": (changes, "with_computed", failing),
}


@pytest.mark.parametrize(
    ("db", "failure", "name"),
    [
        (db, failure, name)
        for failure in FAILURES
        # Where a query that fails does harm; elsewhere the database makes no difference.
        for db in (["postgres"] if failure == "a query" else ["default"])
        for name in SCENARIOS
        if db == "default" or name not in ON_SQLITE
    ],
    indirect=["db"],
)
def test_what_fails_in_the_client_fails_no_write_and_is_not_silent(
    db: str, name: str, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    owner, what, instead = FAILURES[failure]
    compared(db, name, lambda: mock.patch.object(owner, what, instead or once_refused(changes.document_of_row)))


def once_refused(original: Any) -> Any:
    """Refuses all but what says least."""

    def refusing(entity: str, op: str, **images_: Any) -> Any:
        if op != "truncate":
            raise quash.EventError("no worker takes it")
        return original(entity, op, **images_)

    return refusing


def compared(db: str, name: str, spoilt: Callable[[], Any]) -> set[str]:
    """Runs a scenario with and without the client, and says what its events leave open."""
    with quash.disabled(), declared(odd.DECLARED):
        with declared({}):
            steps = SCENARIOS[name](db)
            next(steps)
            plain = [repr(outcome) for outcome in steps]
        plainly = rows.seen(db)
        emptied(db)
    unknown: set[str] = set()
    outcomes = []
    with declared(odd.DECLARED), captured_events() as events:
        with quash.disabled():
            steps = SCENARIOS[name](db)
            next(steps)
        before = rows.seen(db)
        while True:
            with spoilt():
                outcome = next(steps, steps)
            if outcome is steps:
                break
            outcomes.append(repr(outcome))
            after = rows.seen(db)
            assert rows.contradictions(before, after, events) == [], f"step {len(outcomes)}: {list(events)}"
            unknown |= rows.unknown(events)
            before = after
            events.clear()
    assert outcomes == plain
    assert before == plainly
    return unknown


def writing_methods() -> set[str]:
    """What Django says of itself that it alters data."""
    people = odd.Person(pk=1)
    owners = [odd.Person, QuerySet, people.friends, people.clubs, people.pets, people.notes]
    names = {name for owner in owners for name in dir(owner) if not name.startswith("_")}
    return {name for name in names for owner in owners if getattr(getattr(owner, name, None), "alters_data", False)}


def test_every_method_that_writes_is_called_by_a_scenario(databases: None) -> None:
    called = "".join(inspect.getsource(module) for module in (scenarios, methods))
    assert len(writing_methods()) > 20
    missing = {name for name in writing_methods() if not re.search(rf"[.]{name}\b", called)}
    assert missing == set()


@pytest.mark.parametrize("db", ["default", "postgres"], indirect=True)
def test_a_migration_writes_as_it_does_without_the_client_and_says_nothing(db: str) -> None:
    past = ProjectState.from_apps(django.apps.apps).apps.get_model("odd", "Counted")
    with declared(odd.DECLARED), captured_events() as events:
        row = past._default_manager.using(db).create(number=1)
        past._default_manager.using(db).update(text="u")
        row.text = "v"
        row.save()
        past._default_manager.using(db).bulk_create([past(number=2)])
        row.delete()
    # Of a class of its own, which nobody declared.
    assert list(events) == []
    assert list(odd.Counted.objects.using(db).values_list("number", "text")) == [(2, "")]


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_values_are_published_as_postgresql_prints_them(db: str) -> None:
    moment = datetime.datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    values = {
        "ident": uuid.UUID(int=7),
        "price": decimal.Decimal("1.5"),
        "long": decimal.Decimal("12345678901234567.1"),
        "born": datetime.date(2024, 1, 2),
        "seen_at": moment,
        "cover": "a/b.txt",
        "point": odd.Point(1, 2),
    }
    with declared(odd.DECLARED), captured_events() as events:
        odd.Thing.objects.using(db).create(**values)
        odd.Thing.objects.using(db).update(seen_at=moment.replace(microsecond=0))
    with connections[db].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'{name}::text' for name in values)} FROM odd_thing")
        printed = dict(zip(values, cursor.fetchone(), strict=True))
    published = dict(events[1]["after"])
    assert {name: published[name] for name in values} == printed | {"seen_at": "2024-01-02T03:04:05+00:00"}
    assert printed["seen_at"] == "2024-01-02 03:04:05+00"
    assert events[0]["after"]["seen_at"] == "2024-01-02T03:04:05.678000+00:00"


#: Keys as a shell has them, and as events do.
KEYS: list[tuple[str, str, Any]] = [("odd.Thing", str(ONE), {"ident": str(ONE)}), ("odd.Label", "a", {"code": "a"})]
if odd.HAS_COMPOSITE:
    KEYS.append(("odd.Line", '[1, "a b"]', {"order_id": 1, "sku": "a b"}))


@pytest.mark.parametrize(("label", "text", "key"), KEYS)
@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_rows_of_every_key_are_published_by_hand(
    db: str, monkeypatch: pytest.MonkeyPatch, label: str, text: str, key: Any
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(quash.Publisher, "send", lambda _, documents: sent.extend(documents))
    with declared(odd.DECLARED):
        call_command("quash_publish", label, text, database=db, stdout=io.StringIO(), stderr=io.StringIO())
        with quash.disabled():
            if odd.HAS_COMPOSITE:
                odd.Order.objects.using(db).create(pk=1)
            django.apps.apps.get_model(label)(**key).save(using=db)
        call_command("quash_publish", label, text, database=db, stdout=io.StringIO())
        # As JSON, since nobody spells them again.
        assert [json.loads(message.body)["key"] for one in sent for message in pack([one])] == [key, key]
        assert [event["op"] for event in sent] == ["delete", "update"]
        if label == "odd.Line":
            with pytest.raises(CommandError, match=r"the key is a JSON list of order_id, sku"):
                call_command("quash_publish", label, "1")


@pytest.fixture(autouse=True)
def _with_the_right_setting() -> Any:
    yield
    from quash.django import install

    install.end()
    install.begin()
