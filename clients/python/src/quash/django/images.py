"""Makes row images: of values that are at hand, or of rows that must be read."""

from __future__ import annotations

import base64
import datetime
import decimal
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import connections, models
from django.utils import timezone

from ..errors import EventError
from ..values import Json, plain
from . import decimals, memory
from .conf import conf
from .guard import apart
from .tracked import Column, Tracked, as_key, key_fields

Image = dict[str, Any]

#: Rows that are asked for at once; some databases bound the parameters of a query.
CHUNK = 500


class Unknown(Exception):
    """A value that nobody can tell, such as an expression that only the database computes."""


def spelt(field: Any, value: Any, using: str) -> Json:
    """A field's value as it will be read from the database again, in terms of JSON.

    Raises:
        Unknown: for an expression, or a value without exact text.
    """
    if value is None:
        return None
    try:
        if type(value) is _taken_as_is(field):
            return plain(value)
        if hasattr(value, "resolve_expression"):
            raise Unknown
        if getattr(field, "generated", False):
            field = field.output_field
        return plain(_stored(field, field.to_python(value), using))
    except EventError:
        return _prepared(field, value)
    except Unknown:
        raise
    except Exception:  # noqa: BLE001 - fields of others raise what they like, and the value is not ours to judge
        raise Unknown from None


def known(
    fields: Iterable[Any],
    values: Mapping[str, Any],
    using: str,
    alike: tuple[Mapping[str, Any], Image] = ({}, {}),
) -> Image:
    """What is known of these fields, by column.

    A value that is the very object of other values, whose image is given with them, is as there.
    """
    other_values, other_image = alike
    image: Image = {}
    for field in fields:
        name = field.attname
        if name not in values:
            continue
        value = values[name]
        if name in other_image and other_values[name] is value:
            image[name] = other_image[name]
            continue
        try:
            image[name] = spelt(field, value, using)
        except Unknown:
            continue
    return image


def rows_of(model: Any, using: str) -> Any:
    """All rows of a model: its own managers may hide some."""
    return models.QuerySet(model, using=using)


def fetch(columns: Iterable[Column], rows: Any) -> dict[Any, Image]:
    """Reads the images of the rows of a query, by primary key."""
    columns = tuple(columns)
    # A composite key by its columns: its pair of columns has no table that a lock could name.
    keys = [field.attname for field in key_fields(rows.model)]
    read = values_of(rows, *keys, *(column.lookup for column in columns))
    return {as_key(values[: len(keys)]): _nested(columns, values[len(keys) :], rows.db) for values in read}


def values_of(rows: Any, *names: Any) -> list[tuple[Any, ...]]:
    """Reads these columns of the rows of a query."""
    with apart(rows.db):
        return list(rows.values_list(*names))


def fetch_up_to(columns: Iterable[Column], rows: Any, limit: int) -> dict[Any, Image] | None:
    """Reads the images of the rows of a query, unless there are more than so many."""
    keys = [field.attname for field in key_fields(rows.model)]
    found = fetch(columns, rows.order_by(*keys)[: limit + 1])
    return None if len(found) > limit else found


def fetch_keys(tracked: Tracked, keys: Iterable[Any], using: str) -> dict[Any, Image]:
    """Reads the images of these rows, by primary key."""
    return fetch_of(tracked.model, tracked.columns, keys, using)


def fetch_of(model: Any, columns: Iterable[Column], keys: Iterable[Any], using: str) -> dict[Any, Image]:
    """Reads these columns of the rows of a model, by primary key."""
    keys = list(keys)
    images: dict[Any, Image] = {}
    for start in range(0, len(keys), CHUNK):
        rows = rows_of(model, using).filter(pk__in=keys[start : start + CHUNK])
        images |= fetch(columns, rows)
    return images


def related(tracked: Tracked, instance: Any, values: Mapping[str, Any], using: str) -> Image:
    """What is known of the rows that a row with these values refers to: of loaded objects, otherwise read."""
    image: Image = {}
    for name, columns in tracked.related_by_field.items():
        field = tracked.model._meta.get_field(name)
        if field.attname in values:
            image |= _referred(field, columns, instance, values[field.attname], using)
    return image


def merge(image: Image, other: Image) -> Image:
    """Both images as one; objects are joined."""
    joined = dict(image)
    for name, value in other.items():
        both_objects = isinstance(value, dict) and isinstance(joined.get(name), dict)
        joined[name] = merge(joined[name], value) if both_objects else value
    return joined


def _referred(field: Any, columns: tuple[Column, ...], instance: Any, value: Any, using: str) -> Image:
    if value is None:
        return {field.name: None}
    if hasattr(value, "resolve_expression"):
        return {}
    at_hand = _loaded(field, columns, instance, value, using)
    if at_hand is not None:
        return at_hand
    inner = [Column(column.path[1:], column.field) for column in columns]
    target = field.target_field.attname
    rows = rows_of(field.related_model, using).filter(**{target: value})
    return next(({field.name: image} for image in fetch(inner, rows).values()), {})


def _loaded(field: Any, columns: tuple[Column, ...], instance: Any, value: Any, using: str) -> Image | None:
    """The columns of objects that are loaded; nothing when one is not, or is not known to be as in the database."""
    image: Image = {}
    if getattr(instance, field.attname, None) != value:
        return None
    for column in columns:
        row = _at_the_end(column, instance, value, using)
        if row is None or column.path[-1] not in row:
            return None
        try:
            image = merge(image, _at(column.path, spelt(column.field, row[column.path[-1]], using)))
        except Unknown:
            return None
    return image


def _at_the_end(column: Column, instance: Any, value: Any, using: str) -> Mapping[str, Any] | None:
    """What the database holds of the row at the end of a path, where each step of it leads to a loaded object.

    An object may have been changed in memory, and never saved, or be another one than the row refers to.
    """
    owner = instance
    row: Mapping[str, Any] | None = {instance._meta.get_field(column.path[0]).attname: value}
    for step in column.path[:-1]:
        field = owner._meta.get_field(step)
        if not field.is_cached(owner) or row is None or field.attname not in row:
            return None
        key, owner = row[field.attname], field.get_cached_value(owner)
        row = None if owner is None else held(owner, using)
        target = field.target_field.attname
        if row is None or target not in row or row[target] != key:
            return None
    return row


def held(instance: Any, using: str) -> memory.Values | None:
    """What the database holds of the row of an instance, if the instance came from it."""
    state = instance._state
    remembered = memory.of(instance)
    if remembered is None or state.adding or not (state.db == using or state.db in conf().replicas):
        return None
    values = remembered.values()
    keys = [field.attname for field in key_fields(type(instance))]
    is_its_own = all(name in values and values[name] == getattr(instance, name) for name in keys)
    return values if is_its_own else None


def _nested(columns: tuple[Column, ...], values: Iterable[Any], using: str) -> Image:
    image: Image = {}
    for column, value in zip(columns, values, strict=True):
        try:
            image = merge(image, _at(column.path, spelt(column.field, value, using)))
        except Unknown:
            continue
    return image


def _at(path: tuple[str, ...], value: Json) -> Image:
    for step in reversed(path[1:]):
        value = {step: value}
    return {path[0]: value}


def _stored(field: Any, value: Any, using: str) -> Any:
    """As the database gives it back: with the decimals of the column, in the time zone of the connection."""
    if isinstance(value, decimal.Decimal) and getattr(field, "decimal_places", None) is not None and value.is_finite():
        return decimals.stored(value, field.max_digits, field.decimal_places, using)
    if isinstance(value, bytes | bytearray | memoryview):
        # Always the same spelling for one column, which is what is said of its type.
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, datetime.datetime) and settings.USE_TZ:
        if timezone.is_naive(value):
            value = timezone.make_aware(value, timezone.get_default_timezone())
        return value.astimezone(connections[using].timezone or datetime.timezone.utc)
    return value


#: What `to_python` gives back as it is, and what needs no look at the column either. Most values of most rows.
_TAKEN_AS_IS = {
    models.CharField.to_python: str,
    models.TextField.to_python: str,
    models.IntegerField.to_python: int,
    models.BooleanField.to_python: bool,
}


def _taken_as_is(field: Any) -> type | None:
    """The type whose values the database gives back as the field takes them; none where that takes a closer look."""
    if isinstance(field, models.ForeignKey) and type(field).to_python is models.ForeignKey.to_python:
        return _taken_as_is(field.target_field)
    return _TAKEN_AS_IS.get(type(field).to_python)


def _prepared(field: Any, value: Any) -> Json:
    """The value as it is sent to the database, for fields with classes of their own."""
    try:
        return plain(field.get_prep_value(value))
    except Exception:  # noqa: BLE001 - as above
        raise Unknown from None
