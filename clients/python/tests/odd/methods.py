"""Calls every method of Django's that writes, step by step."""

from __future__ import annotations

from typing import Any

import django
from asgiref.sync import async_to_sync
from django.core import serializers
from django.db import connections, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from .models import Club, Counted, Diner, Legacy, Membership, Note, Passport, Person, Pet
from .scenarios import Steps, attempt, scenario


def now(coroutine: Any, *args: Any, **kwargs: Any) -> Any:
    """What a coroutine function gives."""
    return async_to_sync(coroutine)(*args, **kwargs)


@scenario
def a_model_is_saved_and_deleted_in_every_way(db: str) -> Steps:
    people = Person.objects.using(db)
    yield
    ann = Person(pk=1, name="ann")
    yield ann.save(force_insert=True, using=db)
    yield attempt(db, lambda: Person(pk=1, name="bob").save(force_insert=True, using=db))
    ann.name = "anna"
    yield ann.save(force_update=True)
    yield attempt(db, lambda: Person(pk=7, name="none").save(force_update=True, using=db))
    yield ann.save(update_fields=[])
    ann.name = "anne"
    yield ann.save(update_fields=None)
    ann.name = F("name")
    yield ann.save()
    ann.refresh_from_db()
    ann.name = Concat(F("name"), Value("!"))
    yield ann.save(update_fields=["name"])
    now(ann.arefresh_from_db)
    ann.name = "a"
    yield now(ann.asave)
    ann.name = "raw"
    yield ann.save_base(raw=True, using=db)
    ann.name = "b"
    yield ann.save_base(using=db, update_fields=frozenset(["name"]))
    yield attempt(db, lambda: ann.save(update_fields=["nothing"]))
    yield Person(pk=5, name="there?").save(using=db)
    yield Person(pk=5, name="yes").save(using=db)
    raw = next(iter(people.raw('SELECT * FROM "odd_person" WHERE "id" = 5')))
    raw.name = "raw"
    yield raw.save()
    part = people.only("id").get(pk=5)
    yield part.save()
    part.name = "part"
    yield part.save()
    yield people.defer("name").get(pk=5).save()
    yield now(ann.adelete)
    yield part.delete(using=db)
    diner = Diner.objects.using(db).create(pk=1, city="x", stars=1)
    yield
    yield diner.delete(keep_parents=True)
    again = next(serializers.deserialize("json", FIXTURE, using=db))
    yield again.save(using=db)
    yield again.save(using=db)


FIXTURE = '[{"model": "odd.person", "pk": 3, "fields": {"name": "of a fixture", "friends": [], "follows": []}}]'


@scenario
def a_queryset_writes_in_every_way(db: str) -> Steps:
    counted = Counted.objects.using(db)
    yield
    yield counted.create(number=1).pk and None
    yield now(counted.acreate, number=2) and None
    yield counted.get_or_create(number=1)[1]
    yield counted.get_or_create(number=3, defaults={"text": lambda: "called"})[1]
    yield now(counted.aget_or_create, number=4)[1]
    yield counted.update_or_create(number=1, defaults={"text": "u"})[1]
    yield now(counted.aupdate_or_create, number=5, defaults={"text": "v"})[1]
    if django.VERSION >= (5, 0):
        yield counted.update_or_create(number=6, defaults={"text": "u"}, create_defaults={"text": "c"})[1]
    yield len(counted.bulk_create([Counted(number=number) for number in (10, 11, 12)], batch_size=2))
    yield len(now(counted.abulk_create, [Counted(number=13)]))
    yield len(counted.bulk_create([Counted(number=10, text="not"), Counted(number=14)], ignore_conflicts=True))
    yield len(
        counted.bulk_create(
            [Counted(number=10, text="new"), Counted(number=15, text="new")],
            update_conflicts=True,
            update_fields=["text"],
            unique_fields=["number"],
            batch_size=1,
        )
    )
    yield len(counted.bulk_create(iter([Counted(number=16)])))
    yield counted.bulk_create([])
    yield attempt(db, lambda: counted.bulk_create([Counted(number=17), Counted(number=17)]))
    yield attempt(db, lambda: counted.bulk_create([Counted(number=18)], update_conflicts=True, update_fields=[]))
    rows = list(counted.filter(number__gte=10).order_by("number"))
    for row in rows:
        row.text = f"b{row.number}"
    yield counted.bulk_update(rows, ["text"], batch_size=2)
    rows[0].text = Concat(F("text"), Value("!"))
    yield now(counted.abulk_update, rows[:2], ["text"])
    yield counted.bulk_update([], ["text"])
    yield counted.filter(number__lt=3).update(text=Concat(F("text"), Value("?")))
    yield now(counted.filter(number=2).aupdate, text="async")
    yield counted.filter(number=2).update()
    with transaction.atomic(using=db):
        locked = counted.select_for_update().get(number=2)
        locked.text = "locked"
        locked.save()
    yield
    found = counted.in_bulk([10, 11], field_name="number")
    found[10].text = "in bulk"
    yield found[10].save()
    for row in counted.filter(number__lt=3).iterator(chunk_size=1):
        row.text = "iterated"
        row.save()
    yield
    yield counted.filter(number=16).delete()[0]
    yield now(counted.filter(number=15).adelete)[0]
    yield counted.none().delete()[0]
    yield attempt(db, lambda: counted.all()[:1].delete())
    yield attempt(db, lambda: counted.values("text").delete())
    yield counted.all().delete()[0]


@scenario
def relations_are_written_in_every_way(db: str) -> Steps:
    people, clubs = Person.objects.using(db), Club.objects.using(db)
    ann, bob, cid = (people.create(pk=number, name=name) for number, name in ((1, "ann"), (2, "bob"), (3, "cid")))
    chess, golf = (clubs.create(pk=number, name=name) for number, name in ((1, "chess"), (2, "golf")))
    yield
    yield ann.friends.add(bob, cid.pk)
    yield ann.friends.add(bob)
    yield cid.friends.remove(ann)
    yield ann.friends.set([cid])
    yield ann.friends.clear()
    yield ann.follows.add(ann, bob)
    yield bob.followers.add(cid)
    yield bob.followers.set([ann], clear=True)
    yield ann.follows.clear()
    yield ann.clubs.add(chess, through_defaults={"role": "chair"})
    yield chess.members.add(bob, through_defaults={"role": lambda: "called"})
    yield ann.clubs.set([golf], through_defaults={"role": "new"})
    yield golf.members.remove(ann)
    yield bob.clubs.create(pk=5, name="made", through_defaults={"role": "x"}).pk
    yield bob.clubs.get_or_create(pk=6, defaults={"name": "got"}, through_defaults={"role": "y"})[1]
    yield bob.clubs.get_or_create(pk=6)[1]
    yield bob.clubs.update_or_create(pk=6, defaults={"name": "updated"}, through_defaults={"role": "z"})[1]
    yield bob.clubs.update_or_create(pk=7, defaults={"name": "created"}, through_defaults={"role": "z"})[1]
    yield now(bob.clubs.aadd, chess, golf)
    yield now(bob.clubs.aremove, golf)
    yield now(bob.clubs.aset, [golf])
    yield now(bob.clubs.acreate, pk=8, name="a").pk
    yield now(bob.clubs.aget_or_create, pk=9)[1]
    yield now(bob.clubs.aupdate_or_create, pk=9, defaults={"name": "b"})[1]
    yield now(bob.clubs.aclear)
    yield Membership.objects.using(db).create(pk=50, person=ann, club=chess).pk
    yield Membership.objects.using(db).filter(pk=50).update(club=golf)
    yield len(Membership.objects.using(db).bulk_create([Membership(person=bob, club=golf)]))
    yield attempt(db, lambda: Membership.objects.using(db).create(person=bob, club=golf))
    yield Membership.objects.using(db).all().delete()[0]
    yield attempt(db, lambda: ann.friends.add("no number"))


@scenario
def rows_of_a_foreign_key_are_written_from_its_end(db: str) -> Steps:
    people, pets = Person.objects.using(db), Pet.objects.using(db)
    ann, bob = (people.create(pk=number, name=name) for number, name in ((1, "ann"), (2, "bob")))
    rex, tom = (pets.create(pk=number, name=name) for number, name in ((1, "rex"), (2, "tom")))
    yield
    yield ann.pets.add(rex)
    yield ann.pets.add(tom, bulk=False)
    yield ann.pets.remove(tom, bulk=False)
    yield bob.pets.set([rex, tom])
    yield bob.pets.clear()
    yield ann.pets.create(pk=3, name="c").pk
    yield ann.pets.get_or_create(pk=4)[1]
    yield ann.pets.update_or_create(pk=4, defaults={"name": "d"})[1]
    yield ann.pets.filter(pk=4).update(owner=bob)
    yield now(ann.pets.aadd, rex)
    yield now(ann.pets.aremove, rex)
    yield now(ann.pets.aset, [tom])
    yield now(ann.pets.acreate, pk=5).pk
    yield now(ann.pets.aget_or_create, pk=6)[1]
    yield now(ann.pets.aupdate_or_create, pk=6, defaults={"name": "e"})[1]
    yield now(ann.pets.aclear)
    yield len(ann.pets.bulk_create([Pet(pk=7, owner=ann)]))
    yield Passport.objects.using(db).create(person=ann).pk
    ann.passport.number = Counted.objects.using(db).create(pk=70, number=7)
    yield ann.passport.save()
    yield Counted.objects.using(db).all().delete()[0]


@scenario
def notes_are_written_by_what_they_are_about(db: str) -> Steps:
    ann, bob = (Person.objects.using(db).create(pk=number) for number in (1, 2))
    one = Note(pk=1, about=ann)
    one.save(using=db)
    yield
    yield ann.notes.create(pk=2, text="made").pk
    yield bob.notes.add(one)
    yield bob.notes.add(Note(pk=3, text="whole"), bulk=False)
    yield ann.notes.get_or_create(pk=4)[1]
    yield ann.notes.update_or_create(pk=4, defaults={"text": "u"})[1]
    yield ann.notes.set([one])
    yield len(ann.notes.bulk_create([Note(pk=6, about=ann)]))
    yield ann.notes.update(text="all")
    yield ann.notes.remove(one)
    yield now(bob.notes.aadd, Note.objects.using(db).get(pk=6))
    yield ann.notes.clear()
    yield bob.delete()[0]


@scenario
def what_a_row_leaves_behind_goes_in_every_way(db: str) -> Steps:
    people, pets = Person.objects.using(db), Pet.objects.using(db)
    ann, bob, cid = (people.create(pk=number, name=name) for number, name in ((1, "ann"), (2, "bob"), (3, "cid")))
    people.create(pk=99, name="nobody")
    club = Club.objects.using(db).create(pk=1)
    pets.create(pk=1, owner=ann, vet=bob)
    pets.create(pk=2, sitter=cid, home=club)
    ann.friends.add(cid)
    ann.clubs.add(club)
    Passport.objects.using(db).create(person=ann)
    yield
    yield attempt(db, bob.delete)
    yield attempt(db, club.delete)
    yield ann.delete()[0]
    yield attempt(db, cid.delete)
    yield pets.filter(pk=2).delete()[0]
    yield Club.objects.using(db).all().delete()[0]


@scenario
def a_table_that_django_does_not_look_after(db: str) -> Steps:
    legacy = Legacy.objects.using(db)
    yield
    yield legacy.create(number=1, text="a").pk
    yield legacy.filter(number=1).update(text="b")
    yield len(legacy.bulk_create([Legacy(number=2), Legacy(number=3)]))
    row = legacy.get(number=2)
    row.text = "c"
    yield row.save()
    yield legacy.bulk_update([row], ["text"])
    yield legacy.filter(number=3).update(number=4)
    yield row.delete()[0]
    yield legacy.all().delete()[0]


@scenario
def transactions_end_in_every_way(db: str) -> Steps:
    people = Person.objects.using(db)
    ann = people.create(pk=1, name="a")
    heard: list[str] = []
    yield

    def fails() -> None:
        with transaction.atomic(using=db):
            ann.name = "gone"
            ann.save()
            people.filter(pk=1).update(name="gone too")
            raise ZeroDivisionError

    yield attempt(db, fails)
    with transaction.atomic(using=db):
        ann.name = "outer"
        ann.save()
        attempt(db, fails)
        transaction.on_commit(lambda: heard.append("first"), using=db)
        transaction.on_commit(lambda: heard.append(str(1 / 0)), using=db, robust=True)
        with transaction.atomic(using=db, savepoint=False):
            people.create(pk=2, name="inner")
        point = transaction.savepoint(using=db)
        people.create(pk=3, name="kept")
        transaction.savepoint_commit(point, using=db)
    yield list(heard)
    with transaction.atomic(using=db, durable=True):
        people.filter(pk=2).update(name="durable")
    yield
    with transaction.atomic(using=db):
        people.create(pk=4, name="gone")
        transaction.set_rollback(True, using=db)
    yield
    connections[db].set_autocommit(False)
    try:
        people.filter(pk=2).update(name="never")
        transaction.rollback(using=db)
        people.filter(pk=2).update(name="by hand")
        ann.refresh_from_db()
        ann.name = "by hand"
        ann.save()
        transaction.commit(using=db)
    finally:
        connections[db].set_autocommit(True)
    yield
