"""Publishes bulk writes, of which Django sends no signal: give a model `objects = QuashManager()`."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Iterable
from typing import Any

from django.db import models

from .. import scope
from . import bulk, changes
from .bulk import Creation, Write
from .guard import told
from .pending import pending

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
        if self.query.is_sliced or not _is_published(self.model):
            return super().update(**kwargs)  # type: ignore[misc]
        self._for_write = True
        using = self.db
        with bulk.writing(self.model, using):
            write = Write(self.model, kwargs, using)
            write.read_rows(self)
            count = super().update(**kwargs)  # type: ignore[misc]
            write.publish()
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self: Any, objs: Iterable[Any], fields: Iterable[str], *args: Any, **kwargs: Any) -> Any:
        """As Django's, and publishes each row with its images before and after."""
        objs, fields = list(objs), list(fields)
        if not objs or not _is_published(self.model):
            return super().bulk_update(objs, fields, *args, **kwargs)  # type: ignore[misc]
        self._for_write = True
        using = self.db
        with bulk.writing(self.model, using):
            write = Write(self.model, dict.fromkeys(fields), using)
            write.read_objects(objs)
            token = _inside.set(True)
            try:
                count = super().bulk_update(objs, fields, *args, **kwargs)  # type: ignore[misc]
            finally:
                _inside.reset(token)
            write.publish()
            bulk.remember(self.model, objs, fields, using, is_new=False)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self: Any, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        """As Django's, and publishes each row."""
        objs = list(objs)
        if not objs or not _is_published(self.model):
            return super().bulk_create(objs, *args, **kwargs)  # type: ignore[misc]
        self._for_write = True
        using = self.db
        with bulk.writing(self.model, using):
            creations = [(one, Creation(one, objs, using, args, kwargs)) for one in bulk.concerned(self.model)]
            for _, creation in creations:
                creation.read()
            made = super().bulk_create(objs, *args, **kwargs)  # type: ignore[misc]
            for one, creation in creations:
                pending(using).add(told(one.entity, creation.events, functools.partial(changes.truncated, one)))
            if not any(creation.lets_conflicts_pass for _, creation in creations):
                columns = [field.attname for field in self.model._meta.concrete_fields]
                bulk.remember(self.model, objs, columns, using, is_new=True)
        return made

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class QuashQuerySet(PublishingMixin, models.QuerySet):
    """A queryset that publishes its bulk writes."""


class QuashManager(models.Manager.from_queryset(QuashQuerySet)):  # type: ignore[misc]
    """A manager whose querysets publish their bulk writes."""


def publishes(manager: Any) -> bool:
    """Whether the querysets of a manager publish their bulk writes."""
    try:
        return isinstance(manager.all(), PublishingMixin)
    except Exception:  # noqa: BLE001 - of somebody's own, made for requests and not for this
        return False


def _is_published(model: Any) -> bool:
    return not (_inside.get() or scope.is_disabled()) and bool(bulk.concerned(model))
