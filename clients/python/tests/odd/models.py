"""Holds the rows whose models are unlike those of a shop."""

from __future__ import annotations

import uuid
from typing import Any

import django
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import F
from taggit.managers import TaggableManager

from quash.django.querysets import PublishingMixin, QuashManager

HAS_GENERATED = django.VERSION >= (5, 0)
HAS_COMPOSITE = django.VERSION >= (5, 2)


# --- inherited -------------------------------------------------------------------------------------------------------


class Area(models.Model):
    name = models.CharField(max_length=20, default="")
    city = models.CharField(max_length=20, default="")
    near = models.ForeignKey("self", models.SET_NULL, null=True, related_name="around")

    objects = QuashManager()


class Diner(Area):
    stars = models.IntegerField(default=0)

    objects = QuashManager()


class Bar(Diner):
    class Meta:
        proxy = True


# --- with relations that only look like Django's ---------------------------------------------------------------------


class Post(models.Model):
    title = models.CharField(max_length=20)
    tags = TaggableManager(related_name="posts")


class Photo(models.Model):
    title = models.CharField(max_length=20)
    tags = TaggableManager(related_name="photos")


class Opaque(TaggableManager):  # type: ignore[misc]
    """Answers no question about its rows."""

    def get_joining_columns(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    get_joining_fields = get_path_info = get_reverse_path_info = get_joining_columns


class Memo(models.Model):
    title = models.CharField(max_length=20)
    tags = Opaque(related_name="+")


# --- hidden ----------------------------------------------------------------------------------------------------------


class LivingManager(QuashManager):
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted_at=None)


class Soft(models.Model):
    title = models.CharField(max_length=20)
    deleted_at = models.DateTimeField(null=True)

    objects = LivingManager()
    everything = QuashManager()

    class Meta:
        base_manager_name = "objects"


# --- with fields of their own ----------------------------------------------------------------------------------------


class Point:
    """A value that is changed in place, as a geometry."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Bound(Point):
    """A value that cannot be copied."""

    def __deepcopy__(self, _: Any) -> Any:
        raise TypeError("bound to its connection")


class PointField(models.Field):
    of: type[Point] = Point

    def get_internal_type(self) -> str:
        return "TextField"

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        return self.of(*map(int, value.split(","))) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return f"{value.x},{value.y}" if isinstance(value, Point) else value


class BoundField(PointField):
    of = Bound


class Thing(models.Model):
    ident = models.UUIDField(primary_key=True, default=uuid.uuid4)
    cover = models.FileField(null=True)
    point = PointField(null=True)
    bound = BoundField(null=True)
    words = models.JSONField(default=list)
    raw = models.BinaryField(null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    long = models.DecimalField(max_digits=20, decimal_places=3, default=0)
    born = models.DateField(null=True)
    seen_at = models.DateTimeField(null=True)

    objects = QuashManager()

    def refresh_from_db(self, **kwargs: Any) -> None:  # type: ignore[override]
        """Takes less than Django's own."""
        super().refresh_from_db(**kwargs)


class Label(models.Model):
    code = models.CharField(max_length=20, primary_key=True)
    text = models.CharField(max_length=20, default="")

    objects = QuashManager()


class Counted(models.Model):
    number = models.IntegerField(unique=True)
    text = models.CharField(max_length=20, default="")

    objects = QuashManager()


class PickyQuerySet(PublishingMixin, models.QuerySet):  # type: ignore[type-arg]
    """Takes what it is asked for, and not what others ask for it."""

    def order_by(self, *names: str) -> Any:
        if not names:
            raise TypeError("an order is needed")
        return super().order_by(*names)


class Picky(models.Model):
    text = models.CharField(max_length=20)

    objects = PickyQuerySet.as_manager()


# --- related ---------------------------------------------------------------------------------------------------------


class Land(models.Model):
    code = models.CharField(max_length=2)


class Writer(models.Model):
    name = models.CharField(max_length=20)
    land = models.ForeignKey(Land, models.CASCADE)


class Work(models.Model):
    title = models.CharField(max_length=20)
    writer = models.ForeignKey(Writer, models.CASCADE, null=True)

    objects = QuashManager()

    class Meta:
        base_manager_name = "objects"


def nobody() -> Person:
    """Who takes over what is left."""
    return Person.objects.get_or_create(pk=99, defaults={"name": "nobody"})[0]


class Club(models.Model):
    name = models.CharField(max_length=20, default="")

    objects = QuashManager()


class Person(models.Model):
    name = models.CharField(max_length=20, default="")
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")
    clubs = models.ManyToManyField(Club, through="Membership", related_name="members")
    notes = GenericRelation("Note", content_type_field="kind", object_id_field="ident")

    objects = QuashManager()


class Membership(models.Model):
    person = models.ForeignKey(Person, models.CASCADE)
    club = models.ForeignKey(Club, models.CASCADE)
    role = models.CharField(max_length=20, default="")

    objects = QuashManager()

    class Meta:
        unique_together = ("person", "club")


class Note(models.Model):
    text = models.CharField(max_length=20, default="")
    kind = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    ident = models.PositiveIntegerField()
    about = GenericForeignKey("kind", "ident")

    objects = QuashManager()

    class Meta:
        base_manager_name = "objects"


class Passport(models.Model):
    person = models.OneToOneField(Person, models.CASCADE, primary_key=True)
    number = models.ForeignKey(Counted, models.SET_NULL, null=True, to_field="number")

    objects = QuashManager()


class Pet(models.Model):
    """Whose owner goes in every way."""

    name = models.CharField(max_length=20, default="")
    owner = models.ForeignKey(Person, models.SET_DEFAULT, null=True, default=None, related_name="pets")
    sitter = models.ForeignKey(Person, models.SET(nobody), null=True, related_name="+")
    vet = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    home = models.ForeignKey(Club, models.RESTRICT, null=True, related_name="+")

    objects = QuashManager()

    class Meta:
        base_manager_name = "objects"


class Legacy(models.Model):
    """Of a table that Django does not look after."""

    number = models.IntegerField(primary_key=True, db_column="NUMBER")
    text = models.TextField(db_column="Some Text", default="")

    objects = QuashManager()

    class Meta:
        managed = False
        db_table = "Odd Legacy"


# --- written by others -----------------------------------------------------------------------------------------------

#: As django-mptt's.
MPTTModel = type("MPTTModel", (), {"__module__": "mptt.models"})


class Tree(MPTTModel, models.Model):  # type: ignore[misc, valid-type]
    objects = QuashManager()


class Leaf(models.Model):
    tree = models.ForeignKey(Tree, models.CASCADE)

    objects = QuashManager()


class Bud(models.Model):
    leaf = models.ForeignKey(Leaf, models.SET_NULL, null=True, related_name="+")

    objects = QuashManager()


# --- what newer releases of Django know ------------------------------------------------------------------------------

if HAS_GENERATED:

    class Priced(models.Model):
        title = models.CharField(max_length=20, default="")
        price = models.DecimalField(max_digits=6, decimal_places=2)
        amount = models.IntegerField(default=1, db_default=1)
        total = models.GeneratedField(
            expression=F("price") * F("amount"),
            output_field=models.DecimalField(max_digits=8, decimal_places=2),
            db_persist=True,
        )

        objects = QuashManager()


if HAS_COMPOSITE:

    class Order(models.Model):
        buyer = models.CharField(max_length=20)

    class Line(models.Model):
        pk = models.CompositePrimaryKey("order_id", "sku")
        order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
        sku = models.CharField(max_length=20)
        quantity = models.IntegerField(default=1)

        objects = QuashManager()


#: As `QUASH["models"]` takes it.
DECLARED: dict[str, Any] = {
    "odd.Area": "*",
    "odd.Diner": "*",
    "odd.Post": ["title", "tags.slug"],
    "odd.Photo": "*",
    "odd.Memo": "*",
    "odd.Soft": "*",
    "odd.Thing": "*",
    "odd.Label": "*",
    "odd.Counted": "*",
    "odd.Picky": "*",
    "odd.Club": "*",
    "odd.Person": ["*", "friends.name", "follows.name", "clubs.name"],
    "odd.Membership": "*",
    "odd.Note": "*",
    "odd.Passport": "*",
    "odd.Pet": ["*", "owner.name"],
    "odd.Legacy": "*",
    "odd.Work": ["*", "writer.name", "writer.land_id", "writer.land.code"],
}
if HAS_GENERATED:
    DECLARED["odd.Priced"] = "*"
if HAS_COMPOSITE:
    DECLARED |= {"odd.Order": "*", "odd.Line": "*"}
