"""Publishes changes of many-to-many relations, from whichever end they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import scope
from ..event import Op
from . import changes, images, memory
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
    if scope.is_disabled():
        return
    change = _Change(tracked, relation, instance, reverse, using)
    if action in _OPS and pk_set:
        change.publish(_OPS[action], sorted(pk_set, key=repr))
    elif action == "pre_clear":
        # Afterwards nobody knows what was there.
        instance.__dict__.setdefault(_NAME, {})[sender, reverse] = change.others()
    elif action == "post_clear":
        others = instance.__dict__.get(_NAME, {}).pop((sender, reverse), ())
        if others:
            change.publish("clear" if not reverse else "remove", others)


def of_deleted(tracked: Tracked, relation: Relation, instance: Any, reverse: bool, using: str) -> None:
    """A row at one end is about to be deleted, and its part of the relation with it; Django tells nobody."""
    change = _Change(tracked, relation, instance, reverse, using)
    others = change.others()
    if others:
        change.publish("clear" if not reverse else "remove", others)


class _Change:
    """A change of one relation, seen from one instance: the owner, or in reverse a row at the other end."""

    def __init__(self, tracked: Tracked, relation: Relation, instance: Any, reverse: bool, using: str) -> None:
        self._tracked = tracked
        self._relation = relation
        self._instance = instance
        self._reverse = reverse
        self._using = using

    def publish(self, op: Op, others: Iterable[Any]) -> None:
        """Records it, with these rows at the end that the instance is not at."""
        waiting = pending(self._using)
        for from_, to in self._ends(list(others)):
            waiting.add(changes.related(self._tracked, self._relation, op, from_, to))

    def others(self) -> list[Any]:
        """The primary keys of the rows that the instance is related to."""
        field = self._relation.field
        mine, theirs = field.m2m_field_name(), field.m2m_reverse_field_name()
        if self._reverse:
            mine, theirs = theirs, mine
        through = self._relation.through
        rows = through._base_manager.using(self._using).filter(**{mine: self._instance.pk})
        return list(rows.order_by(theirs).values_list(theirs, flat=True))

    def _ends(self, others: list[Any]) -> Iterable[tuple[Image, list[Image]]]:
        if not self._reverse:
            yield self._owner(), self._targets(others)
        if self._reverse or self._relation.field.remote_field.symmetrical:
            owners = images.fetch_keys(self._tracked, others, self._using)
            to = self._targets([self._instance.pk])
            for owner in owners.values():
                yield owner, to

    def _owner(self) -> Image:
        return changes.image(self._tracked, self._instance, memory.of(self._instance), self._using)

    def _targets(self, keys: list[Any]) -> list[Image]:
        key, *more = self._relation.to_columns
        bare = {value: self._bare(key, value) for value in keys}
        if not more:
            return list(bare.values())
        return list((bare | images.fetch_of(self._relation.target, (key, *more), keys, self._using)).values())

    def _bare(self, key: Column, value: Any) -> Image:
        return {key.path[0]: images.spelt(key.field, value, self._using)}
