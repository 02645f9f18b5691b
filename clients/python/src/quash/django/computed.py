"""Knows what the database computes from other columns: generated columns, which an instance may show as they were."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import django
from django.db import connections

Values = dict[str, Any]

#: Before this, an instance keeps the old value after an update; from here on Django reads it again, or defers it.
_READ_AGAIN = django.VERSION >= (6, 0)


@functools.cache
def sources(model: Any) -> dict[str, frozenset[str]]:
    """The generated columns of a model, with the columns that each is computed from."""
    generated = [field for field in model._meta.concrete_fields if getattr(field, "generated", False)]
    return {field.attname: _sources(field) for field in generated}


def with_computed(model: Any, written: Iterable[str]) -> list[str]:
    """Columns that are written, and those that are computed from them."""
    written = list(written)
    return written + [name for name, columns in sources(model).items() if columns & set(written)]


def after_create(model: Any, values: Values, using: str) -> Values:
    """What of these values is known once the row was inserted."""
    if connections[using].features.can_return_columns_from_insert:
        return values
    return {name: value for name, value in values.items() if name not in sources(model)}


def after_update(
    model: Any, before: Mapping[str, Any] | None, after: Values, written: Iterable[str] | None, held: Mapping[str, Any]
) -> Values:
    """What of these values is known once the row was updated; `held` is what the instance says by then."""
    computed = sources(model)
    if not computed:
        return after
    before = before or {}
    known = {name: value for name, value in after.items() if name not in computed}
    for name, columns in computed.items():
        is_touched = written is None or bool(columns & set(written))
        if is_touched and _READ_AGAIN:
            known |= {name: held[name]} if name in held else {}
        elif name in before and (not is_touched or _same(before, after, columns)):
            known[name] = before[name]
    return known


def _same(before: Mapping[str, Any], after: Mapping[str, Any], columns: Iterable[str]) -> bool:
    return all(name in before and name in after and _equal(before[name], after[name]) for name in columns)


def _equal(one: Any, other: Any) -> bool:
    # An expression may be equal to another, and compute something else.
    return not hasattr(other, "resolve_expression") and type(one) is type(other) and bool(one == other)


def _sources(field: Any) -> frozenset[str]:
    try:
        resolved = field.expression.resolve_expression(field._query, allow_joins=False)
        return frozenset(part.target.attname for part in resolved.flatten() if hasattr(part, "target"))
    except Exception:  # noqa: BLE001 - an expression of somebody's own: it may read everything
        return frozenset(other.attname for other in field.model._meta.concrete_fields)
