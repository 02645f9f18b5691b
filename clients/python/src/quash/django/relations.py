"""Publishes changes of many-to-many relations, from whichever end they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import scope
from ..event import Op
from ..scope import Documents
from . import changes, images
from .guard import told
from .images import Image
from .pending import pending
from .tracked import Column, Relation, Tracked

_NAME = "_quash_clearing"

_OPS: dict[str, Op] = {"post_add": "add", "post_remove": "remove"}


def on_change(
    tracked: Tracked,
    relation: Relation,
    sender: Any,
    instance: Any,
    action: str,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **_: Any,
) -> None:
    """Receives `m2m_changed`."""
    # Other models may share the table in between.
    if scope.is_disabled() or not isinstance(instance, relation.target if reverse else tracked.model):
        return
    change = _Change(tracked, relation, instance, reverse, using)
    kept = instance.__dict__.setdefault(_NAME, {})
    if action in _OPS and pk_set:
        change.publish(_OPS[action], lambda: sorted(pk_set, key=repr))
    elif action == "pre_clear":
        # Afterwards nobody knows what was there.
        kept[relation, reverse] = change.gone()
    elif action == "post_clear":
        pending(using).add(kept.pop((relation, reverse), []))
    if not kept:
        del instance.__dict__[_NAME]


def of_deleted(tracked: Tracked, relation: Relation, instance: Any, reverse: bool, using: str) -> None:
    """A row at one end is about to be deleted, and its part of the relation with it; Django tells nobody."""
    pending(using).add(_Change(tracked, relation, instance, reverse, using).gone())


class _Change:
    """A change of one relation, seen from one instance: the owner, or in reverse a row at the other end."""

    def __init__(self, tracked: Tracked, relation: Relation, instance: Any, reverse: bool, using: str) -> None:
        self._tracked = tracked
        self._relation = relation
        self._instance = instance
        self._reverse = reverse
        self._using = using

    def publish(self, op: Op, others: Callable[[], list[Any]]) -> None:
        """Records it, with these rows at the end that the instance is not at."""
        pending(self._using).add(self._events(op, others))

    def gone(self) -> Documents:
        """The events of all that the instance is related to being taken from it."""
        return self._events("clear" if not self._reverse else "remove", self._others)

    def _events(self, op: Op, others: Callable[[], list[Any]]) -> Documents:
        return told(
            f"{self._tracked.entity}.{self._relation.field.name}",
            lambda: self._built(op, others()),
            lambda: changes.unclear_relation(self._tracked, self._relation),
        )

    def _built(self, op: Op, others: list[Any]) -> Documents:
        if not others:
            return []
        ends = self._ends(others)
        return [one for from_, to in ends for one in changes.related(self._tracked, self._relation, op, from_, to)]

    def _others(self) -> list[Any]:
        """The primary keys of the rows that the instance is related to."""
        if self._relation.is_of_django:
            return self._others_in_between()
        # Nothing but that it can be asked for by name is sure of a field of somebody's own.
        name = self._relation.field.name
        rows = images.rows_of(self._tracked.model, self._using)
        if self._reverse:
            found = images.values_of(rows.filter(**{name: self._instance.pk}), "pk")
        else:
            found = images.values_of(rows.filter(pk=self._tracked.key_of(self._instance)), f"{name}__pk")
        return sorted({key for (key,) in found if key is not None}, key=repr)

    def _others_in_between(self) -> list[Any]:
        field, through = self._relation.field, self._relation.through
        mine, theirs = field.m2m_field_name(), field.m2m_reverse_field_name()
        if self._reverse:
            mine, theirs = theirs, mine
        # Of a child it may be another column than its own key.
        key = getattr(self._instance, through._meta.get_field(mine).target_field.attname)
        rows = images.rows_of(through, self._using).filter(**{mine: key})
        return [key for (key,) in images.values_of(rows.order_by(theirs), theirs)]

    def _ends(self, others: list[Any]) -> Iterable[tuple[Image, list[Image]]]:
        if not self._reverse:
            yield changes.image(self._tracked, self._instance, self._using), self._targets(others)
        if self._reverse or self._relation.is_symmetrical:
            owners = images.fetch_keys(self._tracked, others, self._using)
            mine = getattr(self._instance, self._relation.target._meta.pk.attname)
            to = self._targets([mine])
            for owner in owners.values():
                yield owner, to

    def _targets(self, keys: list[Any]) -> list[Image]:
        key, *more = self._relation.to_columns
        bare = {value: self._bare(key, value) for value in keys}
        if not more:
            return list(bare.values())
        return list((bare | images.fetch_of(self._relation.target, (key, *more), keys, self._using)).values())

    def _bare(self, key: Column, value: Any) -> Image:
        return {key.path[0]: images.spelt(key.field, value, self._using)}
