"""Turns what happened to an instance into events: which images, which columns changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..event import Event, Op, document_of_row
from . import images
from .computed import with_computed
from .conf import conf
from .images import Image
from .memory import Values
from .tracked import Relation, Tracked, key_fields

Documents = list[dict[str, Any]]


def created(tracked: Tracked, instance: Any, values: Values, using: str, *, is_raw: bool) -> Documents:
    """A row was inserted."""
    own = images.known(_fields(tracked), values, using)
    after = _published(tracked, own)
    if not is_raw:
        after = images.merge(after, images.related(tracked, instance, values, using))
    return [event(tracked, "create", key=tracked.key_in(own), after=after)]


def updated(
    tracked: Tracked,
    instance: Any,
    before: Values | None,
    after: Values,
    using: str,
    *,
    written: Iterable[str] | None,
    is_raw: bool = False,
) -> Documents:
    """A row was updated: these columns of it were written, all of them if it is not said."""
    new = images.known(_fields(tracked), after, using)
    old = None if before is None else images.known(_fields(tracked), before, using, alike=(after, new))
    changed = _changed(tracked, old, new, written)
    images_ = _both(tracked, instance, before, after, old, new, using, is_raw)
    return [event(tracked, "update", key=tracked.key_in(new), changed=changed, **images_)]


def deleted(tracked: Tracked, instance: Any, before: Values | None, using: str) -> Documents:
    """A row is gone."""
    own = images.known(_fields(tracked), instance.__dict__, using)
    old = None
    if before is not None:
        known = images.known(_fields(tracked), before, using)
        old = images.merge(_published(tracked, known), images.related(tracked, instance, before, using))
    return [event(tracked, "delete", key=tracked.key_in(own), before=old)]


def unclear(tracked: Tracked, op: Op, instance: Any, using: str) -> Documents:
    """A row was written, and nothing but its key can be told; if not even that, it may be any of them."""
    try:
        key = tracked.key_in(images.known(key_fields(tracked.model), instance.__dict__, using))
        if key is not None:
            return [event(tracked, op, key=key, after=key if op == "create" else None)]
    except Exception:  # noqa: BLE001 - what went wrong is told already; here is said what is left
        return truncated(tracked)
    return truncated(tracked)


def unclear_relation(tracked: Tracked, relation: Relation) -> Documents:
    """A relation changed, and nobody knows of which rows."""
    what = Event(entity=tracked.entity, op="clear", relation=relation.field.name, from_={})
    return [conf().publisher.document(what)]


def truncated(tracked: Tracked) -> Documents:
    """More rows changed than anybody wants to name."""
    return [event(tracked, "truncate")]


def rows_created(tracked: Tracked, rows: Iterable[Image]) -> Documents:
    """Rows were inserted, and read."""
    return [event(tracked, "create", key=tracked.key_in(row), after=row) for row in rows]


def rows_updated(
    tracked: Tracked, before: Mapping[Any, Image], after: Mapping[Any, Image], written: Iterable[str]
) -> Documents:
    """Rows were updated, and read before and after; both by the key that they had before."""
    changed = sorted(_with_names(tracked, with_computed(tracked.model, written)))
    return [
        event(tracked, "update", key=tracked.key_in(row), before=row, after=after.get(key), changed=changed)
        for key, row in before.items()
    ]


def rows_saved(tracked: Tracked, rows: Iterable[Image]) -> Documents:
    """Rows were inserted or updated, nobody knows which."""
    found: Documents = []
    for row in rows:
        key = tracked.key_in(row)
        found.append(event(tracked, "create", key=key, after=row))
        found.append(event(tracked, "update", key=key, after=row))
    return found


def related(tracked: Tracked, relation: Relation, op: Op, from_: Image, to: Iterable[Image]) -> Documents:
    """Rows were added to a relation, or removed from it."""
    document = conf().publisher.document(
        Event(
            entity=tracked.entity,
            op=op,
            relation=relation.field.name,
            from_=from_,
            to=list(to),
            types=relation.types(tracked),
        )
    )
    return [document]


def event(
    tracked: Tracked,
    op: Op,
    *,
    key: Image | None = None,
    before: Image | None = None,
    after: Image | None = None,
    changed: list[str] | None = None,
) -> dict[str, Any]:
    """An event of a model, as native JSON with its context."""
    document = document_of_row(
        tracked.entity, op, key=key, before=before, after=after, changed=changed, types=tracked.types
    )
    return conf().publisher.in_context(document)


def image(tracked: Tracked, instance: Any, using: str) -> Image:
    """The row of an instance as the database holds it; read where the instance does not know it."""
    values = images.held(instance, using) or {}
    own = _published(tracked, images.known(_fields(tracked), values, using))
    if all(column.field.attname in own for column in tracked.own):
        return images.merge(own, images.related(tracked, instance, values, using))
    read = images.fetch_keys(tracked, [tracked.key_of(instance)], using)
    return next(iter(read.values()), images.known(key_fields(tracked.model), instance.__dict__, using))


def _both(
    tracked: Tracked,
    instance: Any,
    before: Values | None,
    after: Values,
    old: Image | None,
    new: Image,
    using: str,
    is_raw: bool,
) -> dict[str, Image | None]:
    new_image = _published(tracked, new)
    if not is_raw:
        new_image = images.merge(new_image, images.related(tracked, instance, after, using))
    if before is None or old is None:
        return {"before": None, "after": new_image}
    old_image = _published(tracked, old)
    # What hangs off a foreign key that did not change is the same; only where it moved the old row is asked.
    moved = {}
    for column in tracked.related:
        field = tracked.model._meta.get_field(column.path[0])
        name = field.attname
        if name in old and old[name] == new.get(name) and field.name in new_image:
            old_image[field.name] = new_image[field.name]
        elif name in before:
            moved[name] = before[name]
    if moved and not is_raw:
        old_image = images.merge(old_image, images.related(tracked, instance, moved, using))
    return {"before": old_image, "after": new_image}


def _changed(tracked: Tracked, old: Image | None, new: Image, written: Iterable[str] | None) -> list[str] | None:
    """The columns that may have changed: of all, not only of the published ones, since rules name others as well."""
    if written is not None:
        written = with_computed(tracked.model, written)
    if old is None:
        return None if written is None else sorted(_with_names(tracked, written))
    columns = [field.attname for field in _fields(tracked)] if written is None else written
    differs = [name for name in columns if name not in old or name not in new or old[name] != new[name]]
    return sorted(_with_names(tracked, differs))


def _with_names(tracked: Tracked, columns: Iterable[str]) -> set[str]:
    """Of a foreign key both names: `author_id`, and `author` for the paths that lead through it."""
    return {name for column in columns for name in (column, tracked.names.get(column, column))}


def _published(tracked: Tracked, own: Image) -> Image:
    return {column.path[0]: own[column.path[0]] for column in tracked.own if column.path[0] in own}


def _fields(tracked: Tracked) -> Any:
    return tracked.model._meta.concrete_fields
