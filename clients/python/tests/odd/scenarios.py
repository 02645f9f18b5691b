"""Writes rows of odd models in every way that Django has, step by step."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.core.files.base import ContentFile
from django.db import connections, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat
from taggit.models import Tag

from . import models as odd
from .models import Area, Bar, Counted, Diner, Label, Land, Memo, Photo, Picky, Point, Post, Soft, Thing, Work, Writer

NOON = datetime.datetime(2026, 7, 1, 12, 0, tzinfo=datetime.timezone.utc)
ONE = uuid.UUID(int=1)

#: What becomes of each step: nothing is yielded but between them. Before the first `yield`, nothing is published.
Steps = Iterator[Any]
SCENARIOS: dict[str, Callable[[str], Steps]] = {}


def scenario(function: Callable[[str], Steps]) -> Callable[[str], Steps]:
    SCENARIOS[function.__name__] = function
    return function


def attempt(db: str, write: Callable[[], Any]) -> str:
    """What Django makes of a write that it may refuse."""
    try:
        with transaction.atomic(using=db):
            return repr(write())
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
        return type(error).__name__


# --- inherited -------------------------------------------------------------------------------------------------------


@scenario
def a_child_is_written_in_both_tables(db: str) -> Steps:
    Diner.objects.using(db).create(pk=1, name="n", city="x", stars=1)
    Diner.objects.using(db).create(pk=2, name="n", city="x", stars=1)
    yield
    diner = Diner.objects.using(db).get(pk=1)
    diner.city = "y"
    yield diner.save()
    diner.stars = 2
    yield diner.save(update_fields=["stars"])
    yield Diner.objects.using(db).filter(pk=1).update(city="z")
    yield Diner.objects.using(db).update(stars=3)
    yield Diner.objects.using(db).filter(stars=3).update(city="w", stars=F("stars") + 1)
    diner.refresh_from_db()
    diner.city = "v"
    yield Diner.objects.using(db).bulk_update([diner], ["city"])
    diner.stars = 9
    yield Diner.objects.using(db).bulk_update([diner], ["city", "stars"])
    diner.name = "m"
    yield diner.save()
    yield Diner.objects.using(db).create(pk=3, city="x")
    yield Diner.objects.using(db).filter(pk=3).delete()
    yield attempt(db, lambda: Diner.objects.using(db).bulk_create([Diner(pk=5)]))
    yield diner.delete()
    yield Area.objects.using(db).filter(pk=2).delete()


@scenario
def a_proxy_of_a_child_is_the_child(db: str) -> Steps:
    Bar.objects.using(db).create(pk=1, city="x")
    yield
    bar = Bar.objects.using(db).get()
    bar.city = "y"
    yield bar.save()
    yield Bar.objects.using(db).update(city="z")
    yield Bar.objects.using(db).bulk_update([bar], ["city", "stars"])
    yield bar.delete()


@scenario
def a_reference_to_the_parent_of_a_child_is_emptied(db: str) -> Steps:
    middle = Diner.objects.using(db).create(pk=1)
    Diner.objects.using(db).create(pk=2, near_id=1)
    Area.objects.using(db).create(pk=3, near_id=1)
    yield
    yield middle.delete()


# --- with relations that only look like Django's ---------------------------------------------------------------------


@scenario
def tags_of_a_library_are_told_from_both_ends(db: str) -> Steps:
    post, other = (Post.objects.using(db).create(pk=number, title="t") for number in (1, 2))
    # Of the same key in another model, and the same table in between.
    photo = Photo.objects.using(db).create(pk=1, title="t")
    photo.tags.add("p", "q")
    other.tags.add("q")
    yield
    yield post.tags.add("p", "q", "r")
    yield post.tags.remove("p")
    yield post.tags.set(["q", "s"])
    yield photo.tags.clear()
    yield Tag.objects.using(db).get(slug="q").delete()
    yield post.tags.clear()
    yield post.tags.add("p")
    yield post.delete()
    yield Post.objects.using(db).all().delete()
    yield Tag.objects.using(db).all().delete()


@scenario
def a_relation_that_answers_nothing_stops_no_write(db: str) -> Steps:
    memo = Memo.objects.using(db).create(pk=1, title="t")
    yield
    memo.title = "u"
    yield memo.save()
    yield memo.delete()
    yield Tag.objects.using(db).create(name="a", slug="a")
    yield Tag.objects.using(db).all().delete()


# --- hidden ----------------------------------------------------------------------------------------------------------


@scenario
def rows_that_a_manager_hides_are_told(db: str) -> Steps:
    for number in (1, 2, 3):
        Soft.everything.using(db).create(pk=number, title="t")
    yield
    yield Soft.objects.using(db).filter(pk__in=[1, 2]).update(deleted_at=NOON)
    yield Soft.everything.using(db).filter(pk=1).update(deleted_at=None)
    gone = Soft.everything.using(db).get(pk=2)
    gone.deleted_at = None
    yield Soft.everything.using(db).bulk_update([gone], ["deleted_at"])
    yield Soft.everything.using(db).bulk_create([Soft(pk=4, title="t", deleted_at=NOON)])
    hidden = Soft.everything.using(db).get(pk=4)
    hidden.title = "u"
    yield attempt(db, hidden.save)
    yield Soft.everything.using(db).filter(pk=4).delete()
    yield Soft.objects.using(db).all().delete()


# --- with fields of their own ----------------------------------------------------------------------------------------


@scenario
def a_file_is_changed_through_its_own_object(db: str) -> Steps:
    yield
    thing = Thing.objects.using(db).create(pk=ONE)
    yield
    yield thing.cover.save("one.txt", ContentFile(b"1"))
    yield thing.cover.save("two.txt", ContentFile(b"2"))
    yield thing.cover.delete()
    read = Thing.objects.using(db).get()
    yield read.cover.save("three.txt", ContentFile(b"3"))
    yield read.save()
    yield read.delete()


@scenario
def values_are_changed_in_place(db: str) -> Steps:
    Thing.objects.using(db).create(pk=ONE, point=Point(1, 1), bound=odd.Bound(1, 1), words=[1], raw=b"\x00\xff")
    yield
    thing = Thing.objects.using(db).get()
    thing.point.x = 2
    yield thing.save()
    thing.point.y = 2
    thing.words.append(2)
    yield thing.save()
    thing.bound.x = 5
    yield thing.save()
    thing.raw = memoryview(b"\x01")
    yield thing.save(update_fields=["raw"])
    thing.point.x = 3
    yield Thing.objects.using(db).bulk_update([thing], ["point"])
    thing.point.x = 4
    yield thing.save()
    yield Thing.objects.using(db).update(point=Point(7, 7), words=[])
    thing.refresh_from_db()
    yield thing.delete()


@scenario
def decimals_are_rounded_as_the_database_does(db: str) -> Steps:
    Thing.objects.using(db).create(pk=ONE)
    yield
    thing = Thing.objects.using(db).get()
    for text in ("2.665", "-2.665", "0.125", "0.005", "-0.001", "-0.00", "12.5", "1E+2", "2.675", "3"):
        thing.price = decimal.Decimal(text)
        yield thing.save()
    thing.price = 2.675
    yield thing.save()
    thing.long = decimal.Decimal("12345678901234567.8915")
    yield thing.save()
    yield Thing.objects.using(db).update(price=decimal.Decimal("0.335"))
    thing.price = decimal.Decimal("1E+9")
    yield attempt(db, thing.save) if db == "postgres" else None
    yield Thing.objects.using(db).create(pk=uuid.UUID(int=2), price="0.125", born="2026-07-01", seen_at=NOON)
    yield attempt(db, lambda: Thing.objects.using(db).create(pk="no uuid", price="x"))


@scenario
def a_refresh_that_takes_less_is_called_as_it_was_asked_for(db: str) -> Steps:
    Thing.objects.using(db).create(pk=ONE)
    yield
    thing = Thing.objects.using(db).get()
    thing.refresh_from_db()
    thing.refresh_from_db(fields=iter(["price"]))
    thing.price = thing.price + 1
    yield thing.save()
    thing.words = [3]
    yield thing.save(update_fields=iter(["words"]))


# --- keys ------------------------------------------------------------------------------------------------------------


@scenario
def a_key_is_written(db: str) -> Steps:
    for number in (1, 2, 3):
        Counted.objects.using(db).create(pk=number, number=number, text="t")
    Label.objects.using(db).create(code="a")
    Diner.objects.using(db).create(pk=1)
    yield
    yield Counted.objects.using(db).filter(pk=1).update(id=700, text="u")
    yield attempt(db, lambda: Counted.objects.using(db).filter(pk=700).update(pk="701"))
    yield Counted.objects.using(db).filter(pk__lt=10).update(id=F("id") + 1000)
    yield Counted.objects.using(db).update(id=F("number"), text=Concat(F("text"), Value("!")))
    yield Label.objects.using(db).update(code="b")
    yield Label.objects.using(db).filter(code="b").update(code=Concat(F("code"), Value("c")))
    label = Label.objects.using(db).get()
    label.code = "d"
    yield label.save()
    yield attempt(db, lambda: Label.objects.using(db).update(code="same"))


# --- querysets -------------------------------------------------------------------------------------------------------


@scenario
def querysets_of_every_kind_are_updated(db: str) -> Steps:
    land = Land.objects.using(db).create(pk=1, code="DE")
    writer = Writer.objects.using(db).create(pk=1, name="w", land=land)
    for number in (1, 2, 3):
        Work.objects.using(db).create(pk=number, title="t", writer=writer if number < 3 else None)
    works = Work.objects.using(db)
    yield
    yield works.filter(writer__land__code="DE").update(title="a")
    yield works.distinct().update(title="b")
    yield works.order_by("writer__name").update(title="c")
    yield works.select_related("writer").exclude(pk=1).update(title="d")
    yield works.annotate(many=Count("writer__work")).filter(many__gt=1).update(title="e")
    yield works.annotate(longer=Concat("title", Value("+"))).update(title=F("longer"))
    yield works.none().update(title="f")
    yield works.filter(pk=99).update(title="f")
    yield works.filter(pk__in=works.values("pk")[:1]).update(title="g")
    yield attempt(db, lambda: works.all()[:1].update(title="h"))
    yield attempt(db, lambda: works.union(works.all()).update(title="h"))
    yield attempt(db, lambda: works.values("title").update(title="h"))
    yield attempt(db, lambda: works.update(titel="h"))
    yield attempt(db, lambda: works.update(writer=77) and connections[db].check_constraints())
    yield attempt(db, lambda: works.update(writer_id=F("writer__land_id")))
    yield works.update(writer=writer)
    yield works.filter(pk=1).update(writer=None)
    yield writer.work_set.add(works.get(pk=1))
    yield writer.work_set.remove(works.get(pk=2))
    yield writer.work_set.set([works.get(pk=3)])
    yield writer.work_set.clear()
    yield works.update_or_create(pk=1, defaults={"title": "u"})
    yield works.get_or_create(pk=8, defaults={"title": "u"})
    yield attempt(db, lambda: works.bulk_update([Work(title="new")], ["title"]))
    yield attempt(db, lambda: works.bulk_update([works.get(pk=1)], ["titel"]))
    yield attempt(db, lambda: works.bulk_create([Work(pk=1)]))
    yield works.bulk_create([Work(pk=10, writer=writer), Work(pk=11)])
    yield works.bulk_create([Work(pk=1, title="not this"), Work(pk=12)], None, True)


@scenario
def a_queryset_that_does_not_answer_is_updated(db: str) -> Steps:
    Picky.objects.using(db).create(pk=1, text="t")
    yield
    yield Picky.objects.using(db).update(text="u")


@scenario
def rows_are_created_that_may_be_there(db: str) -> Steps:
    counted = Counted.objects.using(db)
    counted.bulk_create([Counted(number=1), Counted(number=2)])
    yield
    yield counted.bulk_create([Counted(number=3), Counted(number=4)])
    yield counted.bulk_create([Counted(pk=1, number=5), Counted(pk=9, number=9)], ignore_conflicts=True)
    by_key = {"update_conflicts": True, "update_fields": ["text"], "unique_fields": ["pk"]}
    yield counted.bulk_create([Counted(pk=1, number=1, text="u"), Counted(pk=8, number=8)], **by_key)
    yield attempt(db, lambda: counted.bulk_create([Counted(pk=1, number=7)]))


# --- related ---------------------------------------------------------------------------------------------------------


@scenario
def what_a_path_leads_to_is_what_the_database_holds(db: str) -> Steps:
    for number, code in ((1, "DE"), (2, "FR")):
        Land.objects.using(db).create(pk=number, code=code)
        Writer.objects.using(db).create(pk=number, name=f"w{number}", land_id=number)
    Work.objects.using(db).create(pk=1, title="t", writer_id=1)

    def loaded() -> Work:
        return Work.objects.using(db).select_related("writer__land").get()

    yield
    work = loaded()
    work.writer.name, work.title = "never saved", "a"
    yield work.save()
    work = loaded()
    work.writer.land_id, work.title = 2, "b"
    yield work.save()
    work = loaded()
    work.writer.land, work.title = Land.objects.using(db).get(pk=2), "c"
    yield work.save()
    work = loaded()
    work.writer.land.code, work.title = "XX", "d"
    yield work.save()
    work = loaded()
    try:
        with transaction.atomic(using=db):
            work.writer.name = "rolled back"
            work.writer.save()
            raise ZeroDivisionError
    except ZeroDivisionError:
        work.title = "e"
    yield work.save()
    work = loaded()
    work.writer.name = "saved"
    yield work.writer.save()
    work.title = "f"
    yield work.save()
    work.writer = Writer(pk=2, name="made up", land_id=1)
    yield work.save()
    work.writer = Writer.objects.using(db).get(pk=1)
    yield work.save()
    work.writer_id = 2
    yield work.save()
    yield work.delete()
    writer = Writer.objects.using(db).get(pk=2)
    writer.name = "never saved"
    yield Work.objects.using(db).create(pk=2, writer=writer)


if odd.HAS_GENERATED:

    @scenario
    def what_the_database_computes_is_right_or_unknown(db: str) -> Steps:
        odd.Priced.objects.using(db).create(pk=1, price=1)
        yield
        priced = odd.Priced.objects.using(db).get(pk=1)
        priced.price = decimal.Decimal(5)
        yield priced.save()
        priced.title = "t"
        yield priced.save(update_fields=["title"])
        priced.refresh_from_db()
        priced.title = "u"
        yield priced.save()
        priced.amount = F("amount") + 1
        yield priced.save(update_fields=["amount"])
        yield odd.Priced.objects.using(db).update(price=7)
        priced.refresh_from_db()
        priced.price = decimal.Decimal(8)
        yield odd.Priced.objects.using(db).bulk_update([priced], ["price"])
        priced.title = "v"
        yield priced.save()
        priced.pk, priced._state.adding, priced.price = 2, True, decimal.Decimal("0.5")
        yield priced.save()
        made = odd.Priced(pk=3, price=3)
        yield odd.Priced.objects.using(db).bulk_create([made])
        made.price = decimal.Decimal(4)
        yield made.save()
        yield made.delete()


if odd.HAS_COMPOSITE:

    @scenario
    def a_key_of_several_columns(db: str) -> Steps:
        order, other = (odd.Order.objects.using(db).create(pk=number) for number in (1, 2))
        for sku in ("a b", "c"):
            odd.Line.objects.using(db).create(order=order, sku=sku)
        lines = odd.Line.objects.using(db)
        yield
        line = lines.get(pk=(1, "a b"))
        line.quantity = 2
        yield line.save()
        line.quantity = 3
        yield line.save(update_fields=["quantity"])
        yield lines.filter(order_id=1).update(quantity=3)
        yield lines.filter(order__buyer="").update(quantity=F("quantity") + 1)
        line.quantity = 8
        yield lines.bulk_update([line], ["quantity"])
        line.quantity = 9
        yield line.save()
        yield lines.filter(sku="c").update(sku="d")
        yield lines.filter(sku="d").update(order=other, sku=Concat(F("sku"), Value("d")))
        yield lines.bulk_create([odd.Line(order=order, sku="e"), odd.Line(order=other, sku="e")])
        yield lines.create(order=other, sku="f")
        yield lines.get(pk=(1, "a b")).delete()
        yield lines.filter(sku="e").delete()
        yield other.delete()
