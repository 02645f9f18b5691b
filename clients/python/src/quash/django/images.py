"""Makes row images: of values that are at hand, or of rows that must be read."""

from __future__ import annotations

import base64
import datetime
import decimal
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import connections, models
from django.utils import timezone

from ..errors import EventError
from ..values import Json, plain
from .tracked import Column, Tracked

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


def fetch(columns: Iterable[Column], rows: Any) -> dict[Any, Image]:
    """Reads the images of the rows of a query, by primary key."""
    columns = tuple(columns)
    read = rows.values_list("pk", *(column.lookup for column in columns))
    return {values[0]: _nested(columns, values[1:], rows.db) for values in read}


def fetch_up_to(columns: Iterable[Column], rows: Any, limit: int) -> dict[Any, Image] | None:
    """Reads the images of the rows of a query, unless there are more than so many."""
    found = fetch(columns, rows.order_by("pk")[: limit + 1])
    return None if len(found) > limit else found


def fetch_keys(tracked: Tracked, keys: Iterable[Any], using: str) -> dict[Any, Image]:
    """Reads the images of these rows, by primary key."""
    return fetch_of(tracked.model, tracked.columns, keys, using)


def fetch_of(model: Any, columns: Iterable[Column], keys: Iterable[Any], using: str) -> dict[Any, Image]:
    """Reads these columns of the rows of a model, by primary key."""
    keys = list(keys)
    images: dict[Any, Image] = {}
    for start in range(0, len(keys), CHUNK):
        rows = model._base_manager.using(using).filter(pk__in=keys[start : start + CHUNK])
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
    rows = field.related_model._base_manager.using(using).filter(**{target: value})
    return next(({field.name: image} for image in fetch(inner, rows).values()), {})


def _loaded(field: Any, columns: tuple[Column, ...], instance: Any, value: Any, using: str) -> Image | None:
    """The columns of objects that are loaded; nothing when one is not."""
    image: Image = {}
    if getattr(instance, field.attname, None) != value:
        return None
    for column in columns:
        owner = instance
        for step in column.path[:-1]:
            step_field = type(owner)._meta.get_field(step)
            if not step_field.is_cached(owner):
                return None
            owner = step_field.get_cached_value(owner)
            if owner is None:
                return None
        if column.path[-1] not in owner.__dict__:
            return None
        try:
            image = merge(image, _at(column.path, spelt(column.field, owner.__dict__[column.path[-1]], using)))
        except Unknown:
            return None
    return image


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
        return value.quantize(*_digits(field.decimal_places, field.max_digits))
    if isinstance(value, bytes | bytearray | memoryview):
        # Always the same spelling for one column, which is what is said of its type.
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, datetime.datetime) and settings.USE_TZ:
        if timezone.is_naive(value):
            value = timezone.make_aware(value, timezone.get_default_timezone())
        return value.astimezone(connections[using].timezone or datetime.timezone.utc)
    return value


@functools.cache
def _digits(places: int, most: int | None) -> tuple[decimal.Decimal, None, decimal.Context | None]:
    """What `quantize` takes for a column of so many digits."""
    return decimal.Decimal(1).scaleb(-places), None, decimal.Context(prec=most) if most else None


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
