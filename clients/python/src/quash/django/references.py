"""Publishes what a delete does to other rows without a signal: foreign keys set to null, relations emptied."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import models

from .. import scope
from ..scope import Documents
from . import changes, images, relations
from .computed import with_computed
from .conf import conf
from .guard import told
from .images import Image
from .pending import pending
from .querysets import publishes
from .tracked import Tracked

Handler = Callable[..., None]

#: What leaves the row that refers, unchanged or gone; everything else writes to it.
_WRITES_NOTHING = {"CASCADE", "PROTECT", "RESTRICT", "DO_NOTHING", "DB_CASCADE"}


def handlers(tracked: Iterable[Tracked]) -> Iterator[tuple[Any, Handler]]:
    """The receivers of `pre_delete`, by model. A model that nothing refers to in this way has none."""
    for one in tracked:
        for field in one.model._meta.concrete_fields:
            if field.remote_field is not None and _writes(field) and not _is_published(one, field):
                yield from _of(field.related_model, functools.partial(_on_reference, one, field))
        for relation in one.relations:
            yield from _of(one.model, functools.partial(_on_end, one, relation, False))
            yield from _of(relation.target, functools.partial(_on_end, one, relation, True))


def _of(model: Any, handler: Handler) -> Iterator[tuple[Any, Handler]]:
    # A child and a proxy are deleted under their own name; of a child the parent is as well.
    for sender in apps.get_models() if hasattr(model, "_meta") else ():
        if sender._meta.concrete_model is model._meta.concrete_model:
            yield sender, handler


def _writes(field: Any) -> bool:
    on_delete = getattr(field.remote_field, "on_delete", None)
    return on_delete is not None and getattr(on_delete, "__name__", "") not in _WRITES_NOTHING


def _is_published(one: Tracked, field: Any) -> bool:
    """Whether the delete writes by an update of the base manager, which publishes itself."""
    by_update = getattr(field.remote_field.on_delete, "lazy_sub_objs", False)
    return by_update and publishes(field.model._base_manager) and field.model._meta.concrete_model is one.model


def _on_reference(one: Tracked, field: Any, sender: Any, instance: Any, using: str, **_: Any) -> None:
    if scope.is_disabled():
        return
    build = functools.partial(_updates, one, field, instance, using)
    pending(using).add(told(one.entity, build, functools.partial(changes.truncated, one)))


def _updates(one: Tracked, field: Any, instance: Any, using: str) -> Documents:
    # With the manager that Django writes with: what that hides stays as it is.
    rows = one.model._base_manager.using(using).filter(**{field.name: instance})
    before = images.fetch_up_to(one.columns, rows, conf().bulk_rows_max)
    if before is None:
        return changes.truncated(one)
    after = {key: _after(one, row, field, using) for key, row in before.items()}
    return changes.rows_updated(one, before, after, [field.attname])


def _after(one: Tracked, before: Image, field: Any, using: str) -> Image:
    """The row as the delete leaves it; what hangs off the foreign key goes with it."""
    written = {field.name, *with_computed(one.model, [field.attname])}
    row = {name: value for name, value in before.items() if name not in written}
    if field.attname not in before:
        return row
    on_delete = field.remote_field.on_delete
    if on_delete is models.SET_NULL:
        return row | {field.attname: None} | ({field.name: None} if field.name in before else {})
    if on_delete is models.SET_DEFAULT:
        return row | images.known([field], {field.attname: field.get_default()}, using)
    return row


def _on_end(one: Tracked, relation: Any, is_reverse: bool, sender: Any, instance: Any, using: str, **_: Any) -> None:
    if not scope.is_disabled():
        relations.of_deleted(one, relation, instance, is_reverse, using)
