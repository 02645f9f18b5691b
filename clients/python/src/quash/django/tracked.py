"""Resolves what is to be published of a model: its columns, columns of related rows, its many-to-many relations."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models


@dataclasses.dataclass(frozen=True)
class Column:
    """A value of an image: a column of the row, or of a row that it refers to."""

    #: `("author_id",)`, `("author", "country_id")`: where it stands in the image.
    path: tuple[str, ...]
    #: The field that holds the value, which knows its type.
    field: Any

    @property
    def lookup(self) -> str:
        """Its name in a query."""
        return "__".join(self.path)


@dataclasses.dataclass(frozen=True)
class Relation:
    """A many-to-many relation that a tracked model owns."""

    field: Any
    #: What is published of the rows at the other end, the primary key among it.
    to_columns: tuple[Column, ...]

    def types(self, tracked: Tracked) -> dict[str, str]:
        """As of `Tracked`, for events of this relation."""
        return _types(tracked.columns, "from.") | _types(self.to_columns, "to.")

    @property
    def is_of_django(self) -> bool:
        """Whether its table in between can be asked; a field of somebody's own may keep it in another way."""
        return isinstance(self.field, models.ManyToManyField)

    @property
    def is_symmetrical(self) -> bool:
        """Whether both ends own it."""
        # A field of somebody's own may say so of two models, as Django does where nobody asks.
        return bool(getattr(self.field.remote_field, "symmetrical", False)) and self.target is self.field.model

    @property
    def through(self) -> Any:
        """The model of the table in between."""
        return self.field.remote_field.through

    @property
    def target(self) -> Any:
        """The model at the other end."""
        return self.field.related_model


@dataclasses.dataclass(frozen=True)
class Tracked:
    """A model whose changes are published."""

    model: Any
    entity: str
    #: What stands in the images, the primary key first.
    columns: tuple[Column, ...]
    relations: tuple[Relation, ...]

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """The columns of the primary key."""
        return tuple(field.attname for field in key_fields(self.model))

    def key_in(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The primary key in a row, if all of it is there."""
        key = {name: row[name] for name in self.keys if row.get(name) is not None}
        return key if len(key) == len(self.keys) else None

    def key_of(self, instance: Any) -> Any:
        """The primary key of an instance: a value, of several columns a tuple."""
        return as_key([getattr(instance, name) for name in self.keys])

    @functools.cached_property
    def types(self) -> dict[str, str]:
        """What the columns are in Python, where their JSON does not show it; of a relation with its end."""
        return _types(self.columns)

    @functools.cached_property
    def own(self) -> tuple[Column, ...]:
        """The columns of the row itself."""
        return tuple(column for column in self.columns if len(column.path) == 1)

    @functools.cached_property
    def related(self) -> tuple[Column, ...]:
        """The columns of rows that it refers to."""
        return tuple(column for column in self.columns if len(column.path) > 1)

    @functools.cached_property
    def related_by_field(self) -> dict[str, tuple[Column, ...]]:
        """The same, by the foreign key that leads to them."""
        grouped: dict[str, tuple[Column, ...]] = {}
        for column in self.related:
            grouped[column.path[0]] = (*grouped.get(column.path[0], ()), column)
        return grouped

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """The names of the fields by column: `author` of `author_id`."""
        return {field.attname: field.name for field in self.model._meta.concrete_fields}


def key_fields(model: Any) -> tuple[Any, ...]:
    """The fields of a model's primary key: one, or those that a composite one is made of."""
    # Before Django 5.2 there is but one.
    return tuple(getattr(model._meta, "pk_fields", None) or (model._meta.pk,))


def as_key(values: Sequence[Any]) -> Any:
    """The values of a primary key's columns as Django takes them: of several columns a tuple."""
    return values[0] if len(values) == 1 else tuple(values)


#: A datetime field is a date field as well, and stands before it.
_TYPES = (
    (models.DecimalField, "decimal"),
    (models.DateTimeField, "datetime"),
    (models.DateField, "date"),
    (models.TimeField, "time"),
    (models.UUIDField, "uuid"),
    (models.DurationField, "timedelta"),
    (models.BinaryField, "base64"),
)


def _types(columns: Iterable[Column], prefix: str = "") -> dict[str, str]:
    found = {prefix + ".".join(column.path): _type(column.field) for column in columns}
    return {path: word for path, word in found.items() if word}


def _type(field: Any) -> str:
    if field.remote_field is not None and hasattr(field, "target_field"):
        return _type(field.target_field)
    if getattr(field, "generated", False):
        return _type(field.output_field)
    return next((word for kind, word in _TYPES if isinstance(field, kind)), "")


def tracked(model: Any, names: Any) -> Tracked:
    """What is published of a model, by the names in the setting: `"*"`, columns, paths such as `author.country_id`.

    Raises:
        ImproperlyConfigured: names the model and the column.
    """
    label = model._meta.label
    if isinstance(names, str):
        names = [names]
    columns: dict[tuple[str, ...], Column] = {(key.attname,): Column((key.attname,), key) for key in key_fields(model)}
    to_columns: dict[str, list[Column]] = {}
    for name in _expanded(model, names):
        first = _field(model, name.split(".")[0], label, name)
        if first.many_to_many:
            path = name.split(".")[1:]
            if path:
                to_columns.setdefault(first.name, []).append(column(first.related_model, path, label, name))
            continue
        found = column(model, name.split("."), label, name)
        columns[found.path] = found
    # Inherited ones belong to the entity of the parent.
    own = [field for field in model._meta.local_many_to_many if can_be_followed(field)]
    relations = tuple(_relation(field, to_columns.get(field.name, ())) for field in own)
    return Tracked(model, label, tuple(columns.values()), relations)


def _expanded(model: Any, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name == "*":
            yield from (field.attname for field in model._meta.concrete_fields)
        else:
            yield name


def can_be_followed(field: Any) -> bool:
    """Whether a many-to-many field has what a relation needs. Fields of others only have to look like Django's."""
    ends = (getattr(field, "related_model", None), getattr(field.remote_field, "through", None))
    return all(hasattr(end, "_meta") for end in ends) and len(key_fields(field.related_model)) == 1


def _relation(field: Any, to_columns: Iterable[Column]) -> Relation:
    pk = field.related_model._meta.pk
    return Relation(field, (Column((pk.attname,), pk), *to_columns))


def column(model: Any, path: list[str], label: str, name: str) -> Column:
    """The column at a path from a model; a foreign key under its own name is its column.

    Raises:
        ImproperlyConfigured: there is none; says that `label` names `name`.
    """
    found: list[str] = []
    for step in path[:-1]:
        field = _field(model, step, label, name)
        if not (field.many_to_one or field.one_to_one) or not field.concrete:
            raise ImproperlyConfigured(f"QUASH['models'][{label!r}] names {name!r}, but {step!r} is no foreign key")
        found.append(field.name)
        model = field.related_model
    last = _field(model, path[-1], label, name)
    if not last.concrete or last.many_to_many:
        raise ImproperlyConfigured(f"QUASH['models'][{label!r}] names {name!r}, which is no column")
    return Column((*found, last.attname), last)


def _field(model: Any, name: str, label: str, whole: str) -> Any:
    for field in model._meta.concrete_fields:
        if name in (field.attname, field.name):
            return field
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        known = ", ".join(field.attname for field in model._meta.concrete_fields)
        raise ImproperlyConfigured(
            f"QUASH['models'][{label!r}] names {whole!r}, but {model._meta.label} has no {name!r}, it has {known}"
        ) from None
