"""Publishes bulk writes, of which Django sends no signal: give a model `objects = QuashManager()`."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable
from typing import Any

from django.db import connections, models, transaction

from .. import scope
from . import changes, images, memory
from .conf import conf
from .pending import pending
from .tracked import Tracked

# A bulk_update is made of updates, which must not be published again.
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("quash_inside_bulk", default=False)


class PublishingMixin:
    """For querysets of your own: `class BookQuerySet(PublishingMixin, models.QuerySet)`.

    Rows are read before and after within the same transaction, since only the database knows what an update hits. More
    than `bulk_rows_max` of them are published as one change of the whole entity. `delete` needs nothing: it sends
    signals for each row.
    """

    def update(self: Any, **kwargs: Any) -> Any:
        """As Django's, and publishes each row with its images before and after."""
        one = _tracked(self.model)
        if one is None or self.query.is_sliced:
            return super().update(**kwargs)  # type: ignore[misc]
        self._for_write = True
        using = self.db
        with transaction.atomic(using=using, savepoint=False):
            # In a subquery, since this one may have joins, which cannot be locked.
            rows = self.model._base_manager.using(using).filter(pk__in=self.order_by().values("pk"))
            before = images.fetch_up_to(one.columns, _locked(rows, using), conf().bulk_rows_max)
            count = super().update(**kwargs)  # type: ignore[misc]
            _publish_updates(one, before, [_attname(self.model, name) for name in kwargs], using)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self: Any, objs: Iterable[Any], fields: Iterable[str], *args: Any, **kwargs: Any) -> Any:
        """As Django's, and publishes each row with its images before and after."""
        objs, fields = list(objs), list(fields)
        one = _tracked(self.model)
        if one is None or not objs:
            return super().bulk_update(objs, fields, *args, **kwargs)  # type: ignore[misc]
        self._for_write = True
        using = self.db
        names = [_attname(self.model, name) for name in fields]
        with transaction.atomic(using=using, savepoint=False):
            before = images.fetch_keys(one, [obj.pk for obj in objs], using) if _fits(objs) else None
            token = _inside.set(True)
            try:
                count = super().bulk_update(objs, fields, *args, **kwargs)  # type: ignore[misc]
            finally:
                _inside.reset(token)
            _publish_updates(one, before, names, using)
            _remember(objs, names, using)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self: Any, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """As Django's, and publishes each row."""
        objs = list(objs)
        one = _tracked(self.model)
        if one is None or not objs:
            return super().bulk_create(objs, *args, **kwargs)  # type: ignore[misc]
        self._for_write = True
        using = self.db
        with transaction.atomic(using=using, savepoint=False):
            made = super().bulk_create(objs, *args, **kwargs)  # type: ignore[misc]
            is_sure = not (kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts"))
            pending(using).add(_creations(one, objs, using, is_sure))
            if is_sure:
                _remember(objs, [field.attname for field in self.model._meta.concrete_fields], using)
        return made

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class QuashQuerySet(PublishingMixin, models.QuerySet):
    """A queryset that publishes its bulk writes."""


class QuashManager(models.Manager.from_queryset(QuashQuerySet)):  # type: ignore[misc]
    """A manager whose querysets publish their bulk writes."""


def _tracked(model: Any) -> Tracked | None:
    if _inside.get() or scope.is_disabled():
        return None
    return conf().models.get(model._meta.concrete_model)


def _publish_updates(one: Tracked, before: Any, names: list[str], using: str) -> None:
    waiting = pending(using)
    if before is None:
        waiting.add(changes.truncated(one))
    elif before:
        waiting.add(changes.rows_updated(one, before, images.fetch_keys(one, before, using), names))


def _creations(one: Tracked, objs: list[Any], using: str, is_sure: bool) -> list[dict[str, Any]]:
    if not _fits(objs):
        return changes.truncated(one)
    if is_sure and all(obj.pk is not None for obj in objs):
        return changes.rows_created(one, images.fetch_keys(one, [obj.pk for obj in objs], using).values())
    # Which rows these are is not known on every database, and not after a conflict.
    fields = [column.field for column in one.own]
    rows = [images.known(fields, obj.__dict__, using) for obj in objs]
    rows = [{name: value for name, value in row.items() if (name, value) != (one.key, None)} for row in rows]
    return changes.rows_created(one, rows) if is_sure else changes.rows_saved(one, rows)


def _remember(objs: list[Any], names: list[str], using: str) -> None:
    fate = pending(using).fate()
    for obj in objs:
        remembered = memory.of(obj)
        if remembered is not None:
            remembered.saved({**remembered.values(), **memory.at_hand(obj, names)}, fate)


def _locked(rows: Any, using: str) -> Any:
    return rows.select_for_update(of=("self",)) if connections[using].features.has_select_for_update_of else rows


def _fits(objs: list[Any]) -> bool:
    return len(objs) <= conf().bulk_rows_max


def _attname(model: Any, name: str) -> str:
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return str(field.attname)
