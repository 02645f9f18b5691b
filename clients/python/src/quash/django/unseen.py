"""Says of a declared model what this package cannot see of it, and what to write so that it can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import django

from . import computed, images
from .querysets import publishes
from .tracked import Tracked, can_be_followed

#: Whose trees are moved by SQL.
_TREES = ("mptt", "treebeard")


def unseen(one: Tracked, declared: Iterable[Tracked]) -> Iterable[str]:
    """What is written of a model without an event, or with one that says less than it could."""
    models = {other.model for other in declared}
    yield from _managers(one)
    yield from _base_manager(one)
    yield from _parents(one, models)
    yield from _computed(one)
    yield from _trees(one)
    yield from _cascades(one)
    yield from _relations(one, models)


def parents(one: Tracked) -> list[Any]:
    """The models whose tables hold a part of each row."""
    return [parent for parent in one.model._meta.get_parent_list() if not parent._meta.proxy]


def _managers(one: Tracked) -> Iterable[str]:
    names = [manager.name for manager in one.model._meta.managers if not publishes(manager)]
    if names:
        yield (
            f"update, bulk_update and bulk_create of {_list(names)} are not seen: "
            f"write {names[0]} = QuashManager(), or give its queryset the PublishingMixin"
        )


def _base_manager(one: Tracked) -> Iterable[str]:
    meta = one.model._meta
    ends = [_end(field) for field in meta.local_concrete_fields if field.many_to_one and _end(field)]
    if ends and not publishes(meta.base_manager):
        yield (
            f"rows that are moved from the other end ({ends[0]}.add) are not seen: "
            'write base_manager_name = "objects" in its Meta, a manager that publishes'
        )
    if _hides(meta.base_manager):
        yield (
            "its base manager hides rows, which Django then neither saves nor takes out of references: "
            "let base_manager_name name one that shows all"
        )


def _end(field: Any) -> str | None:
    """As `author.books`, where a foreign key can be written from its other end."""
    remote = field.remote_field
    name = remote.get_accessor_name() if hasattr(remote, "get_accessor_name") else None
    # One that is hidden ends with a plus.
    return f"{field.related_model._meta.model_name}.{name}" if name and not name.endswith("+") else None


def _hides(manager: Any) -> bool:
    try:
        query = manager.all().query
        return bool(query.where) or bool(query.is_sliced)
    except Exception:  # noqa: BLE001 - of somebody's own, made for requests and not for this
        return False


def _parents(one: Tracked, declared: set[Any]) -> Iterable[str]:
    for parent in parents(one):
        if parent not in declared:
            columns = [field.attname for field in parent._meta.local_concrete_fields if not field.primary_key]
            yield (
                f"its {_list(columns)} of {parent._meta.label} can be written there alone, which is not seen: "
                f"declare {parent._meta.label} as well, with a rule"
            )


def _computed(one: Tracked) -> Iterable[str]:
    if django.VERSION >= (6, 0):
        return
    for name, columns in computed.sources(one.model).items():
        yield (
            f"its {name} is unknown after a save that changes {_list(sorted(columns))}, so that rules which read it "
            "remove more: read those columns in the rules, or write with update() of a QuashManager"
        )


def _trees(one: Tracked) -> Iterable[str]:
    if any(kind.__module__.split(".")[0] in _TREES for kind in one.model.__mro__):
        yield (
            "a move in its tree writes other rows by SQL, of which only the moved one is seen: publish "
            f'quash.Event.truncate("{one.entity}") after it, or read the database\'s log'
        )


def _cascades(one: Tracked) -> Iterable[str]:
    for field in one.model._meta.concrete_fields:
        name = _on_delete(field)
        if name == "DB_CASCADE":
            yield (
                f"rows that the database deletes with their {field.name} are not seen: "
                "write on_delete=models.CASCADE, or read the database's log"
            )
        elif name.startswith("DB_") and _goes_with_others(field.related_model):
            yield (
                f"its {field.attname} is emptied by the database when {field.related_model._meta.label} goes with "
                "others, which is not seen: write on_delete=models.SET_NULL and models.CASCADE there, "
                "or read the database's log"
            )


def _goes_with_others(model: Any) -> bool:
    return any(_on_delete(field) == "DB_CASCADE" for field in model._meta.concrete_fields)


def _on_delete(field: Any) -> str:
    return getattr(getattr(field.remote_field, "on_delete", None), "__name__", "")


def _relations(one: Tracked, declared: set[Any]) -> Iterable[str]:
    for field in one.model._meta.local_many_to_many:
        if not can_be_followed(field):
            yield f"its relation {field.name} is not seen: publish quash.Event.add and its kin where it is written"
    for relation in one.relations:
        through = relation.through
        if not relation.is_of_django and not _answers(one, relation.field.name):
            yield (
                f"its relation {relation.field.name} answers no query, so that what a delete takes out of it is "
                f"unknown, and rules on it remove more: declare {through._meta.label}, with a rule in its place"
            )
        elif not through._meta.auto_created and through._meta.concrete_model not in declared:
            yield (
                f"rows of its relation {relation.field.name} that are written as {through._meta.label} are not seen: "
                f"declare {through._meta.label} as well, with a rule"
            )


def _answers(one: Tracked, name: str) -> bool:
    try:
        return bool(str(images.rows_of(one.model, "default").filter(**{f"{name}__pk": 0}).query))
    except Exception:  # noqa: BLE001 - a field of somebody's own
        return False


def _list(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
