"""Sees what rows a database holds, and holds published events to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models

from quash.django import images
from quash.django.conf import conf
from quash.django.tracked import Tracked

#: Columns by path, of each row by its key, of each model by its name; relations as pairs of keys.
Seen = dict[str, dict[Any, dict[str, Any]]]


def seen(using: str) -> Seen:
    """What every declared model holds, whatever its managers hide."""
    found: Seen = {}
    for one in conf().models.values():
        found[one.entity] = _rows(one, using)
        for relation in one.relations:
            found[f"{one.entity}.{relation.field.name}"] = _pairs(relation, using)
    return found


def _rows(one: Tracked, using: str) -> dict[Any, dict[str, Any]]:
    fields = {field.attname: field for field in one.model._meta.concrete_fields}
    fields |= {column.lookup: column.field for column in one.columns}
    rows = models.QuerySet(one.model, using=using).values_list(*fields)
    spelt = [
        {
            name.replace("__", "."): images.spelt(field, value, using)
            for (name, field), value in zip(fields.items(), row, strict=True)
        }
        for row in rows
    ]
    return {key(one, row): row for row in spelt}


def key(one: Tracked, row: Any) -> Any:
    return tuple(row[name] for name in one.keys)


def _pairs(relation: Any, using: str) -> dict[Any, dict[str, Any]]:
    through = models.QuerySet(relation.through, using=using)
    if relation.is_of_django:
        ends = (relation.field.m2m_field_name(), relation.field.m2m_reverse_field_name())
    else:
        ends = ("object_id", "tag_id")
        through = through.filter(content_type__model=relation.field.model._meta.model_name)
    return {pair: {} for pair in through.values_list(*ends)}


def contradictions(before: Seen, after: Seen, events: Iterable[dict[str, Any]]) -> list[str]:
    """What these events of one write say wrongly, and what they leave out."""
    events = list(events)
    found: list[str] = []
    for one in conf().models.values():
        old, new = before[one.entity], after[one.entity]
        told = [event for event in events if event["entity"] == one.entity and "relation" not in event]
        found += [
            f"{event['op']} of {one.entity} {words}"
            for event in told
            if not _may_be_either(event, told)
            for words in _wrong(one, event, old, new)
        ]
        found += _silent(one, told, old, new)
        for relation in one.relations:
            name = f"{one.entity}.{relation.field.name}"
            if any(event["entity"] == relation.through._meta.label for event in events):
                # Written by itself, it is told as a row.
                continue
            found += _silent_relation(name, relation, events, before[name], after[name])
    return found


def _may_be_either(event: dict[str, Any], told: list[dict[str, Any]]) -> bool:
    """Whether another event says of the same row that it was there already: of a row that may not have been created."""
    others = (
        other for other in told if other["op"] != event["op"] and {event["op"], other["op"]} == {"create", "update"}
    )
    return any(other.get("after") == event.get("after") for other in others)


def _wrong(one: Tracked, event: dict[str, Any], old: Any, new: Any) -> Iterable[str]:
    for name, rows in (("before", old), ("after", new)):
        image = event.get(name)
        if image is None:
            continue
        at = tuple(image.get(column, event.get("key", {}).get(column)) for column in one.keys)
        if None in at:
            # Of a row whose key only the database knows.
            if not any(all(row.get(path) == value for path, value in _flat(image)) for row in rows.values()):
                yield f"has the {name} image {image} of no row"
            continue
        if at not in rows:
            yield f"has the {name} image of {at}, which is not there"
            continue
        for path, value in _flat(image):
            if path in rows[at] and rows[at][path] != value:
                yield f"says that {path} {name} is {value!r}, and it is {rows[at][path]!r}"


def unknown(events: Iterable[dict[str, Any]]) -> set[str]:
    """What these events leave open: columns of an image, images, or everything."""
    by_name = {one.entity: one for one in conf().models.values()}
    found = set()
    for event in events:
        name = event["entity"]
        if "relation" in event:
            found |= set() if event["from"] and all(event["to"]) else {f"{name}.{event['relation']}"}
            continue
        sides = {"create": ["after"], "update": ["before", "after"], "delete": ["before"]}.get(event["op"], [])
        found |= set() if sides else {name}
        for side in sides:
            image = event.get(side)
            if image is None:
                found.add(f"{name} {side}")
                continue
            paths = dict(_flat(image)).keys() | image.keys()
            columns = {
                ".".join(column.path) for column in by_name[name].columns if image.get(column.path[0], 0) is not None
            }
            found |= {f"{name}.{column} {side}" for column in columns - paths}
    return found


def _flat(image: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in image.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _silent(one: Tracked, told: list[dict[str, Any]], old: Any, new: Any) -> Iterable[str]:
    if any(event["op"] == "truncate" for event in told):
        return
    own = {field.attname for field in one.model._meta.concrete_fields}
    for at in old.keys() | new.keys():
        was, now = old.get(at), new.get(at)
        mine = [event for event in told if at in _ends(one, event)]
        # What hangs off another row is that row's change.
        changed = {name for name in own if (was or {}).get(name) != (now or {}).get(name)}
        if not changed and (was is None) == (now is None):
            continue
        if not mine:
            # The key may be known to the database alone.
            op = "create" if was is None else "update"
            if any(event["op"] == op and not any(_ends(one, event)) for event in told):
                continue
            yield f"nothing is said of {one.entity} {at}"
        for event in mine:
            if event["op"] == "update" and was and now and changed - set(event.get("changed", changed)):
                yield f"{one.entity} {at}: changed lacks {changed - set(event['changed'])}"


def _ends(one: Tracked, event: dict[str, Any]) -> Iterable[Any]:
    images_ = [event.get("key"), event.get("before"), event.get("after")]
    return {key(one, image) for image in images_ if image and all(name in image for name in one.keys)}


def _silent_relation(name: str, relation: Any, events: Any, old: Any, new: Any) -> Iterable[str]:
    mine = [event for event in events if event.get("relation") and f"{event['entity']}.{event['relation']}" == name]
    if any(not event["from"] for event in mine):
        return
    to = relation.target._meta.pk.attname

    def said(*ops: str) -> set[Any]:
        found = (event for event in mine if event["op"] in ops)
        return {(next(iter(event["from"].values())), row[to]) for event in found for row in event["to"]}

    added, removed = said("add"), said("remove", "clear")
    for op, told, pairs in (("add", added, new.keys() - old.keys()), ("remove", removed, old.keys() - new.keys())):
        # What went and came back within one write may be told of both.
        if told - (added & removed - pairs) != pairs:
            yield f"{name}: {op} of {sorted(pairs)} is told as {sorted(told)}"
