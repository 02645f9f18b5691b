"""Changes rows of the shop, and looks at the events: operations, images, what is said to have changed."""

from __future__ import annotations

import copy
import datetime
import decimal
import json
import pickle
import uuid
from typing import Any

import django
import django_setup  # noqa: F401
import pytest
from django.db import transaction
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from shop.models import Author, Book, Country, Note, Novel, Person, Special, State, Tag, Unseen

import quash
from quash.django import captured_events
from quash.message import pack


def said(event: Any, *names: str) -> tuple[Any, ...]:
    """The operation, and columns before and after."""
    pick = lambda image: {name: image.get(name, "unknown") for name in names} if image else None  # noqa: E731
    return event["op"], pick(event.get("before")), pick(event.get("after"))


def entities(events: Any) -> list[tuple[str, str]]:
    return [(event["op"], event["entity"]) for event in events]


@pytest.fixture
def authors(db: str) -> list[Author]:
    with quash.disabled():
        country = Country.objects.using(db).create(code="DE")
        other = Country.objects.using(db).create(code="FR")
        return [Author.objects.using(db).create(name=name, country=at) for name, at in (("a", country), ("b", other))]


@pytest.fixture
def book(db: str, authors: list[Author]) -> Book:
    with quash.disabled():
        Book.objects.using(db).create(title="t", author=authors[0], price="12.5")
    return Book.objects.using(db).get()


def test_a_move_carries_both_authors(db: str, authors: list[Author], book: Book) -> None:
    with captured_events() as events:
        book.author = authors[1]
        book.save()
    (event,) = events
    old, new = (author.pk for author in authors)
    assert said(event, "author_id", "title") == (
        "update",
        {"author_id": old, "title": "t"},
        {"author_id": new, "title": "t"},
    )
    assert event["before"]["author"] == {"country": {"code": "DE"}}
    assert event["after"]["author"] == {"country": {"code": "FR"}}
    assert event["changed"] == ["author", "author_id"]
    assert event["key"] == {"id": book.pk}
    assert event["source"] == "django:shop"


def test_old_values_follow_each_save(db: str, book: Book) -> None:
    with captured_events() as events:
        for title in ("u", "v"):
            book.title = title
            book.save()
    assert [said(event, "title")[1:] for event in events] == [
        ({"title": "t"}, {"title": "u"}),
        ({"title": "u"}, {"title": "v"}),
    ]


def test_a_save_asks_nothing_about_old_values(db: str, authors: list[Author]) -> None:
    with quash.disabled():
        Author.objects.using(db).create(name="x")
    author = Author.objects.using(db).get(name="x")
    author.name = "y"
    with captured_events() as events, CaptureQueriesContext(transaction.get_connection(db)) as queries:
        author.save()
    assert len(queries) == 1
    assert said(events[0], "name") == ("update", {"name": "x"}, {"name": "y"})


def test_values_are_spelt_as_they_will_be_read(db: str, authors: list[Author]) -> None:
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=berlin)
    ident = uuid.uuid4()
    with captured_events() as events:
        made = Book(
            title="t", author=authors[0], price="12.5", published_at=moment, ident=str(ident), state=State.PUBLISHED
        )
        made.cover = "covers/1.png"
        made.save(using=db)
        read = Book.objects.using(db).get(pk=made.pk)
        read.save()
    created, updated = events
    assert created["op"] == "create"
    assert "before" not in created
    assert created["after"] | {"author": None} == updated["after"] | {"author": None}
    assert updated["changed"] == []
    assert created["after"]["price"] == "12.50"
    assert created["after"]["published_at"] == "2026-07-01T10:00:00.123456+00:00"
    assert created["after"]["ident"] == str(ident)
    assert created["after"]["state"] == "published"
    assert created["after"]["cover"] == "covers/1.png"


def test_values_changed_in_place_are_noticed(db: str, book: Book) -> None:
    with captured_events() as events:
        book.meta["seen"] = [1]
        book.save()
        book.meta["seen"].append(2)
        book.save()
    assert [event["before"]["meta"] for event in events] == [{}, {"seen": [1]}]
    assert [event["changed"] for event in events] == [["meta"], ["meta"]]


def test_only_what_was_written_counts(db: str, book: Book) -> None:
    book.title = "not written"
    book.stock = 7
    with captured_events() as events:
        book.save(update_fields=["stock"])
        book.save()
    first, second = events
    assert said(first, "title", "stock") == ("update", {"title": "t", "stock": 0}, {"title": "t", "stock": 7})
    assert first["changed"] == ["stock"]
    assert said(second, "title")[1:] == ({"title": "t"}, {"title": "not written"})


def test_what_the_database_computes_is_unknown(db: str, book: Book) -> None:
    book.stock = F("stock") + 1
    with captured_events() as events:
        book.save()
    # From 6.0 on a save returns it.
    assert events[0]["after"].get("stock") == (1 if django.VERSION >= (6, 0) else None)
    assert events[0]["before"]["stock"] == 0
    assert "stock" in events[0]["changed"]


def test_columns_that_were_not_loaded_are_unknown(db: str, book: Book) -> None:
    partial = Book.objects.using(db).defer("title").get()
    partial.title = "u"
    with captured_events() as events:
        partial.save()
    assert said(events[0], "title") == ("update", {"title": "unknown"}, {"title": "u"})
    assert "title" in events[0]["changed"]


def test_a_deferred_column_is_known_once_it_was_read(db: str, book: Book) -> None:
    partial = Book.objects.using(db).only("id").get()
    assert partial.title == "t"
    partial.title = "u"
    with captured_events() as events:
        partial.save()
    assert said(events[0], "title") == ("update", {"title": "t"}, {"title": "u"})


def test_refreshing_shows_what_others_wrote(db: str, book: Book) -> None:
    with quash.disabled():
        Book.objects.using(db).update(title="theirs")
    book.refresh_from_db()
    book.title = "mine"
    with captured_events() as events:
        book.save()
    assert said(events[0], "title") == ("update", {"title": "theirs"}, {"title": "mine"})


def test_a_row_that_was_never_loaded_has_no_old_values(db: str, book: Book) -> None:
    with captured_events() as events:
        Book(pk=book.pk, title="u").save(using=db)
    assert said(events[0], "title") == ("update", None, {"title": "u"})
    assert "changed" not in events[0]


def test_a_copy_is_a_new_row(db: str, book: Book) -> None:
    book.pk = None
    book._state.adding = True
    with captured_events() as events:
        book.save()
    assert entities(events) == [("create", "shop.Book")]


def test_another_key_is_another_row(db: str, book: Book) -> None:
    with quash.disabled():
        other = Book.objects.using(db).create(title="other")
    book.pk = other.pk
    with captured_events() as events:
        book.save()
    assert said(events[0], "title") == ("update", None, {"title": "t"})


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_of_an_instance_remember_as_well(db: str, book: Book, copied: Any) -> None:
    twin = copied(book)
    with captured_events() as events:
        twin.title = "u"
        twin.save()
        book.title = "v"
        book.save()
    assert said(events[0], "title")[1:] == ({"title": "t"}, {"title": "u"})


def test_an_instance_out_of_a_cache_has_no_old_values(db: str, book: Book) -> None:
    pickled = pickle.dumps(book)
    assert b"quash.django" not in pickled
    twin = pickle.loads(pickled)
    with captured_events() as events:
        for title in ("u", "v"):
            twin.title = title
            twin.save()
    assert [said(event, "title")[1:] for event in events] == [(None, {"title": "u"}), ({"title": "u"}, {"title": "v"})]


def test_a_delete_has_its_key_and_the_row_as_it_was(db: str, book: Book) -> None:
    pk = book.pk
    book.title = "not written"
    with captured_events() as events:
        book.delete()
    assert events[0]["key"] == {"id": pk}
    assert said(events[0], "title") == ("delete", {"title": "t"}, None)
    assert events[0]["before"]["author"] == {"country": {"code": "DE"}}


def test_everything_that_goes_with_a_row_is_told(db: str, authors: list[Author], book: Book) -> None:
    with quash.disabled():
        tag = Tag.objects.using(db).create(slug="new")
        book.tags.add(tag)
        Note.objects.using(db).create(book=book, text="n")
    with captured_events() as events:
        book.delete()
    assert sorted(entities(events)) == [("clear", "shop.Book"), ("delete", "shop.Book"), ("delete", "shop.Note")]
    (clear,) = (event for event in events if event["op"] == "clear")
    assert clear["to"] == [{"id": tag.pk, "slug": "new"}]


def test_a_foreign_key_that_a_delete_empties_is_told(db: str, authors: list[Author], book: Book) -> None:
    with quash.disabled():
        one = Person.objects.using(db).create(name="one")
        two = Person.objects.using(db).create(name="two", best=one)
    pk = one.pk
    with captured_events() as events:
        one.delete()
    update, delete = events
    assert said(update, "best_id", "best") == (
        "update",
        {"best_id": pk, "best": {"name": "one"}},
        {"best_id": None, "best": None},
    )
    assert (update["key"], update["changed"]) == ({"id": two.pk}, ["best", "best_id"])
    assert entities([delete]) == [("delete", "shop.Person")]


def test_it_is_told_once_where_the_base_manager_publishes(db: str, authors: list[Author], book: Book) -> None:
    pk = authors[0].pk
    with captured_events() as events:
        Author.objects.using(db).filter(pk=pk).delete()
    book_event, author_event = sorted(events, key=lambda event: event["entity"], reverse=True)
    assert said(book_event, "author_id") == ("update", {"author_id": pk}, {"author_id": None})
    assert (book_event["before"]["author"], book_event["changed"]) == (
        {"country": {"code": "DE"}},
        ["author", "author_id"],
    )
    assert entities([author_event]) == [("delete", "shop.Author")]


def test_a_deleted_tag_leaves_its_books(db: str, book: Book) -> None:
    with quash.disabled():
        tag = Tag.objects.using(db).create(slug="new")
        book.tags.add(tag)
        key = tag.pk
    with captured_events() as events:
        tag.delete()
    relation = next(event for event in events if event["op"] == "remove")
    assert (relation["relation"], relation["from"]["author_id"], relation["to"]) == (
        "tags",
        book.author_id,
        [{"id": key, "slug": "new"}],
    )


def test_relations_are_told_from_either_end(db: str, book: Book) -> None:
    with quash.disabled():
        one, two = (Tag.objects.using(db).create(slug=slug) for slug in ("one", "two"))
    with captured_events() as events:
        book.tags.add(one, two)
        book.tags.remove(one)
        book.tags.clear()
        one.books.add(book)
        one.books.clear()
        book.tags.clear()
    told = [(event["op"], event["from"]["author_id"], [row["slug"] for row in event["to"]]) for event in events]
    by = book.author_id
    assert told == [
        ("add", by, ["one", "two"]),
        ("remove", by, ["one"]),
        ("clear", by, ["two"]),
        ("add", by, ["one"]),
        ("remove", by, ["one"]),
    ]
    assert {event["relation"] for event in events} == {"tags"}
    assert events[0]["from"]["author"] == {"country": {"code": "DE"}}


def test_a_relation_to_itself_is_told_for_both(db: str) -> None:
    with quash.disabled():
        one, two = (Person.objects.using(db).create(name=name) for name in ("one", "two"))
    with captured_events() as events:
        one.friends.add(two)
    assert [(event["from"]["id"], event["to"]) for event in events] == [
        (one.pk, [{"id": two.pk}]),
        (two.pk, [{"id": one.pk}]),
    ]


def test_a_proxy_is_the_model_behind_it(db: str, book: Book) -> None:
    special = Special.objects.using(db).get(pk=book.pk)
    with captured_events() as events:
        special.title = "u"
        special.save()
        special.delete()
    assert entities(events) == [("update", "shop.Book"), ("delete", "shop.Book")]


def test_a_child_tells_of_its_parent_as_well(db: str) -> None:
    with captured_events() as events:
        novel = Novel(title="n", pages=3)
        novel.save(using=db)
        novel = Novel.objects.using(db).get(pk=novel.pk)
        novel.title = "m"
        novel.save()
        novel.delete()
    assert sorted(entities(events)) == sorted(
        (op, entity) for op in ("create", "update", "delete") for entity in ("shop.Book", "shop.Novel")
    )
    update = next(event for event in events if event["op"] == "update" and event["entity"] == "shop.Book")
    assert said(update, "title") == ("update", {"title": "n"}, {"title": "m"})
    assert update["key"] == {"id": update["before"]["id"]}


def test_other_models_are_left_alone(db: str) -> None:
    with captured_events() as events:
        Unseen.objects.using(db).create(text="x").delete()
        Country.objects.using(db).create(code="IT")
    assert list(events) == []


def test_bulk_writes_are_told_row_by_row(db: str, authors: list[Author]) -> None:
    rows = Book.objects.using(db)
    with captured_events() as events:
        made = rows.bulk_create([Book(title=title, author=authors[0]) for title in "abc"])
        rows.filter(title__in="ab", author__name="a").update(author=authors[1], stock=F("stock") + 1)
        for one in made:
            one.title = one.title.upper()
        rows.bulk_update(made, ["title"])
        rows.filter(title="C").delete()
    old, new = (author.pk for author in authors)
    assert [event["op"] for event in events] == ["create"] * 3 + ["update"] * 5 + ["delete"]
    assert said(events[3], "author_id", "stock") == (
        "update",
        {"author_id": old, "stock": 0},
        {"author_id": new, "stock": 1},
    )
    assert events[3]["changed"] == ["author", "author_id", "stock"]
    assert events[3]["after"]["author"] == {"country": {"code": "FR"}}
    assert {event["before"]["title"]: event["after"]["title"] for event in events[5:8]} == {
        "a": "A",
        "b": "B",
        "c": "C",
    }
    assert events[5]["changed"] == ["title"]


def test_books_are_moved_from_the_end_of_their_authors_as_well(db: str, authors: list[Author], book: Book) -> None:
    old, new = authors
    with captured_events() as events:
        new.books.add(book)
        new.books.remove(Book.objects.using(db).get())
        old.books.set([book])
        old.books.clear()
    moves = [(event["op"], event["before"]["author_id"], event["after"]["author_id"]) for event in events]
    ends = [(old.pk, new.pk), (new.pk, None), (None, old.pk), (old.pk, None)]
    assert moves == [("update", *end) for end in ends]


def test_instances_know_what_a_bulk_write_did_to_them(db: str) -> None:
    (made,) = Book.objects.using(db).bulk_create([Book(title="a")])
    read = Book.objects.using(db).get(pk=made.pk)
    read.title = "b"
    Book.objects.using(db).bulk_update([read], ["title"])
    read.title = "c"
    with captured_events() as events:
        read.save()
    assert said(events[0], "title") == ("update", {"title": "b"}, {"title": "c"})


def test_conflicts_may_be_either(db: str, book: Book) -> None:
    with captured_events() as events:
        Book.objects.using(db).bulk_create(
            [Book(pk=book.pk, title="u")], update_conflicts=True, update_fields=["title"], unique_fields=["id"]
        )
        # Of another column it may hit a row of another key.
        Book.objects.using(db).bulk_create(
            [Book(title="v")], update_conflicts=True, update_fields=["title"], unique_fields=["id"]
        )
    assert [said(event, "title") for event in events] == [
        ("update", {"title": "t"}, {"title": "u"}),
        ("create", None, {"title": "v"}),
        ("update", None, {"title": "v"}),
    ]


def test_a_huge_bulk_write_is_one_event(db: str) -> None:
    with override_settings(QUASH={"url": "redis://127.0.0.1:1/0", "models": {"shop.Book": "*"}, "bulk_rows_max": 2}):
        with captured_events() as events:
            Book.objects.using(db).bulk_create([Book(title=title) for title in "abc"])
            Book.objects.using(db).update(title="z")
            Book.objects.using(db).filter(pk__in=Book.objects.using(db).values("pk")[:2]).update(title="y")
        assert entities(events) == [("truncate", "shop.Book")] * 2 + [("update", "shop.Book")] * 2


def test_fixtures_are_told_without_their_relatives(db: str, tmp_path: Any, authors: list[Author]) -> None:
    from django.core.management import call_command

    fixture = tmp_path / "books.json"
    fields = {"title": "f", "author": authors[0].pk, "price": "1.00"}
    fixture.write_text(json.dumps([{"model": "shop.book", "pk": 999, "fields": fields}]))
    with captured_events() as events:
        call_command("loaddata", str(fixture), database=db, verbosity=0)
    assert said(events[0], "title", "author_id") == ("create", None, {"title": "f", "author_id": authors[0].pk})
    assert "author" not in events[0]["after"]
    with override_settings(QUASH={"url": "redis://127.0.0.1:1/0", "models": {"shop.Book": "*"}, "fixtures": False}):
        with captured_events() as events:
            call_command("loaddata", str(fixture), database=db, verbosity=0)
        assert [event["op"] for event in events if "relation" not in event] == []


def of_the_request(using: str) -> str | None:
    return None if using == "elsewhere" else "acme"


def raising(using: str) -> str:
    raise ZeroDivisionError(using)


@pytest.mark.parametrize(
    ("tenant", "schema", "header"),
    [
        ({}, "acme", {"quash-tenant": "acme"}),
        ({}, "", None),
        ({"tenant": of_the_request}, "", {"quash-tenant": "acme"}),
        ({"tenant": f"{__name__}.of_the_request"}, "other", {"quash-tenant": "acme"}),
        ({"tenant": lambda _: None}, "acme", None),
        ({"tenant": raising}, "acme", None),
    ],
)
def test_an_event_says_whose_row_it_is(
    db: str, book: Book, monkeypatch: pytest.MonkeyPatch, tenant: Any, schema: str, header: Any
) -> None:
    monkeypatch.setattr(transaction.get_connection(db), "schema_name", schema, raising=False)
    with override_settings(QUASH={"url": "redis://127.0.0.1:1/0", "models": {"shop.Book": "*"}, **tenant}):
        with captured_events() as events:
            book.save()
            Book.objects.using(db).update(stock=1)
            book.tags.add(Tag.objects.using(db).create(slug="s"))
            book.delete()
        assert [event.get("headers") for event in events] == [header] * 5


def test_tenants_of_one_transaction_are_told_apart(db: str, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = transaction.get_connection(db)
    sent: list[Any] = []
    monkeypatch.setattr(quash.Publisher, "send", lambda _, documents: sent.append(pack(documents)))
    with transaction.atomic(using=db), quash.coalesce():
        for schema in ("acme", "acme", "other"):
            monkeypatch.setattr(connection, "schema_name", schema, raising=False)
            book.save()
    ((first, second),) = sent
    assert (first.headers, second.headers) == ((("quash-tenant", "acme"),), (("quash-tenant", "other"),))


def test_a_decimal_keeps_the_digits_of_its_column(db: str, book: Book) -> None:
    book.price = decimal.Decimal("3")
    with captured_events() as events:
        book.save()
    assert said(events[0], "price") == ("update", {"price": "12.50"}, {"price": "3.00"})
