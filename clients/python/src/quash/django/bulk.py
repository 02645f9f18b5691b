"""Reads the rows of a bulk write before and after it, and makes their events."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, transaction

from ..scope import Documents
from . import changes, computed, images, memory
from .conf import conf
from .guard import harmless, told
from .images import Image
from .pending import Fate, pending
from .tracked import Tracked, as_key, key_fields

logger = logging.getLogger("quash")

#: By the key that a row has before the write; `None` where there are too many, or they cannot be read.
Images = dict[Any, Image] | None
#: Where the key itself is written: the new key of each row, by the old one.
Moves = dict[Any, Any]


@contextlib.contextmanager
def writing(model: Any, using: str) -> Iterator[None]:
    """The transaction in which rows are read and written."""
    connection = connections[using]
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(using=using, savepoint=False):
        if is_outermost and connection.vendor == "sqlite":
            # Who has read and then wants to write is refused at once where another writes, and who only wants to write
            # waits. Nothing is written here.
            table = connection.ops.quote_name(model._meta.concrete_model._meta.db_table)
            with connection.cursor() as cursor:
                # Only a name that is the model's own, and quoted, stands in the text.
                cursor.execute(f"DELETE FROM {table} WHERE 0")  # noqa: S608
        yield


class Write:
    """A write of some columns of many rows, for each declared model whose table it reaches."""

    def __init__(self, model: Any, columns: Mapping[str, Any], using: str) -> None:
        """Columns by name, with what is written into all rows where that is one value."""
        self._model = model
        self._columns = {_attname(model, name): value for name, value in columns.items()}
        self._using = using
        self._before: list[tuple[Tracked, Images, Moves]] = []

    def read_rows(self, queryset: Any) -> None:
        """Reads the rows that a queryset selects as they are, and locks them where that can be done."""
        self._read(lambda one: self._selected(one, queryset))

    def read_objects(self, objs: list[Any]) -> None:
        """Reads the rows of these instances as they are."""
        is_too_many = len(objs) > conf().bulk_rows_max
        self._read(lambda one: (None, {}) if is_too_many else self._of_objects(one, objs))

    def publish(self) -> None:
        """Reads the rows as they are by now, and publishes both."""
        waiting = pending(self._using)
        for one, before, moves in self._before:
            build = functools.partial(self._updates, one, before, moves)
            waiting.add(told(one.entity, build, functools.partial(changes.truncated, one)))

    def _read(self, read: Callable[[Tracked], tuple[Images, Moves]]) -> None:
        for one in concerned(self._model, self._columns):
            before: Images = None
            moves: Moves = {}
            try:
                before, moves = read(one)
            except Exception:
                # Of whatever field, manager or database: the write goes on.
                logger.exception("cannot read the rows of %s before they are written, more is removed", one.entity)
            self._before.append((one, before, moves))

    def _of_objects(self, one: Tracked, objs: list[Any]) -> tuple[Images, Moves]:
        return images.fetch_keys(one, [one.key_of(obj) for obj in objs], self._using), {}

    def _selected(self, one: Tracked, queryset: Any) -> tuple[Images, Moves]:
        # In a subquery, since this one may have joins, which cannot be locked.
        selected = queryset.order_by().values(*one.keys)
        lookup = f"{one.keys[0]}__in" if len(one.keys) == 1 else "pk__in"
        rows = images.rows_of(one.model, self._using).filter(**{lookup: selected})
        before = images.fetch_up_to(one.columns, _locked(rows, self._using), conf().bulk_rows_max)
        return before, self._moves(one, rows) if before else {}

    def _updates(self, one: Tracked, before: Images, moves: Moves) -> Documents:
        if before is None:
            return changes.truncated(one)
        if not before:
            return []
        after = images.fetch_keys(one, [moves.get(key, key) for key in before], self._using)
        by_old_key = {key: after[moves.get(key, key)] for key in before if moves.get(key, key) in after}
        return changes.rows_updated(one, before, by_old_key, self._columns)

    def _moves(self, one: Tracked, rows: Any) -> Moves:
        fields = [field for field in key_fields(one.model) if field.attname in self._columns]
        if not fields:
            return {}
        given = {field.attname: self._columns[field.attname] for field in fields}
        # The database computes it, as it will for the write.
        expressions = {name: value for name, value in given.items() if hasattr(value, "resolve_expression")}
        constants = {field.attname: self._constant(field) for field in fields if field.attname not in expressions}
        moves = {}
        for values in images.values_of(rows, *one.keys, *expressions.values()):
            old = dict(zip(one.keys, values, strict=False))
            new = old | constants | dict(zip(expressions, values[len(old) :], strict=True))
            moves[as_key(list(old.values()))] = as_key(list(new.values()))
        return moves

    def _constant(self, field: Any) -> Any:
        value = self._columns[field.attname]
        if isinstance(value, models.Model):
            value = getattr(value, field.target_field.attname)
        return field.to_python(value)


def concerned(model: Any, written: Iterable[str] | None = None) -> list[Tracked]:
    """The declared models whose rows a bulk write changes: of a child also the parents that have such a column."""
    concrete, columns = model._meta.concrete_model, None if written is None else set(written)
    found = []
    for one in conf().models.values():
        own = {field.attname for field in one.model._meta.concrete_fields}
        if one.model is concrete or (issubclass(concrete, one.model) and (columns is None or columns & own)):
            found.append(one)
    return found


def remember(model: Any, objs: Iterable[Any], names: Iterable[str], using: str, *, is_new: bool) -> None:
    """Tells instances what was written of them."""
    names = [_attname(model, name) for name in names]
    fate = pending(using).fate()
    for obj in objs:
        _remember(names, fate, using, is_new, instance=obj)


@harmless
def _remember(names: list[str], fate: Fate, using: str, is_new: bool, *, instance: Any) -> None:
    remembered = memory.of(instance)
    if remembered is None:
        return
    model = type(instance)
    touched = computed.with_computed(model, names)
    values = memory.rewritten(remembered.values(), touched, memory.at_hand(instance, names))
    remembered.saved(computed.after_create(model, values, using) if is_new else values, fate)


#: What stands behind the objects in a call of `bulk_create`.
_PLACES = ("batch_size", "ignore_conflicts", "update_conflicts", "update_fields", "unique_fields")


class Creation:
    """An insert of many rows, some of which may be there already, seen from the declared model."""

    def __init__(
        self, one: Tracked, objs: list[Any], using: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """With what `bulk_create` was called with behind the objects."""
        given = dict(zip(_PLACES, args, strict=False)) | kwargs
        self._one = one
        self._objs = objs
        self._using = using
        self._is_unclear = len(objs) > conf().bulk_rows_max
        updates = given.get("update_conflicts")
        self.lets_conflicts_pass = bool(updates or given.get("ignore_conflicts"))
        self._written = given.get("update_fields") or ()
        hits = {_attname(one.model, name) for name in given.get("unique_fields") or ()}
        # Otherwise it may be a row of another key that is hit.
        self._is_by_key = not updates or (bool(hits) and hits <= set(one.keys))
        self._before: Images = None

    def read(self) -> None:
        """Reads what is there already of these rows."""
        if self.lets_conflicts_pass and self._is_by_key and self._have_keys() and not self._is_unclear:
            try:
                self._before = images.fetch_keys(self._one, self._keys(), self._using)
            except Exception:
                logger.exception(
                    "cannot read the rows of %s before they are written, more is removed", self._one.entity
                )
                self._is_unclear = True

    def events(self) -> Documents:
        """What became of the rows."""
        one = self._one
        if self._is_unclear:
            return changes.truncated(one)
        if not self.lets_conflicts_pass:
            # By now all have a key on most databases.
            read = images.fetch_keys(one, self._keys(), self._using).values() if self._have_keys() else self._known()
            return changes.rows_created(one, read)
        if self._before is None:
            return changes.rows_saved(one, self._known())
        after = images.fetch_keys(one, self._keys(), self._using)
        made = [row for key, row in after.items() if key not in self._before]
        hit = {key: row for key, row in self._before.items() if row != after.get(key)}
        written = [_attname(one.model, name) for name in self._written]
        return changes.rows_created(one, made) + changes.rows_updated(one, hit, after, written)

    def _keys(self) -> list[Any]:
        return [self._one.key_of(obj) for obj in self._objs]

    def _have_keys(self) -> bool:
        return all(self._one.key_in(obj.__dict__) for obj in self._objs)

    def _known(self) -> list[Image]:
        one = self._one
        fields = [column.field for column in one.own]
        rows = [images.known(fields, obj.__dict__, self._using) for obj in self._objs]
        rows = [computed.after_create(one.model, row, self._using) for row in rows]
        return [
            {name: value for name, value in row.items() if name not in one.keys or value is not None} for row in rows
        ]


def _locked(rows: Any, using: str) -> Any:
    return rows.select_for_update(of=("self",)) if connections[using].features.has_select_for_update_of else rows


def _attname(model: Any, name: str) -> str:
    try:
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        # The write says so itself.
        return name
    return str(getattr(field, "attname", name))
